import { describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { injectManifests } from '../mesh/index.ts';
import { command, interceptOptions } from './proxy-init.ts';

const flags = {
  proxyUid: 2102,
  outboundPort: 4140,
  inboundPort: 4143,
  adminPort: 4191,
  skipInboundPorts: '',
  skipOutboundPorts: '',
  skipSubnets: '',
};

describe('options', () => {
  test('become what the rules are made of', () => {
    expect(
      interceptOptions({ ...flags, skipInboundPorts: '9000,22', skipSubnets: '10.0.0.0/8, fd00::/8' }),
    ).toMatchObject({
      skipInboundPorts: [
        { from: 22, to: 22 },
        { from: 9000, to: 9000 },
      ],
      skipSubnets: ['10.0.0.0/8', 'fd00::/8'],
    });
  });

  test.each([
    [{ skipSubnets: '10.0.0.0/33' }, /--skip-subnets: "10.0.0.0\/33" is no CIDR/],
    [{ skipOutboundPorts: 'http' }, /--skip-outbound-ports: "http" is neither/],
    [{ inboundPort: 4140 }, /must differ/],
  ])('that are wrong are named: %j', (wrong, message) => {
    expect(() => interceptOptions({ ...flags, ...wrong })).toThrow(message);
  });
});

test('what the injector gives it is what it takes', async () => {
  const pod = {
    kind: 'Pod',
    metadata: {
      name: 'a',
      annotations: {
        'config.weir.dev/skip-inbound-ports': '9000,9100-9200',
        'config.weir.dev/skip-outbound-ports': '25',
        'config.weir.dev/skip-subnets': '10.0.0.0/8',
      },
    },
    spec: { containers: [{ name: 'app' }] },
  };
  const { yaml } = injectManifests(JSON.stringify(pod), {
    namespace: 'shop',
    image: 'weir:1',
    isService: () => false,
    interception: 'transparent',
  });
  const [, ...args] = parse(yaml).spec.initContainers[0].args as string[];
  let seen: unknown;
  await command()
    .action((options) => {
      seen = options;
    })
    .parseAsync(args, { from: 'user' });
  expect(seen).toMatchObject({
    ...flags,
    skipInboundPorts: '9000,9100-9200',
    skipOutboundPorts: '25',
    skipSubnets: '10.0.0.0/8',
  });
});
