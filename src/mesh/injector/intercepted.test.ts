import { describe, expect, test } from '@jest/globals';
import { options, pod } from './fixtures.ts';
import { injectPodTemplate, uninjectPodTemplate } from './patch.ts';

describe('transparent', () => {
  const transparent = { ...options, interception: 'transparent' as const };
  const annotated = (annotations: Record<string, string>, extra = {}) => {
    const own = pod([{ name: 'ORDERS', value: 'http://orders' }], extra);
    own.metadata = { ...own.metadata, annotations };
    return own;
  };

  test('rules first, then the proxy, then the pod’s own; applications stay to the letter', () => {
    const own = annotated(
      {
        'config.weir.dev/skip-inbound-ports': '9000, 9100-9200',
        'config.weir.dev/skip-outbound-ports': '25',
        'config.weir.dev/skip-subnets': '10.0.0.0/8,nonsense',
        'config.weir.dev/opaque-ports': '6000',
      },
      { initContainers: [{ name: 'migrate' }] },
    );
    const injected = injectPodTemplate(own, transparent);
    expect(injected.spec!.containers).toEqual(own.spec!.containers);
    const [init, proxy, migrate] = injected.spec!.initContainers!;
    expect(init).toMatchObject({
      name: 'weir-init',
      args: [
        'proxy-init',
        '--proxy-uid=2102',
        '--outbound-port=4140',
        '--inbound-port=4143',
        '--admin-port=4191',
        '--skip-inbound-ports=9000,9100-9200',
        '--skip-outbound-ports=25',
        '--skip-subnets=10.0.0.0/8',
      ],
      securityContext: { runAsUser: 0, capabilities: { drop: ['ALL'], add: ['NET_ADMIN', 'NET_RAW'] } },
    });
    expect(proxy).toMatchObject({
      name: 'weir-proxy',
      restartPolicy: 'Always',
      startupProbe: { httpGet: { path: '/started', port: 4191 } },
      securityContext: { runAsUser: 2102, runAsNonRoot: true, capabilities: { drop: ['ALL'] } },
    });
    expect((proxy!.securityContext!.capabilities as { add?: unknown }).add).toBeUndefined();
    expect(migrate).toEqual({ name: 'migrate' });
    expect(JSON.parse(proxy!.env!.find(({ name }) => name === 'WEIR_INTERCEPT')!.value!)).toEqual({
      outbound: 4140,
      inbound: 4143,
      uid: 2102,
      opaque: [{ from: 6000, to: 6000 }],
    });
    expect(injected.metadata!.annotations!['weir.dev/not-intercepted']).toBe('4191,9000,9100-9200');
  });

  test('the namespace’s settings count where the pod has none, and nothing of them is left on it', () => {
    const own = annotated({ 'config.weir.dev/skip-inbound-ports': '9000' });
    const defaults = {
      'config.weir.dev/skip-inbound-ports': '1',
      'config.weir.dev/skip-outbound-ports': '25',
      'team.example/owner': 'shop',
    };
    const injected = injectPodTemplate(own, { ...transparent, defaults });
    expect(injected.spec!.initContainers![0]!.args).toEqual(
      expect.arrayContaining(['--skip-inbound-ports=9000', '--skip-outbound-ports=25']),
    );
    expect(injected.metadata!.annotations!['config.weir.dev/skip-outbound-ports']).toBeUndefined();
    expect(uninjectPodTemplate(injected)).toEqual(own);
  });

  test('the proxy makes the tcpSocket probes, which it would otherwise answer itself', () => {
    const own = annotated({});
    const [container] = own.spec!.containers!;
    container!.ports = [{ name: 'redis', containerPort: 6379 }];
    container!.livenessProbe = { tcpSocket: { port: 'redis' }, periodSeconds: 3 };
    container!.readinessProbe = { httpGet: { path: '/', port: 8080 } };
    container!.startupProbe = { tcpSocket: { host: '10.1.1.1', port: 1 } };
    const injected = injectPodTemplate(own, transparent);
    expect(injected.spec!.containers![0]).toEqual({
      ...container,
      livenessProbe: { httpGet: { path: '/probe/tcp/6379', port: 4191 }, periodSeconds: 3 },
    });
    expect(uninjectPodTemplate(injected)).toEqual(own);
  });

  test('those of native sidecars too, which the application waits for', () => {
    const sidecar = {
      name: 'cache',
      restartPolicy: 'Always',
      ports: [{ containerPort: 6379 }],
      startupProbe: { tcpSocket: { port: 6379 } },
    };
    const own = annotated({}, { initContainers: [sidecar] });
    const injected = injectPodTemplate(own, transparent);
    expect(injected.spec!.initContainers!.at(-1)).toEqual({
      ...sidecar,
      startupProbe: { httpGet: { path: '/probe/tcp/6379', port: 4191 } },
    });
    expect(uninjectPodTemplate(injected)).toEqual(own);
    // The proxy would start only after it.
    const beside = injectPodTemplate(own, { ...transparent, sidecar: 'container' });
    expect(beside.spec!.initContainers![0]).toEqual(sidecar);
  });

  test('ports and user step around the application’s own', () => {
    const own = annotated({}, { securityContext: { runAsUser: 2102 } });
    own.spec!.containers![0]!.ports = [{ containerPort: 4143 }, { containerPort: 4191 }];
    const [init, proxy] = injectPodTemplate(own, transparent).spec!.initContainers!;
    expect(init!.args).toEqual(
      expect.arrayContaining(['--proxy-uid=2103', '--inbound-port=4144', '--admin-port=4192']),
    );
    expect(proxy).toMatchObject({
      securityContext: { runAsUser: 2103 },
      readinessProbe: { httpGet: { port: 4192 } },
    });
    expect(injectPodTemplate(own, transparent).metadata!.annotations).toMatchObject({
      'prometheus.io/port': '4192',
    });
  });

  test('where the sidecar is no init container, rules come after the others, which would be cut off', () => {
    const own = annotated({}, { initContainers: [{ name: 'migrate' }] });
    const injected = injectPodTemplate(own, { ...transparent, sidecar: 'container' });
    expect(injected.spec!.initContainers!.map(({ name }) => name)).toEqual(['migrate', 'weir-init']);
    expect(injected.spec!.containers!.map(({ name }) => name)).toEqual(['app', 'weir-proxy']);
  });
});
