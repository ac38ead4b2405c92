import { parse } from 'yaml';
import { z } from 'zod';
import '../../api/messages.ts';
import { AppError } from '../../lib/errors.ts';
import { fieldPath } from '../../lib/field-path.ts';
import { yamlProblem } from '../../lib/yaml-problem.ts';
import { promDuration } from '../promql/literals.ts';
import { compileAnchored } from '../regex.ts';

/** A duration of the file (`15s`), as milliseconds. */
const duration = z.string().transform((text, context) => {
  const value = promDuration(text);
  if (value !== undefined && value > 0) return value;
  context.addIssue({ code: 'custom', message: `"${text}" is not a duration: write one such as 15s or 1m` });
  return z.NEVER;
});

const regex = z.union([z.string(), z.number().transform(String)]).superRefine((text, context) => {
  try {
    compileAnchored(text);
  } catch (thrown) {
    context.addIssue({ code: 'custom', message: (thrown as Error).message });
  }
});

const actions = [
  'replace',
  'keep',
  'drop',
  'keepequal',
  'dropequal',
  'hashmod',
  'labelmap',
  'labeldrop',
  'labelkeep',
  'lowercase',
  'uppercase',
] as const;
const TARGETED: readonly string[] = [
  'replace',
  'hashmod',
  'lowercase',
  'uppercase',
  'keepequal',
  'dropequal',
];

const relabelConfig = z
  .strictObject({
    source_labels: z.array(z.string()).default([]),
    separator: z.string().default(';'),
    target_label: z.string().optional(),
    regex: regex.default('(.*)'),
    modulus: z.number().int().positive().optional(),
    replacement: z.string().default('$1'),
    action: z
      .string()
      .default('replace')
      .transform((text) => text.toLowerCase())
      .pipe(z.enum(actions)),
  })
  .superRefine((rule, context) => {
    if (TARGETED.includes(rule.action) && !rule.target_label)
      context.addIssue({ code: 'custom', message: `the action ${rule.action} needs a target_label` });
    if (rule.action === 'hashmod' && !rule.modulus)
      context.addIssue({ code: 'custom', message: 'the action hashmod needs a modulus' });
  });

const staticConfig = z.strictObject({
  targets: z.array(z.string().min(1)),
  labels: z.record(z.string(), z.coerce.string()).default({}),
});

const kubernetesConfig = z.strictObject({
  role: z.literal('pod', { error: 'only the role "pod" is supported: use a full Prometheus for others' }),
  kubeconfig_file: z.string().optional(),
  namespaces: z
    .strictObject({ own_namespace: z.boolean().default(false), names: z.array(z.string()).default([]) })
    .default({ own_namespace: false, names: [] }),
  selectors: z
    .array(
      z.strictObject({ role: z.literal('pod'), label: z.string().optional(), field: z.string().optional() }),
    )
    .max(1)
    .default([]),
});

const tlsConfig = z.strictObject({
  ca_file: z.string().optional(),
  cert_file: z.string().optional(),
  key_file: z.string().optional(),
  server_name: z.string().optional(),
  insecure_skip_verify: z.boolean().default(false),
});

const scrapeConfig = z.strictObject({
  job_name: z.string().min(1),
  scrape_interval: duration.optional(),
  scrape_timeout: duration.optional(),
  metrics_path: z.string().default('/metrics'),
  scheme: z.enum(['http', 'https']).default('http'),
  params: z.record(z.string(), z.array(z.string())).default({}),
  honor_labels: z.boolean().default(false),
  honor_timestamps: z.boolean().default(true),
  sample_limit: z.number().int().nonnegative().default(0),
  authorization: z
    .strictObject({ type: z.string().default('Bearer'), credentials_file: z.string() })
    .optional(),
  tls_config: tlsConfig.optional(),
  static_configs: z.array(staticConfig).default([]),
  kubernetes_sd_configs: z.array(kubernetesConfig).default([]),
  relabel_configs: z.array(relabelConfig).default([]),
  metric_relabel_configs: z.array(relabelConfig).default([]),
});

const config = z.object({
  global: z
    .object({
      scrape_interval: duration.default(60_000),
      scrape_timeout: duration.optional(),
      evaluation_interval: duration.default(60_000),
    })
    .default({ scrape_interval: 60_000, evaluation_interval: 60_000 }),
  scrape_configs: z.array(scrapeConfig).default([]),
});

export type RelabelConfig = z.infer<typeof relabelConfig>;
export type KubernetesSdConfig = z.infer<typeof kubernetesConfig>;
export type ScrapeConfig = Omit<z.infer<typeof scrapeConfig>, 'scrape_interval' | 'scrape_timeout'> & {
  scrape_interval: number;
  scrape_timeout: number;
};

export interface MetricsConfig {
  evaluationInterval: number;
  scrapeConfigs: ScrapeConfig[];
  /** Sections of the file that a full Prometheus would use and this store does not. */
  ignored: string[];
}

/** Reads a Prometheus configuration file. Throws AppError Invalid naming the field; times become milliseconds. */
export function parseConfig(text: string): MetricsConfig {
  let document: unknown;
  try {
    document = parse(text) ?? {};
  } catch (cause) {
    throw new AppError('Invalid', `the configuration is not YAML: ${yamlProblem(cause)}`, { cause });
  }
  const parsed = config.safeParse(document);
  if (!parsed.success) {
    const lines = parsed.error.issues.map(({ path, message }) => `${fieldPath(path)}: ${message}`);
    throw new AppError('Invalid', `the configuration is invalid: ${lines.join('; ')}`);
  }
  const { global, scrape_configs } = parsed.data;
  const names = new Set<string>();
  const scrapeConfigs = scrape_configs.map((entry, index) => {
    if (names.has(entry.job_name)) {
      const message = `the configuration is invalid: scrape_configs[${index}].job_name: "${entry.job_name}" is used twice`;
      throw new AppError('Invalid', message);
    }
    names.add(entry.job_name);
    const interval = entry.scrape_interval ?? global.scrape_interval;
    const timeout = entry.scrape_timeout ?? Math.min(interval, global.scrape_timeout ?? 10_000);
    if (timeout > interval) {
      const message = `the configuration is invalid: scrape_configs[${index}].scrape_timeout: is longer than the scrape interval`;
      throw new AppError('Invalid', message);
    }
    return { ...entry, scrape_interval: interval, scrape_timeout: timeout };
  });
  return {
    evaluationInterval: global.evaluation_interval,
    scrapeConfigs,
    ignored: Object.keys(document as object).filter((key) => key !== 'global' && key !== 'scrape_configs'),
  };
}
