import { describe, expect, test } from '@jest/globals';
import { app, options, pod, proxyEnv } from './fixtures.ts';
import { injectPodTemplate } from './patch.ts';
import type { EnvVar } from './pod.ts';

const rewritten = (value: string) => {
  const container = app(injectPodTemplate(pod([{ name: 'URL', value }]), options));
  return container.env!.find(({ name }) => name === 'URL')!.value;
};

describe('urls of Services', () => {
  test.each([
    ['http://orders', 'http://$(POD_IP):14001'],
    ['http://orders/', 'http://$(POD_IP):14001/'],
    ['http://orders:8000/a/b?c=d#e', 'http://$(POD_IP):14001/a/b?c=d#e'],
    ['http://ments.pay:81', 'http://$(POD_IP):14001'],
    ['http://later.any.svc', 'http://$(POD_IP):14001'],
    ['http://later.any.svc.cluster.local.:80/x', 'http://$(POD_IP):14001/x'],
    ['http://orders, http://ments.pay:81', 'http://$(POD_IP):14001, http://$(POD_IP):14002'],
    ['http://orders:1;http://orders:1', 'http://$(POD_IP):14001;http://$(POD_IP):14001'],
  ])('%s becomes %s', (before, after) => {
    expect(rewritten(before)).toBe(after);
  });

  test.each([
    'http://localhost:8080',
    'http://127.0.0.1:80',
    'http://example.com',
    'http://unknown.elsewhere',
    'http://orders.elsewhere',
    'http://later.any.svc.example.com',
    'http://user:pass@orders/',
    'http://[::1]:80',
    'http://orders:99999',
    'http://$(HOST):80',
    'https://orders',
    'orders:80',
    'http://12:80',
  ])('%s is left alone', (value) => {
    expect(rewritten(value)).toBe(value);
  });

  test('the variable of the address comes before its use, and never twice', () => {
    const fieldRef = { valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } };
    const names = (env: EnvVar[]) =>
      app(injectPodTemplate(pod(env), options)).env!.map(({ name, value }) => `${name}=${value}`);
    expect(names([{ name: 'A', value: 'http://orders' }])).toEqual([
      'POD_IP=undefined',
      'A=http://$(POD_IP):14001',
    ]);
    expect(
      names([
        { name: 'POD_IP', ...fieldRef },
        { name: 'A', value: 'http://orders' },
      ]),
    ).toEqual(['POD_IP=undefined', 'A=http://$(POD_IP):14001']);
    expect(
      names([
        { name: 'A', value: 'http://orders' },
        { name: 'POD_IP', value: '1.2.3.4' },
      ]),
    ).toEqual(['WEIR_POD_IP=undefined', 'A=http://$(WEIR_POD_IP):14001', 'POD_IP=1.2.3.4']);
    expect(names([{ name: 'A', value: 'http://example.com' }])).toEqual(['A=http://example.com']);
  });

  test('the annotation adds listeners, in its order and before those of the env', () => {
    const own = pod([{ name: 'A', value: 'http://orders' }]);
    own.metadata!.annotations = { 'config.weir.dev/outbound': 'payments.shop:81, web' };
    expect(JSON.parse(proxyEnv(injectPodTemplate(own, options), 'WEIR_OUTBOUND')!)).toEqual([
      { listen: 14001, destination: 'payments.shop:81' },
      { listen: 14002, destination: 'web.shop:80' },
      { listen: 14003, destination: 'orders.shop:80' },
    ]);
  });
});
