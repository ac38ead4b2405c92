import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';

let directory: string;

const FILES = {
  'broken.yml': 'scrape_configs: [{job_name: web, bad: [}',
  'wrong.yml': 'scrape_configs: [{job_name: 3}]',
  'right.yml': 'scrape_configs: []',
  'proxy.yaml': 'outbound: [{listen: 1, destination: web}]',
  'broken.kubeconfig': 'clusters: [',
  'empty.kubeconfig': 'apiVersion: v1\nkind: Config\n',
};

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'weir-given-'));
  for (const [name, text] of Object.entries(FILES)) writeFileSync(join(directory, name), text);
});
afterAll(() => rmSync(directory, { recursive: true }));

/** Runs `weir` itself, in the folder of the files, where no cluster is configured. */
function weir(...argv: string[]): Promise<{ out: string; err: string; code: unknown }> {
  const main = join(import.meta.dirname, '../main.ts');
  const env = { PATH: process.env.PATH, HOME: directory };
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...argv], { cwd: directory, env }, (error, out, err) =>
      resolve({ out, err, code: error?.code ?? 0 }),
    );
  });
}

describe('a process that is given what it cannot use says so in a line, and ends with exit code 2', () => {
  const cases: [string, string][] = [
    ['metrics --config /nope', '--config: cannot read /nope: there is no such file'],
    ['metrics --config .', '--config: cannot read .: it is a folder'],
    ['metrics --config broken.yml', 'broken.yml: the configuration is not YAML: * at line 1, column *'],
    ['metrics --config wrong.yml', 'wrong.yml: the configuration is invalid: scrape_configs[0].job_name: *'],
    ['metrics --config wrong.yml --check', 'wrong.yml: the configuration is invalid: *'],
    [
      'controller --kubeconfig /nope',
      'cannot read the kubeconfig: kubeconfig /nope does not exist; check --kubeconfig *',
    ],
    ['controller', 'no cluster is configured: set KUBECONFIG or --kubeconfig, *'],
    ['mesh --kubeconfig broken.kubeconfig', 'cannot read the kubeconfig: broken.kubeconfig is not YAML: *'],
    ['gitops --repo . --kubeconfig empty.kubeconfig', 'empty.kubeconfig names no current context: *'],
    ['proxy', 'nothing says what to proxy: give --config FILE *'],
    ['proxy --config /nope', '--config: cannot read /nope: there is no such file'],
    ['proxy --check', '--check needs --config FILE'],
    ['proxy --config proxy.yaml --print', '--print goes with --check'],
    ['proxy-init --print --skip-subnets ten', '--skip-subnets: "ten" is no CIDR: write *'],
  ];
  // All at once: each is mostly the start of a process.
  const ran = new Map<string, ReturnType<typeof weir>>();
  beforeAll(async () => {
    for (const [line] of cases) ran.set(line, weir(...line.split(' ')));
    await Promise.all(ran.values());
  });

  test.each(cases)('weir %s', async (line, told) => {
    const { out, err, code } = await ran.get(line)!;
    const pattern = told
      .split('*')
      .map((text) => text.replace(/[.()[\]]/g, '\\$&'))
      .join('.+');
    expect(err).toMatch(new RegExp(`^weir: ${pattern}\\n$`));
    expect([out, code]).toEqual(['', 2]);
  });

  test('weir check says it among its results', async () => {
    const { out, code } = await weir('check');
    expect(out).toMatch(
      /^Kubernetes\n× kubeconfig: does not say which cluster .*\n {4}no cluster is configured: .*\n\n/,
    );
    expect(code).toBe(1);
  });

  test('weir proxy: a file with mistakes is told of all of them, a line each', async () => {
    const { err, code } = await weir('proxy', '--config', 'proxy.yaml');
    expect(err).toMatch(/^weir: \S+proxy\.yaml is not a valid proxy file:\n {2}outbound\[0\]\.listen: .+\n$/);
    expect(code).toBe(2);
  });
});
