import { describe, expect, test } from '@jest/globals';
import { healthOf } from './health.ts';

const deployment = (spec: object, status: object) =>
  healthOf({ kind: 'Deployment', metadata: { name: 'web', generation: 2 }, spec, status });
const done = { observedGeneration: 2, replicas: 2, updatedReplicas: 2, availableReplicas: 2 };

describe('kstatus', () => {
  test('a Deployment is current when every pod is updated, available and the old ones are gone', () => {
    expect(deployment({ replicas: 2 }, done).status).toBe('Current');
    expect(deployment({ replicas: 2 }, { ...done, observedGeneration: 1 }).status).toBe('InProgress');
    expect(deployment({ replicas: 2 }, { ...done, replicas: 3 }).status).toBe('InProgress');
    expect(deployment({ replicas: 2 }, { ...done, availableReplicas: 1 })).toEqual({
      status: 'InProgress',
      message: '1 of 2 pods are available',
    });
  });

  test('a held Deployment is in progress: that is the truth during a canary', () => {
    expect(deployment({ replicas: 2, paused: true }, done).status).toBe('InProgress');
  });

  test('a Rollout that was rolled back fails at once instead of timing out', () => {
    const conditions = [
      {
        type: 'Stalled',
        status: 'True' as const,
        reason: 'RolledBack',
        message: 'success-rate 95%',
        lastTransitionTime: '',
      },
      { type: 'Ready', status: 'False' as const, reason: 'RolledBack', message: '', lastTransitionTime: '' },
    ];
    expect(healthOf({ kind: 'Rollout', metadata: { name: 'web' }, status: { conditions } })).toEqual({
      status: 'Failed',
      message: 'success-rate 95%',
    });
    expect(healthOf({ kind: 'Rollout', metadata: { name: 'web' } }).status).toBe('InProgress');
  });

  test('what has no status is current once it exists', () => {
    expect(healthOf({ kind: 'ConfigMap', metadata: { name: 'x' } }).status).toBe('Current');
  });
});
