import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { parse, stringify } from 'yaml';
import { weir } from './support/cli.ts';
import { sharedCluster, type TestCluster } from './support/cluster.ts';

let cluster: TestCluster;
const folder = mkdtempSync(join(tmpdir(), 'weir-kubeconfig-'));
beforeAll(async () => {
  cluster = await sharedCluster();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Config {
  users: { user: { token?: string } }[];
}

function configWith(user: (token: string) => object): string {
  const config = parse(readFileSync(cluster.kubeconfig, 'utf8')) as Config;
  for (const each of config.users) each.user = user(each.user.token!);
  return stringify(config);
}

/** Prints the token as a cloud's plug-in does. */
function plugin(token: string): object {
  const command = join(folder, 'credentials');
  const credential = {
    kind: 'ExecCredential',
    apiVersion: 'client.authentication.k8s.io/v1',
    status: { token },
  };
  writeFileSync(command, `#!/bin/sh\necho '${JSON.stringify(credential)}'\n`);
  chmodSync(command, 0o755);
  return {
    exec: { apiVersion: 'client.authentication.k8s.io/v1', command, interactiveMode: 'Never' },
  };
}

function tokenFile(token: string): object {
  writeFileSync(join(folder, 'token'), `${token}\n`);
  return { tokenFile: 'token' };
}

test.each([
  ['a token', (token: string) => ({ token })],
  ['a token file', tokenFile],
  ['an exec plug-in', plugin],
])('the command line takes a kubeconfig in YAML with %s', async (name, user) => {
  const file = join(folder, `${name}.yaml`);
  writeFileSync(file, configWith(user));
  const said = await weir(file, 'rollouts', 'list', '--all-namespaces', '-o', 'json');
  expect(JSON.parse(said)).toEqual(expect.any(Object));
});
