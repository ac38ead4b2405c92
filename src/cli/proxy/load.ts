import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';
import { ownLimits } from '../../api/proxy-limits.ts';
import { AppError } from '../../lib/errors.ts';
import { fieldPath } from '../../lib/field-path.ts';
import { yamlProblem } from '../../lib/yaml-problem.ts';
import type { ProxyConfig } from '../../mesh/proxy/config.ts';
import { readGiven } from '../given.ts';
import { type ProxyFile, proxyFile } from './schema.ts';

/** Reads and checks a proxy file. Every problem is named by its field, with what to write instead. */
export function loadProxyFile(path: string): ProxyConfig {
  return parseProxyFile(readGiven(path, '--config'), path);
}

/** As loadProxyFile, from its text; relative file names are looked up beside `path`. */
export function parseProxyFile(text: string, path: string): ProxyConfig {
  let value: unknown;
  try {
    value = parse(text);
  } catch (thrown) {
    throw new AppError('Invalid', `${path} is not YAML: ${yamlProblem(thrown)}`, { cause: thrown });
  }
  const parsed = proxyFile.safeParse(value ?? {});
  const problems = parsed.success
    ? contradictions(parsed.data)
    : parsed.error.issues.map(({ path: at, message }) => `${fieldPath(at) || '(file)'}: ${message}`);
  if (!parsed.success || problems.length > 0) {
    throw new AppError('Invalid', [`${path} is not a valid proxy file:`, ...problems].join('\n  '));
  }
  return normalise(parsed.data, path);
}

/** What no single field can say. */
function contradictions(file: ProxyFile): string[] {
  const problems: string[] = [];
  const secure = file.inbound.findIndex(({ tls }) => tls !== 'off');
  if (secure >= 0 && !file.identity) {
    problems.push(`inbound[${secure}].tls: needs identity (certificate, key, trust); or write tls: off`);
  }
  for (const [index, { destination }] of file.outbound.entries()) {
    if (!Object.hasOwn(file.destinations, destination)) {
      problems.push(
        `outbound[${index}].destination: "${destination}" is not among destinations (${Object.keys(file.destinations).join(', ') || 'none'})`,
      );
    }
  }
  for (const [key, { backends }] of Object.entries(file.destinations)) {
    const meshed = backends.find(({ endpoints }) => endpoints.some(({ identity }) => identity));
    if (meshed && !file.identity) {
      problems.push(`destinations.${key}: backend ${meshed.name} asks for mutual TLS, which needs identity`);
    }
  }
  if (file.inbound.length + file.outbound.length === 0) {
    problems.push('inbound, outbound: there is nothing to listen on; add one of them');
  }
  return problems;
}

function normalise(file: ProxyFile, path: string): ProxyConfig {
  const beside = (name: string) => resolve(dirname(path), name);
  const { identity, limits } = file;
  return {
    admin: file.admin,
    identity: identity && {
      certificate: beside(identity.certificate),
      key: beside(identity.key),
      trust: beside(identity.trust),
    },
    inbound: file.inbound,
    outbound: file.outbound,
    destinations: Object.fromEntries(
      Object.entries(file.destinations).map(([key, destination]) => [key, { key, ...destination }]),
    ),
    limits: ownLimits(limits),
    zone: file.zone,
    tracing: file.tracing,
    accessLog: file.accessLog && {
      file: file.accessLog.file === '-' ? '-' : beside(file.accessLog.file),
    },
    grace: file.drain.grace,
  };
}
