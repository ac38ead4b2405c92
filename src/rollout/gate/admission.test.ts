import { describe, expect, test } from '@jest/globals';
import type { KubeObject } from '../../api/meta.ts';
import type { AdmissionRequest } from '../../controller/admission.ts';
import { decideBackstop, decideDeployment, decideService } from './admission.ts';

const WEIR = 'system:serviceaccount:weir:weir-controller';
const GATE = { 'deployment.web': 'web', 'pin.web': '85f458bf8|app=web|tier=front' };
const HELD = { allowed: true, patch: [{ op: 'add', path: '/spec/paused', value: true }] };
const PASS = { allowed: true };

const deployment = (image: string, paused?: boolean, name = 'web'): KubeObject => ({
  metadata: { name, namespace: 'shop' },
  spec: {
    replicas: 2,
    ...(paused === undefined ? {} : { paused }),
    template: { spec: { containers: [{ name: 'app', image }] } },
  },
});

function request(
  resource: 'deployments' | 'services',
  object: KubeObject,
  oldObject: KubeObject | undefined,
  username = 'gitops',
  more: Partial<AdmissionRequest> = {},
): AdmissionRequest {
  const group = resource === 'deployments' ? 'apps' : '';
  return {
    uid: '1',
    kind: { group, version: 'v1', kind: resource },
    resource: { group, version: 'v1', resource },
    operation: oldObject ? 'UPDATE' : 'CREATE',
    userInfo: { username },
    namespace: 'shop',
    object,
    oldObject: oldObject ?? null,
    ...more,
  };
}

describe('the gate', () => {
  test.each<[string, KubeObject, KubeObject, string, object]>([
    ['set image', deployment('v2'), deployment('v1'), 'ann', HELD],
    ['a manifest with paused: false', deployment('v2', false), deployment('v1'), 'ann', HELD],
    ['the second apply of the same change', deployment('v2', false), deployment('v2', true), 'ann', HELD],
    ['rollout resume', deployment('v2'), deployment('v2', true), 'ann', HELD],
    ['replace back to stable while held', deployment('v1'), deployment('v2', true), 'ann', HELD],
    ['a third revision while held', deployment('v3'), deployment('v2', true), 'ann', HELD],
    ['a scale or a label', deployment('v1'), deployment('v1'), 'ann', PASS],
    ['a change that pauses by itself', deployment('v2', true), deployment('v1'), 'ann', PASS],
    ['Weir unpauses', deployment('v2'), deployment('v2', true), WEIR, PASS],
    ['even Weir does not change a template unpaused', deployment('v3'), deployment('v2', true), WEIR, HELD],
    ['nobody guards it', deployment('v2', undefined, 'api'), deployment('v1', undefined, 'api'), 'ann', PASS],
  ])('%s', (_name, object, old, user, expected) => {
    expect(decideDeployment(request('deployments', object, old, user), GATE, WEIR)).toEqual(expected);
  });

  test('creation, the scale subresource and a StatefulSet of the same name pass', () => {
    const change = (more: Partial<AdmissionRequest>) =>
      decideDeployment(request('deployments', deployment('v2'), deployment('v1'), 'ann', more), GATE, WEIR);
    expect(change({ operation: 'CREATE' })).toEqual(PASS);
    expect(change({ subResource: 'scale' })).toEqual(PASS);
    expect(change({ resource: { group: 'apps', version: 'v1', resource: 'statefulsets' } })).toEqual(PASS);
  });

  test('the backstop refuses what went past the gate, and names the Rollout', () => {
    const decide = (object: KubeObject) =>
      decideBackstop(request('deployments', object, deployment('v1')), GATE);
    expect(decide(deployment('v2', true))).toEqual(PASS);
    expect(decide(deployment('v1'))).toEqual(PASS);
    expect(decide(deployment('v2'))).toMatchObject({
      allowed: false,
      message: expect.stringContaining('Rollout web guards'),
    });
  });
});

describe('the pin', () => {
  const service = (selector?: Record<string, string>): KubeObject => ({
    metadata: { name: 'web', namespace: 'shop' },
    spec: { ...(selector ? { selector } : {}) },
  });
  const pinned = {
    allowed: true,
    patch: [{ op: 'add', path: '/spec/selector/pod-template-hash', value: '85f458bf8' }],
  };
  const own = { app: 'web', tier: 'front' };
  test.each<[string, KubeObject, string, object]>([
    ['an apply without the hash', service(own), 'ann', pinned],
    ['another hash', service({ ...own, 'pod-template-hash': 'other' }), 'ann', pinned],
    ['the right hash', service({ ...own, 'pod-template-hash': '85f458bf8' }), 'ann', PASS],
    ['another selector', service({ app: 'else', tier: 'front' }), 'ann', PASS],
    ['one key less', service({ app: 'web' }), 'ann', PASS],
    ['no selector', service(), 'ann', PASS],
    ['Weir itself', service(own), WEIR, PASS],
  ])('%s', (_name, object, user, expected) => {
    for (const old of [service(own), undefined]) {
      expect(decideService(request('services', object, old, user), GATE, WEIR)).toEqual(expected);
    }
  });
});
