import { webcrypto } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import { createInterface } from 'node:readline';
import type { AcknowledgementFrame } from '../../api/acknowledgement.ts';
import type { DownFrame } from './model.ts';

/** A CSR in PEM, and the key it is for. */
export async function certificateRequest() {
  const x509 = await import('@peculiar/x509');
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({ keys, signingAlgorithm: algorithm });
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  return {
    csr: csr.toString('pem'),
    key: `-----BEGIN PRIVATE KEY-----\n${der}\n-----END PRIVATE KEY-----\n`,
  };
}

/** A proxy (or controller) as the grammar has it, on real sockets. */
export class DiscoveryClient {
  readonly #port: number;
  readonly frames: (DownFrame | AcknowledgementFrame)[] = [];
  readonly agent: Agent;
  session = '';
  ended = false;
  #wake: (() => void)[] = [];
  #response: IncomingMessage | undefined;

  /** `pair`: the certificate that is shown, none by default. */
  constructor(port: number, trust: string, pair?: { cert: string; key: string }) {
    this.#port = port;
    this.agent = new Agent({
      keepAlive: true,
      host: '127.0.0.1',
      port,
      servername: 'weir-mesh.weir.svc',
      ca: trust,
      ...pair,
    } as ConstructorParameters<typeof Agent>[0]);
  }

  async open(path: string): Promise<number> {
    const outgoing = request({ agent: this.agent, host: '127.0.0.1', port: this.#port, path });
    outgoing.on('error', () => {});
    outgoing.end();
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    this.#response = response;
    response.on('error', () => {});
    response.once('close', () => {
      this.ended = true;
      for (const wake of this.#wake.splice(0)) wake();
    });
    createInterface({ input: response }).on('line', (line) => {
      if (line === '') return;
      this.frames.push(JSON.parse(line));
      for (const wake of this.#wake.splice(0)) wake();
    });
    return response.statusCode!;
  }

  async discover(query = ''): Promise<Extract<DownFrame, { type: 'hello' }>> {
    this.frames.length = 0;
    this.ended = false;
    await this.open(`/v1/discover${query}`);
    const hello = await this.until((each) => each.type === 'hello');
    this.session = (hello as { session: string }).session;
    return hello as Extract<DownFrame, { type: 'hello' }>;
  }

  async post(path: string, body: unknown): Promise<{ status: number; body: string }> {
    const outgoing = request({
      agent: this.agent,
      host: '127.0.0.1',
      port: this.#port,
      path,
      method: 'POST',
    });
    outgoing.end(JSON.stringify(body));
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    let text = '';
    for await (const chunk of response) text += chunk;
    return { status: response.statusCode!, body: text };
  }

  subscribe(...add: string[]) {
    return this.post('/v1/subscriptions', { session: this.session, add, remove: [] });
  }

  ack(key: string, version: number, split?: string) {
    return this.post('/v1/acks', { session: this.session, acks: [{ key, version, split }] });
  }

  async until<T extends DownFrame | AcknowledgementFrame>(
    matches: (frame: DownFrame | AcknowledgementFrame) => boolean,
  ): Promise<T> {
    for (let seen = 0; ; ) {
      for (; seen < this.frames.length; seen++)
        if (matches(this.frames[seen]!)) return this.frames[seen] as T;
      if (this.ended) throw new Error(`the stream ended; frames: ${JSON.stringify(this.frames)}`);
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  async end(): Promise<void> {
    while (!this.ended) await new Promise<void>((resolve) => this.#wake.push(resolve));
  }

  pause(): void {
    this.#response?.socket.pause();
  }

  resume(): void {
    this.#response?.socket.resume();
  }

  close(): void {
    this.#response?.destroy();
    this.agent.destroy();
  }
}
