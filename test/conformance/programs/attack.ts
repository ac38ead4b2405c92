// `attack.ts NAME PORT [MILLISECONDS [IDENTITY]]`: the attack of that name. Says `begun` once it is under way; without a time it goes
// on until this process is killed or its input ends, else it says at its end, as JSON, what came of it, and fails if the proxy did not end what it
// must. IDENTITY (JSON of PEM files) makes it a peer of a listener with mutual TLS.
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { getPriority, setPriority } from 'node:os';
import { createSecureContext } from 'node:tls';
import type { Target, Toll } from '../support/attacker.ts';
import { attack as attackHttp1, ATTACKS as HTTP1 } from '../support/http1-attacks.ts';
import { attack as attackHttp2, ATTACKS as HTTP2 } from '../support/http2-attacks.ts';
import type { Identity } from '../support/proxies.ts';

const [name = '', port, milliseconds, identity] = process.argv.slice(2);
const target: Target = { port: Number(port) };
if (identity) {
  const { certificate, key, trust } = JSON.parse(identity) as Identity;
  target.secure = createSecureContext({
    cert: readFileSync(certificate),
    key: readFileSync(key),
    ca: readFileSync(trust),
  });
}
const endless = milliseconds === undefined;
// Whoever began it may be killed, and an attack must not go on without them.
process.stdin.on('end', () => process.exit(1)).resume();
(process.stdin as Socket).unref();
// What is measured is the proxy: a bystander must not wait for the processor because the attackers have it.
if (!endless) setPriority(Math.min(19, getPriority() + 5));
const until = endless ? Number.POSITIVE_INFINITY : Date.now() + Number(milliseconds);
const toll: Toll = { connections: 0, cutOff: 0 };

const http1 = HTTP1[name];
const http2 = HTTP2[name];
if (!http1 && !http2) throw new Error(`there is no attack called ${name}`);
const one = () => {
  if (http2) return attackHttp2(target, http2, until, toll);
  return attackHttp1(target, endless ? { ...http1!, again: true, cutOff: false } : http1!, until, toll);
};
const all = Promise.all(Array.from({ length: http1?.connections ?? 4 }, one));
setTimeout(() => console.log('begun'), 300);
await all;
console.log(JSON.stringify(toll));
