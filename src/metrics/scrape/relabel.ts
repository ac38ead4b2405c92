import { createHash } from 'node:crypto';
import { expand } from '../promql/functions.ts';
import { compileAnchored } from '../regex.ts';
import type { RelabelConfig } from './config.ts';

export interface RelabelRule extends Omit<RelabelConfig, 'regex'> {
  regex: RegExp;
}

export function compileRules(configs: readonly RelabelConfig[]): RelabelRule[] {
  return configs.map((config) => ({ ...config, regex: compileAnchored(config.regex) }));
}

/** The labels after all rules, or undefined when one of them drops the target or sample. */
export function relabel(
  labels: ReadonlyMap<string, string>,
  rules: readonly RelabelRule[],
): Map<string, string> | undefined {
  const result = new Map(labels);
  for (const rule of rules) if (!applyRule(result, rule)) return undefined;
  for (const [name, value] of result) if (value === '') result.delete(name);
  return result;
}

function applyRule(labels: Map<string, string>, rule: RelabelRule): boolean {
  const source = rule.source_labels.map((name) => labels.get(name) ?? '').join(rule.separator);
  switch (rule.action) {
    case 'keep':
      return rule.regex.test(source);
    case 'drop':
      return !rule.regex.test(source);
    case 'keepequal':
      return source === (labels.get(rule.target_label!) ?? '');
    case 'dropequal':
      return source !== (labels.get(rule.target_label!) ?? '');
    case 'replace': {
      const match = rule.regex.exec(source);
      if (!match) return true;
      const target = expand(rule.target_label!, match);
      if (/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(target)) labels.set(target, expand(rule.replacement, match));
      return true;
    }
    case 'lowercase':
      labels.set(rule.target_label!, source.toLowerCase());
      return true;
    case 'uppercase':
      labels.set(rule.target_label!, source.toUpperCase());
      return true;
    case 'hashmod': {
      // As Prometheus: the last eight bytes of the MD5, modulo.
      const digest = createHash('md5').update(source).digest();
      labels.set(rule.target_label!, String(digest.readBigUInt64BE(8) % BigInt(rule.modulus!)));
      return true;
    }
    case 'labelmap':
      for (const [name, value] of [...labels]) {
        const match = rule.regex.exec(name);
        if (match) labels.set(expand(rule.replacement, match), value);
      }
      return true;
    case 'labeldrop':
      for (const name of [...labels.keys()]) if (rule.regex.test(name)) labels.delete(name);
      return true;
    case 'labelkeep':
      for (const name of [...labels.keys()]) if (!rule.regex.test(name)) labels.delete(name);
      return true;
  }
}
