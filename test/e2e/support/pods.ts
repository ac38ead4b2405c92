import type { KubeObject } from '../../../src/api/meta.ts';

export const isReady = ({ status }: KubeObject): boolean =>
  (status as { conditions?: { type: string; status: string }[] }).conditions?.some(
    ({ type, status: value }) => type === 'Ready' && value === 'True',
  ) === true;
