import { createServer, type ServerResponse } from 'node:http';
import { expect, test } from '@jest/globals';
import { plainKubeconfig } from '../../kube/fixtures.ts';
import { silentLogger } from '../../lib/log.ts';
import { startMetricsStore } from '../index.ts';

const CONFIG = `
global: {scrape_interval: 50ms}
scrape_configs:
- job_name: pods
  kubernetes_sd_configs: [{role: pod, namespaces: {names: [shop]}}]
  relabel_configs:
  - {source_labels: [__meta_kubernetes_pod_ip, __meta_kubernetes_pod_annotation_prometheus_io_port], separator: ":", target_label: __address__}
  - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
`;

test('pods come and go with the watch of an API server', async () => {
  const target = createServer((_request, response) => response.end('hits 1\n'));
  await new Promise<void>((resolve) => target.listen(0, '127.0.0.1', resolve));
  const pod = (name: string, resourceVersion: string) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'shop',
      uid: name,
      resourceVersion,
      annotations: { 'prometheus.io/port': String((target.address() as { port: number }).port) },
    },
    spec: { containers: [{ name: 'app' }] },
    status: { podIP: '127.0.0.1', phase: 'Running' },
  });

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
      const items = [pod('web-1', '5')];
      response.end(
        JSON.stringify({ kind: 'PodList', apiVersion: 'v1', metadata: { resourceVersion: '5' }, items }),
      );
    }
  });
  await new Promise<void>((resolve) => api.listen(0, '127.0.0.1', resolve));

  const kubeconfig = plainKubeconfig((api.address() as { port: number }).port, 't');
  const running = await startMetricsStore({
    config: CONFIG,
    host: '127.0.0.1',
    port: 0,
    kubeconfig,
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
    const send = (type: string, object: object) => {
      for (const watcher of watchers) watcher.write(`${JSON.stringify({ type, object })}\n`);
    };
    send('ADDED', pod('web-2', '6'));
    await until(['web-1', 'web-2']);
    send('DELETED', pod('web-1', '7'));
    await until(['web-2']);
  } finally {
    await running.stop();
    for (const server of [api, target]) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }
});
