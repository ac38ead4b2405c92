import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** One write as the API server saw it (audit.k8s.io/v1, level Metadata). */
export interface Write {
  verb: string;
  resource: string;
  name: string;
  from: string;
  /** When it came in and when it was answered, as milliseconds of the epoch. */
  at: number;
  done: number;
  code: number;
}

interface AuditEvent {
  verb: string;
  sourceIPs: string[];
  requestReceivedTimestamp: string;
  stageTimestamp: string;
  objectRef?: { resource?: string; subresource?: string; name?: string };
  responseStatus?: { code?: number };
}

/** The API server's own record of who wrote what and when. */
export class AuditLog {
  readonly #file: string;
  readonly flags: string[];

  constructor() {
    const dir = mkdtempSync(join(tmpdir(), 'weir-audit-'));
    this.#file = join(dir, 'audit.log');
    const policy = join(dir, 'policy.json');
    writeFileSync(
      policy,
      JSON.stringify({
        apiVersion: 'audit.k8s.io/v1',
        kind: 'Policy',
        omitStages: ['RequestReceived'],
        rules: [{ level: 'Metadata', verbs: ['create', 'update', 'patch', 'delete'] }, { level: 'None' }],
      }),
    );
    this.flags = [`--audit-policy-file=${policy}`, `--audit-log-path=${this.#file}`];
  }

  writes(from: string): Write[] {
    return readFileSync(this.#file, 'utf8')
      .split('\n')
      .filter((line) => line.includes(from))
      .map((line) => JSON.parse(line) as AuditEvent)
      .map(({ verb, objectRef, sourceIPs, requestReceivedTimestamp, stageTimestamp, responseStatus }) => ({
        verb,
        resource: [objectRef?.resource, objectRef?.subresource].filter(Boolean).join('/'),
        name: objectRef?.name ?? '',
        from: sourceIPs[0] ?? '',
        at: Date.parse(requestReceivedTimestamp),
        done: Date.parse(stageTimestamp),
        code: responseStatus?.code ?? 0,
      }))
      .filter((write) => write.from === from);
  }
}
