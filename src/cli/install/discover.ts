import type { KubeClient } from '../../kube/types.ts';
import { isCode } from '../../lib/errors.ts';
import type { InstallOptions } from './options.ts';

/** How the gate can be enforced on this cluster, and why so: inside the API server where it serves the policies. */
export async function admissionOf(
  client: KubeClient,
): Promise<{ admission: InstallOptions['admission']; why: string }> {
  try {
    const { resources = [] } = (await client.request('GET', '/apis/admissionregistration.k8s.io/v1', {
      signal: AbortSignal.timeout(5000),
    })) as { resources?: { kind: string }[] };
    return resources.some(({ kind }) => kind === 'MutatingAdmissionPolicy')
      ? { admission: 'policies', why: 'the cluster serves MutatingAdmissionPolicy v1' }
      : { admission: 'webhooks', why: 'the cluster does not serve MutatingAdmissionPolicy v1' };
  } catch (thrown) {
    if (!isCode(thrown, 'NotFound')) throw thrown;
    return { admission: 'webhooks', why: 'the cluster does not serve admissionregistration.k8s.io/v1' };
  }
}
