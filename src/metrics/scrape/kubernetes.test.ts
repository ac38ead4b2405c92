import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from '@jest/globals';
import { plainKubeconfig } from '../../kube/fixtures.ts';
import { silentLogger } from '../../lib/log.ts';
import { startMetricsStore } from '../index.ts';
import { toRecord } from '../labels.ts';
import { parseConfig } from './config.ts';
import { watchPods } from './kubernetes.ts';
import { targetResolver } from './targets.ts';

const CONFIG = `
global: {scrape_interval: 50ms}
scrape_configs:
- job_name: pods
  kubernetes_sd_configs: [{role: pod, namespaces: {names: [shop]}}]
  relabel_configs:
  - {source_labels: [__meta_kubernetes_pod_ip, __meta_kubernetes_pod_annotation_prometheus_io_port], separator: ":", target_label: __address__}
  - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
`;

const portOf = (server: Server) => (server.address() as AddressInfo).port;

const pod = (name: string, resourceVersion: string, port: number, phase = 'Running') => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name,
    namespace: 'shop',
    uid: name,
    resourceVersion,
    annotations: { 'prometheus.io/port': String(port) },
  },
  spec: { containers: [{ name: 'app' }] },
  status: { podIP: '127.0.0.1', phase },
});

/** An API server that serves the pods of one namespace: those given, then what is sent. */
async function podServer(items: object[]) {
  const watchers = new Set<ServerResponse>();
  const api = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://api');
    response.setHeader('content-type', 'application/json');
    if (url.pathname !== '/api/v1/namespaces/shop/pods') {
      response.statusCode = 404;
      response.end('{"kind":"Status","status":"Failure","reason":"NotFound","code":404}');
    } else if (url.searchParams.get('watch')) {
      watchers.add(response);
      response.flushHeaders();
    } else {
      response.end(
        JSON.stringify({ kind: 'PodList', apiVersion: 'v1', metadata: { resourceVersion: '5' }, items }),
      );
    }
  });
  await new Promise<void>((resolve) => api.listen(0, '127.0.0.1', resolve));
  return {
    kubeconfig: plainKubeconfig(portOf(api), 't'),
    watched: () => watchers.size > 0,
    send: (type: string, object: object) => {
      for (const watcher of watchers) watcher.write(`${JSON.stringify({ type, object })}\n`);
    },
    close: () => close(api),
  };
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}

test('pods come and go with the watch of an API server', async () => {
  const target = createServer((_request, response) => response.end('hits 1\n'));
  await new Promise<void>((resolve) => target.listen(0, '127.0.0.1', resolve));
  const port = portOf(target);
  const api = await podServer([pod('web-1', '5', port)]);
  const running = await startMetricsStore({
    config: parseConfig(CONFIG),
    host: '127.0.0.1',
    port: 0,
    kubeconfig: api.kubeconfig,
    log: silentLogger,
  });
  try {
    await running.ready;
    const scraped = async () => {
      const response = await fetch(`${running.url}/api/v1/query?query=hits`);
      const { data } = (await response.json()) as { data: { result: { metric: { pod: string } }[] } };
      return data.result.map(({ metric }) => metric.pod).sort();
    };
    const until = async (wanted: string[]) => {
      const deadline = Date.now() + 10_000;
      while (JSON.stringify(await scraped()) !== JSON.stringify(wanted) && Date.now() < deadline)
        await new Promise((resolve) => setTimeout(resolve, 20));
      expect(await scraped()).toEqual(wanted);
    };
    await until(['web-1']);
    api.send('ADDED', pod('web-2', '6', port));
    await until(['web-1', 'web-2']);
    api.send('DELETED', pod('web-1', '7', port));
    await until(['web-2']);
  } finally {
    await running.stop();
    await api.close();
    await close(target);
  }
});

test('a pod is relabelled when it changes and at no other time, and tells only of targets that came or went', async () => {
  const api = await podServer([pod('web-1', '5', 1000)]);
  const entry = parseConfig(
    CONFIG.replace(
      '  relabel_configs:',
      '  relabel_configs:\n  - {source_labels: [__meta_kubernetes_pod_name], regex: web-.*, action: keep}',
    ),
  ).scrapeConfigs[0]!;
  const resolve = targetResolver(entry);
  let resolved = 0;
  let changes = 0;
  const source = await watchPods(entry.kubernetes_sd_configs[0]!, {
    kubeconfig: api.kubeconfig,
    log: silentLogger,
    resolve: (found) => {
      resolved += 1;
      return resolve(found);
    },
    onChange: () => {
      changes += 1;
    },
  });
  const until = async (what: () => boolean) => {
    const deadline = Date.now() + 10_000;
    while (!what() && Date.now() < deadline) await new Promise((done) => setTimeout(done, 10));
    expect(what()).toBe(true);
  };
  const names = () => source.list().map(({ labels }) => toRecord(labels).pod);
  try {
    await source.ready;
    await until(api.watched);
    expect({ resolved, changes, names: names() }).toEqual({ resolved: 1, changes: 1, names: ['web-1'] });
    api.send('ADDED', pod('batch-1', '6', 1001));
    api.send('MODIFIED', pod('web-1', '7', 1000, 'Succeeded'));
    await until(() => resolved === 3);
    expect({ changes, names: names() }).toEqual({ changes: 1, names: ['web-1'] });
    api.send('MODIFIED', pod('web-1', '8', 1002));
    await until(() => changes === 2);
    api.send('DELETED', pod('batch-1', '9', 1001));
    api.send('DELETED', pod('web-1', '10', 1002));
    await until(() => changes === 3);
    expect(names()).toEqual([]);
  } finally {
    source.stop();
    await api.close();
  }
});
