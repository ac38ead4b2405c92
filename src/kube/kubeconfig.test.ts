import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { ClusterAccess, credentialsOf } from './config.ts';
import { type Chosen, currentContext, type User } from './kubeconfig.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'weir-kubeconfig-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, text: string | object): string {
  const file = join(folder, name);
  writeFileSync(file, typeof text === 'string' ? text : JSON.stringify(text));
  return file;
}

const pem = (name: string): string => `-----BEGIN ${name}-----\n`;
const base64 = (text: string): string => Buffer.from(text).toString('base64');

function document(user: User, cluster: object = {}): object {
  return {
    'current-context': 'c',
    contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
    clusters: [{ name: 'k', cluster: { server: 'https://k:6443/', ...cluster } }],
    users: [{ name: 'u', user }],
  };
}

async function credentials(user: User, cluster: object = {}) {
  const current = await currentContext({ kubeconfig: write('config', document(user, cluster)) });
  return credentialsOf(current!);
}

describe('what is read', () => {
  test('YAML and JSON; paths are relative to the file', async () => {
    const yaml = write(
      'yaml',
      `
current-context: c
contexts: [{name: c, context: {cluster: k, user: u, namespace: shop}}]
clusters:
- {name: other, cluster: {server: https://other}}
- {name: k, cluster: {server: "https://k:6443/", certificate-authority: pki/ca.crt}}
users:
- name: u
  user: {tokenFile: token, client-key: /absolute/key, client-certificate: cert}
`,
    );
    expect(await currentContext({ kubeconfig: yaml })).toEqual({
      cluster: { server: 'https://k:6443', 'certificate-authority': join(folder, 'pki/ca.crt') },
      user: {
        tokenFile: join(folder, 'token'),
        'client-key': '/absolute/key',
        'client-certificate': join(folder, 'cert'),
      },
      namespace: 'shop',
    });
    const json = write('json', document({ token: 't' }));
    expect(await currentContext({ kubeconfig: json })).toEqual({
      cluster: { server: 'https://k:6443' },
      user: { token: 't' },
    });
  });

  test('several files of $KUBECONFIG are one, and the first of a name stands', async () => {
    const first = write('first', {
      'current-context': 'c',
      clusters: [{ name: 'k', cluster: { server: 'https://first' } }],
      contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
    });
    const second = write('second', {
      'current-context': 'other',
      clusters: [{ name: 'k', cluster: { server: 'https://second' } }],
      users: [{ name: 'u', user: { token: 'second' } }],
    });
    const KUBECONFIG = [join(folder, 'missing'), first, second].join(delimiter);
    expect(await currentContext({}, { KUBECONFIG })).toEqual({
      cluster: { server: 'https://first' },
      user: { token: 'second' },
    });
    await expect(currentContext({}, { KUBECONFIG: join(folder, 'missing') })).rejects.toThrow(
      'which is not there',
    );
  });

  test('without $KUBECONFIG: ~/.kube/config, then the ServiceAccount of the pod, then nothing', async () => {
    const account = join(folder, 'account');
    const env = { HOME: folder, KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' };
    expect(await currentContext({}, env, account)).toBeUndefined();
    mkdirSync(account);
    writeFileSync(join(account, 'token'), 'of the pod\n');
    expect(await currentContext({}, env, account)).toEqual({
      cluster: { server: 'https://[fd00::1]:443', 'certificate-authority': join(account, 'ca.crt') },
      user: { tokenFile: join(account, 'token') },
    });
    writeFileSync(join(account, 'namespace'), 'shop\n');
    expect((await currentContext({}, env, account))?.namespace).toBe('shop');
    mkdirSync(join(folder, '.kube'));
    write('.kube/config', document({ token: 'of the person' }));
    expect((await currentContext({}, env, account))?.user).toEqual({ token: 'of the person' });
  });

  test('a context by its name instead of the current one', async () => {
    const config = document({ token: 'one' }) as { contexts: object[]; users: object[] };
    const kubeconfig = write('two', {
      ...config,
      contexts: [...config.contexts, { name: 'd', context: { cluster: 'k', user: 'v', namespace: 'shop' } }],
      users: [...config.users, { name: 'v', user: { token: 'two' } }],
    });
    const of = async (chosen: Chosen, env = {}) => (await currentContext(chosen, env))?.user.token;
    expect(await of({ kubeconfig })).toBe('one');
    expect(await of({ kubeconfig, context: 'd' })).toBe('two');
    expect(await of({ context: 'd' }, { KUBECONFIG: kubeconfig })).toBe('two');
    expect((await ClusterAccess.open({ kubeconfig, context: 'd' })).namespace).toBe('shop');
    await expect(of({ kubeconfig, context: 'e' })).rejects.toThrow(/two has no context "e": it has c, d$/);
    await expect(of({ context: 'e' }, { HOME: folder })).rejects.toThrow(
      'there is no kubeconfig to have a context "e"',
    );
  });

  test('a context, a cluster or a file that is missing is named', async () => {
    const config = document({}) as { 'current-context': string; clusters: { name: string }[] };
    const without = write('without', { ...config, clusters: [] });
    await expect(currentContext({ kubeconfig: without })).rejects.toThrow(
      'names no server for the cluster "k"',
    );
    const wrong = write('wrong', { ...config, 'current-context': 'gone' });
    await expect(currentContext({ kubeconfig: wrong })).rejects.toThrow('has no context "gone"');
    expect(await currentContext({ kubeconfig: write('empty', '') })).toBeUndefined();
    await expect(ClusterAccess.open({ kubeconfig: join(folder, 'missing') })).rejects.toThrow(
      /cannot read the kubeconfig: .*missing does not exist; check --kubeconfig/,
    );
    await expect(ClusterAccess.open({ kubeconfig: write('empty', '') })).rejects.toThrow(
      'names no current context',
    );
  });

  test('one that is half written is told by what is wrong with it', async () => {
    const context = {
      'current-context': 'c',
      contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
    };
    const told = (clusters: unknown) =>
      currentContext({ kubeconfig: write('half', { ...context, clusters }) });
    await expect(told([{ name: 'k' }])).rejects.toThrow('names no server for the cluster "k"');
    await expect(told('k')).rejects.toThrow(/half is no kubeconfig: its clusters must be a list/);
    await expect(told([{ name: 'k', cluster: { server: '127.0.0.1:6443' } }])).rejects.toThrow(
      /names "127.0.0.1:6443" as the server of the cluster "k": write a URL/,
    );
    await expect(
      credentials({ 'client-certificate-data': base64('no'), 'client-key-data': base64('no') }),
    ).rejects.toThrow(/a certificate or key in it is not PEM/);
  });
});

describe('credentials', () => {
  test('a token, a file that holds one, a password, an impersonated user', async () => {
    expect((await credentials({ token: 't' })).headers).toEqual({ authorization: 'Bearer t' });
    const tokenFile = write('token', 'from the file\n');
    expect((await credentials({ token: 'older', tokenFile })).headers).toEqual({
      authorization: 'Bearer from the file',
    });
    expect((await credentials({ username: 'ann', password: 'ä:b' })).headers).toEqual({
      authorization: `Basic ${base64('ann:ä:b')}`,
    });
    expect((await credentials({ as: 'bob', token: 't' })).headers).toEqual({
      authorization: 'Bearer t',
      'impersonate-user': 'bob',
    });
  });

  test('certificates as data or as files, and how the server is checked', async () => {
    const { tls } = await credentials(
      { 'client-certificate-data': base64(pem('cert')), 'client-key': write('key', pem('key')) },
      { 'certificate-authority': write('ca', pem('ca')), 'tls-server-name': 'kubernetes' },
    );
    expect(tls).toEqual({
      ca: Buffer.from(pem('ca')),
      cert: Buffer.from(pem('cert')),
      key: Buffer.from(pem('key')),
      servername: 'kubernetes',
    });
    expect((await credentials({}, { 'insecure-skip-tls-verify': true })).tls).toEqual({
      rejectUnauthorized: false,
    });
  });

  test('plain HTTP is refused unless told otherwise', async () => {
    await expect(credentials({ token: 't' }, { server: 'http://k' })).rejects.toThrow('is plain HTTP');
    await expect(
      credentials({ token: 't' }, { server: 'http://k', 'insecure-skip-tls-verify': true }),
    ).resolves.toMatchObject({ headers: { authorization: 'Bearer t' } });
  });

  test('an exec plug-in is run', async () => {
    const answer = {
      apiVersion: 'client.authentication.k8s.io/v1',
      kind: 'ExecCredential',
      status: { token: 'of the plug-in' },
    };
    const program = write('plugin', `#!/bin/sh\necho '${JSON.stringify(answer)}'\n`);
    chmodSync(program, 0o700);
    const exec = {
      apiVersion: 'client.authentication.k8s.io/v1',
      command: program,
      interactiveMode: 'Never',
    };
    expect(await credentials({ exec }, { 'certificate-authority-data': base64('ca') })).toEqual({
      headers: { authorization: 'Bearer of the plug-in' },
      tls: { ca: Buffer.from('ca') },
    });
  });

  test('a file that cannot be read is an error of the request, and read again by the next', async () => {
    const tokenFile = join(folder, 'late');
    const access = await ClusterAccess.open({ kubeconfig: write('config', document({ tokenFile })) });
    expect(access.server).toBe('https://k:6443');
    await expect(access.credentials()).rejects.toThrow(/cannot read the kubeconfig: .*late/);
    writeFileSync(tokenFile, 'now');
    expect((await access.credentials()).headers).toEqual({ authorization: 'Bearer now' });
    writeFileSync(tokenFile, 'rotated');
    expect((await access.credentials()).headers).toEqual({ authorization: 'Bearer now' });
    access.forget();
    expect((await access.credentials()).headers).toEqual({ authorization: 'Bearer rotated' });
  });
});
