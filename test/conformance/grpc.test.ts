/** The interoperability tests of gRPC: grpc-go's client and server with proxies between them. */
import { execFile } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { freePort } from '../support/ports.ts';
import { listening, Proxies } from './support/proxies.ts';
import { tool } from './support/tools.ts';

const client = tool('grpc-interop-client');
const server = tool('grpc-interop-server');

/**
 * All but those that need credentials of a cloud, and `pick_first_unary`: grpc-go's server does not fill in the server id
 * that this one compares, so that it fails without a proxy too.
 */
const CASES = [
  'empty_unary',
  'large_unary',
  'client_streaming',
  'server_streaming',
  'ping_pong',
  'empty_stream',
  'timeout_on_sleeping_server',
  'cancel_after_begin',
  'cancel_after_first_response',
  'status_code_and_message',
  'special_status_message',
  'custom_metadata',
  'unimplemented_method',
  'unimplemented_service',
  'rpc_soak',
  'channel_soak',
  'orca_per_rpc',
  'orca_oob',
];

/** The ORCA cases read what this balancer records. */
const ORCA = '--service_config_json={"loadBalancingConfig":[{"test_backend_metrics_load_balancer":{}}]}';

(client && server ? describe : describe.skip)('gRPC interoperability', () => {
  const proxies = new Proxies();
  let upstream = '';

  beforeAll(async () => {
    const port = await freePort();
    await listening(port, proxies.spawn(server!, [`--port=${port}`]));
    upstream = `127.0.0.1:${port}`;
  });

  afterAll(() => proxies.stop());

  const paths: [string, () => Promise<number>][] = [
    ['one proxy', () => proxies.outbound(upstream, 'detect')],
    ['two proxies with mutual TLS', () => proxies.twoHops(upstream, 'http2')],
  ];
  describe.each(paths)('%s', (_, start) => {
    let port = 0;
    beforeAll(async () => {
      port = await start();
    });

    test.each(CASES)('%s', async (name) => {
      const error = await new Promise<Error | null>((resolve) => {
        const args = [`--server_port=${port}`, '--server_host=127.0.0.1', `--test_case=${name}`];
        if (name.startsWith('orca')) args.push(ORCA);
        execFile(client!, args, { timeout: 60_000 }, (failed, out, err) =>
          resolve(failed && new Error(`${failed.message}\n${out}${err}`)),
        );
      });
      expect(error).toBeNull();
    });
  });
});
