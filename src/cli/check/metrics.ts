import { prometheusProvider } from '../../analysis/index.ts';
import { kinds } from '../../api/kinds.ts';
import type { KubeObject } from '../../api/meta.ts';
import { type Check, type CheckContext, type CheckGroup, failed, ok, warning } from './model.ts';

const HINT = 'Rollouts hold, and are not rolled back, while metrics are missing: look at the metrics store.';

/** The address the controller was told, read from its own arguments. */
async function configuredUrl({ client, namespace, signal }: CheckContext): Promise<URL | undefined> {
  const controller = await client.find<KubeObject>(kinds.Deployment, namespace, 'weir-controller', signal);
  const containers =
    (controller?.spec as { template?: { spec?: { containers?: { args?: string[] }[] } } } | undefined)
      ?.template?.spec?.containers ?? [];
  const flag = containers.flatMap(({ args = [] }) => args).find((arg) => arg.startsWith('--prometheus-url='));
  return flag ? new URL(flag.slice('--prometheus-url='.length)) : undefined;
}

/** A Service's name means nothing outside the cluster: ask through its address where that is reachable. */
async function reachableUrl({ client, signal }: CheckContext, url: URL): Promise<string> {
  const [, name, namespace] = /^([^.]+)\.([^.]+)\.svc(?:\.|$)/.exec(url.hostname) ?? [];
  if (!name || !namespace) return url.href;
  const service = await client.find<KubeObject>(kinds.Service, namespace, name, signal);
  const address = (service?.spec as { clusterIP?: string } | undefined)?.clusterIP;
  if (!address || address === 'None') return url.href;
  const direct = new URL(url.href);
  direct.hostname = address;
  return direct.href;
}

const answers: Check = {
  name: 'Prometheus API',
  hint: HINT,
  async run(context) {
    const url = await configuredUrl(context);
    if (!url)
      return failed('the controller was started without --prometheus-url', 'Run `weir install` again.');
    const provider = prometheusProvider({ url: await reachableUrl(context, url), timeoutMs: 3000 });
    const measured = await provider.query('count(up)', context.signal);
    if (measured.kind === 'value') return ok(`${url.host} answers and scrapes ${measured.value} target(s)`);
    if (measured.kind === 'no-data') return warning(`${url.host} answers but scrapes nothing`, HINT);
    // From a laptop a cluster's addresses are usually not reachable; that says nothing about the controller.
    return measured.message.includes('cannot be reached') ||
      measured.message.includes('did not answer within')
      ? warning(`${url.host} cannot be asked from here`, 'The controller may still reach it: see its logs.')
      : failed(measured.message, HINT);
  },
};

export const metricsChecks: CheckGroup = { name: 'Metrics', checks: [answers] };
