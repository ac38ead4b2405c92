import { labels } from '../../api/names.ts';
import { canonicalJson } from '../../lib/canonical.ts';
import { fnv32a } from '../../lib/fnv.ts';
import type { PodTemplate } from './types.ts';

// The alphabet of apimachinery's rand.SafeEncodeString: no vowels, so that no hash spells a word.
const SAFE = 'bcdfghjklmnpqrstvwxz2456789';

export function safeEncode(text: string): string {
  return Array.from(text, (char) => SAFE[char.charCodeAt(0) % SAFE.length]).join('');
}

/** The value of the pod-template-hash label; a collision count greater than 0 gives the same template another one. */
export function templateHash(template: PodTemplate, collisionCount = 0): string {
  return safeEncode(
    String(fnv32a(canonicalJson(template) + (collisionCount > 0 ? `#${collisionCount}` : ''))),
  );
}

/** The template as compared: without pod-template-hash, and without the empty maps that its absence leaves behind. */
function comparable(template: PodTemplate): string {
  const { labels: all = {}, annotations = {}, creationTimestamp: _none, ...rest } = template.metadata ?? {};
  const { [labels.podTemplateHash]: _hash, ...others } = all;
  return canonicalJson({ ...template, metadata: { ...rest, labels: others, annotations } });
}

/** Upstream's EqualIgnoreHash: the same pods but for the hash label. */
export function equalIgnoringHash(a: PodTemplate, b: PodTemplate): boolean {
  return comparable(a) === comparable(b);
}
