import { kinds } from '../../api/kinds.ts';
import type { KubeClient } from '../../kube/types.ts';
import { toAppError } from '../../lib/errors.ts';
import type { GateProbe } from '../machine/types.ts';
import type { Deployment } from '../objects.ts';

export type Probed = Pick<GateProbe, 'at' | 'holds' | 'message'>;

export const heldMessage = (deployment: string): string =>
  `a changed template of Deployment ${deployment} is held`;

/** Does the gate hold? Dry runs, one after the other, that change the template and ask for paused: false must come back paused. */
export async function probeGate(
  client: KubeClient,
  namespace: string,
  name: string,
  tries: number,
  now: () => number,
  signal: AbortSignal,
): Promise<Probed> {
  try {
    for (let attempt = 1; attempt <= tries; attempt += 1) {
      const annotations = { 'weir.dev/gate-probe': `${now()}-${attempt}` };
      const answer = await client.patch<Deployment>(
        kinds.Deployment,
        namespace,
        name,
        { type: 'merge', body: { spec: { paused: false, template: { metadata: { annotations } } } } },
        { fieldManager: 'weir-gate-probe', dryRun: true, signal },
      );
      if (answer.spec.paused !== true) {
        return {
          at: now(),
          holds: false,
          message: `a changed template of Deployment ${name} would start at once: the gate's admission policies or webhook are not in force; run \`weir check\``,
        };
      }
    }
    return { at: now(), holds: true, message: heldMessage(name) };
  } catch (thrown) {
    const { code, message } = toAppError(thrown);
    return {
      at: now(),
      holds: false,
      message: `the gate could not be tried, run \`weir check\` (${code}): ${message}`,
    };
  }
}
