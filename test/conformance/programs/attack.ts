// `attack.ts NAME PORT`: the attack of that name, until this process is killed. Says `begun` once it is under way.
import { ATTACKS, attack } from '../../../conformance/support/http1-attacks.ts';

const [name = '', port] = process.argv.slice(2);
const wanted = ATTACKS[name];
if (!wanted) throw new Error(`there is no attack called ${name}`);
const one = () => attack(Number(port), { ...wanted, again: true, cutOff: false }, Number.POSITIVE_INFINITY);
for (let n = 0; n < wanted.connections; n += 1) void one();
setTimeout(() => console.log('begun'), 300);
