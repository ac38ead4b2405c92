import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { main } from './program.ts';

let directory: string;
let kubeconfig: string;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'weir-cli-'));
  kubeconfig = join(directory, 'kubeconfig');
  // A port on which nobody listens any more.
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  writeFileSync(
    kubeconfig,
    `apiVersion: v1
kind: Config
clusters: [{name: a, cluster: {server: "https://127.0.0.1:${port}"}}]
users: [{name: u, user: {token: x}}]
contexts: [{name: c, context: {cluster: a, user: u}}]
current-context: c
`,
  );
});
afterAll(() => rmSync(directory, { recursive: true }));
afterEach(() => {
  jest.restoreAllMocks();
  process.exitCode = undefined;
});

/** What a command prints, and its exit code. */
async function run(...argv: string[]): Promise<{ out: string; err: string; code: number }> {
  let [out, err] = ['', ''];
  jest.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += String(text);
    return true;
  });
  jest.spyOn(process.stderr, 'write').mockImplementation((text) => {
    err += String(text);
    return true;
  });
  await main(argv);
  return { out, err, code: Number(process.exitCode ?? 0) };
}

describe('a cluster that does not answer', () => {
  test.each([
    ['rollouts', 'list'],
    ['rollouts', 'get', 'web'],
    ['stat', 'deploy'],
    ['tap', 'deploy/web'],
    ['install'],
  ])('weir %s %s: one line that says what to do, exit code 1', async (...argv) => {
    const { out, err, code } = await run(...argv, '--kubeconfig', kubeconfig);
    expect(err).toMatch(
      /^weir: no answer from the API server 127\.0\.0\.1:\d+ \(ECONNREFUSED\): .*--kubeconfig.*\n$/,
    );
    expect([out, code]).toEqual(['', 1]);
  });

  test('weir check tells it once', async () => {
    const { out, code } = await run('check', '--kubeconfig', kubeconfig);
    expect(out).toMatch(
      /^Kubernetes\n× API server: .*\n {4}Is the cluster up.*\n\n0 ok, 0 with warnings, 1 failed\n$/,
    );
    expect(code).toBe(1);
  });
});

describe('wrong usage is found before a cluster is asked for', () => {
  test.each([
    [['stat', 'deploy', '--window', 'abc'], /--window.*"abc" is not a duration/],
    [['tap', 'web/1/2'], /write deploy\/NAME or pod\/NAME/],
    [['tap', 'deploy/web', '--status', '99'], /--status.*write a status such as 404/],
    [['tap', 'deploy/web', '--max-rps', 'x'], /--max-rps/],
    [['tap', 'deploy/web', '-c', '0'], /--count.*whole number of 1 or more/],
    [['controller', '--concurrency', '1.5'], /--concurrency.*whole number of 1 or more/],
    [['mesh', '--certificate-lifetime', '12'], /--certificate-lifetime.*is not a duration/],
    [['check', '--timeout', 'soon'], /--timeout.*whole number of 1 or more/],
    [['controller', '--listen', 'x'], /--listen.*"x" is not an address to listen on/],
    [['controller', '--prometheus-url', 'store:9090'], /--prometheus-url.*"store:9090" is not a URL/],
    [['controller', '--mesh-address', ''], /--mesh-address.*"" is not a URL/],
    [['mesh', '--webhook-listen', ':99999'], /--webhook-listen.*is not an address to listen on/],
    [['mesh', '--trace-otlp', 'x'], /--trace-otlp.*"x" is not a URL/],
    [['mesh', '--trace-sample', '7'], /--trace-sample.*a share from 0 to 1/],
    [['metrics', '--config', 'x', '--listen', 'x'], /--listen.*"x" is not an address to listen on/],
    [['metrics', '--config', 'x', '--retention', '6'], /--retention.*"6" is not a duration/],
    [['metrics', '--config', 'x', '--max-memory', 'much'], /--max-memory.*whole number of 1 or more/],
    [['gitops', '--repo', '.', '--interval', 'often'], /--interval.*"often" is not a duration/],
    [['install', '--prometheus-url', 'store:9090'], /--prometheus-url.*"store:9090" is not a URL/],
    [['install', '--trace-otlp', 'x'], /--trace-otlp.*"x" is not a URL/],
    [['stat', 'deploy', '--window', '0s'], /--window.*more than 0/],
    [['stat', 'deploy', '--prometheus-url', 'x'], /--prometheus-url.*"x" is not a URL/],
    [['stat', 'deploy/web/x'], /deploy, svc or pod, or for one as deploy\/NAME/],
    [['local', 'up', '--name', 'a b'], /--name.*letters, digits/],
    [['local', 'status', '-o', 'yaml'], /--output.*text, json/],
    [['install', '--namespaces', ''], /--namespaces.*"" is not the name of a namespace/],
    [['install', '--namespaces', 'shop,Pay'], /"Pay" is not the name of a namespace/],
  ])('%j', async (argv, message) => {
    const { out, err, code } = await run(...argv);
    expect(err).toMatch(/^weir: /);
    expect(err).toMatch(message);
    expect(err).toMatch(/See `weir \w+( \w+)? --help`\.\n$/);
    expect([out, code]).toEqual(['', 2]);
  });
});

test('what is to be read and is not there is named, exit code 2', async () => {
  for (const argv of [
    ['inject', 'nix.yaml'],
    ['uninject', 'nix.yaml'],
    ['rollouts', 'lint', '-f', 'nix.yaml'],
  ]) {
    const { err, code } = await run(...argv);
    expect([err, code]).toEqual(['weir: cannot read nix.yaml: there is no such file\n', 2]);
    jest.restoreAllMocks();
  }
});

test.each([
  ['help', 'rollouts'],
  ['help', 'ro'],
  ['ro', '--help'],
  ['rollouts', '--help'],
])('weir %s %s has all of the subcommands', async (...argv) => {
  const { out, code } = await run(...argv);
  expect(out).toMatch(/\n {2}promote \[options\] <name> +end the current step/);
  expect(code).toBe(0);
});

test('what an example reads is in the repository', async () => {
  const { out } = await run('rollouts', 'lint', '--help');
  const files = [...out.matchAll(/examples\/\S+\.yaml/g)].map(([file]) => file);
  expect(files).not.toEqual([]);
  for (const file of files) expect(existsSync(join(import.meta.dirname, '../..', file))).toBe(true);
});

test('a command’s own help begins with a sentence, the list above it with a few words', async () => {
  expect((await run('local', 'up', '--help')).out).toMatch(/\n\nStart it, install Weir in it, .*\.\n/s);
  jest.restoreAllMocks();
  expect((await run('local', '--help')).out).toMatch(/up \[options\] +start it, install Weir in it, /);
});

test('--help fits a terminal of 80 columns and tells no default that says nothing', async () => {
  const columns = process.stdout.columns;
  process.stdout.columns = 80;
  for (const name of ['install', 'inject', 'stat', 'metrics', 'mesh', 'proxy-init', 'controller']) {
    const { out } = await run(name, '--help');
    const [text = ''] = out.split(/^(Examples?|Exit codes):/m);
    expect(text.split('\n').filter((line) => line.length > 80)).toEqual([]);
    expect(text).not.toMatch(/default:\s+(false|\[\]|"")/);
  }
  process.stdout.columns = columns;
});
