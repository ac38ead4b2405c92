import type { InterceptOptions } from './rules.ts';

/** For the tests beside this file: nothing but subnets is skipped. */
export const plain: InterceptOptions = {
  proxyUid: 2102,
  outboundPort: 4140,
  inboundPort: 4143,
  adminPort: 4191,
  skipInboundPorts: [],
  skipOutboundPorts: [],
  skipSubnets: ['10.0.0.0/8', 'fd00::/8'],
};
