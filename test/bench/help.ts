/** What each bench measures and takes, for `--help`; and which flags there are, so that a misspelt one starts nothing. */
export interface Help {
  measures: string;
  flags?: Record<string, string>;
  environment?: Record<string, string>;
  examples: string[];
}

const ROUNDS = 'rounds of each row, alternating with the peers; medians are printed (5)';

export const helps: Record<string, Help> = {
  demo: {
    measures: 'The demo story: time to the first meshed request, the whole story, what it leaves behind.',
    examples: ['npm run bench -- demo --json'],
  },
  rollback: {
    measures:
      'From a fault that a query shows to weight 0 acknowledged by every proxy, on the local cluster; requests that failed meanwhile.',
    examples: ['npm run bench -- rollback'],
  },
  'zero-loss': {
    measures: 'Requests lost at 2,000 a second through a promotion and a blue/green flip.',
    examples: ['npm run bench -- zero-loss'],
  },
  proxy: {
    measures:
      'The proxy beside HAProxy and nginx: CPU per request and per MiB, latency, handshakes, attacks, memory. Wants wrk, nginx and haproxy\n(apt-get install wrk nginx haproxy), h2load and nghttpd for HTTP/2, and a build (npm run build) for figures that mean something.',
    environment: {
      WEIR_BENCH_ROWS:
        'groups, separated by commas: http1, http2, tcp, bodies, latency, handshakes, attacks, memory (all)',
      WEIR_BENCH_ROUNDS: ROUNDS,
      WEIR_TRANSPORT: 'portable: measures that transport instead of the reactor',
    },
    examples: [
      'npm run bench -- proxy --json',
      'WEIR_BENCH_ROWS=memory WEIR_BENCH_ROUNDS=1 npm run bench -- proxy',
      'WEIR_BENCH_ROWS=tcp,bodies npm run bench -- proxy',
    ],
  },
  controller: {
    measures:
      'The controller at scale, on a real API server in a network namespace (root): latency, requests, CPU, memory.',
    flags: { '--peer': 'Argo Rollouts and Flagger do the same, for comparison' },
    environment: {
      WEIR_BENCH_ROWS: 'groups, separated by commas: idle, single, wave, active (all)',
      WEIR_BENCH_ROLLOUTS:
        'how many Rollouts there are; several sizes, one after the other: 100,1000,10000 (1000)',
    },
    examples: [
      'npm run bench -- controller --peer --json',
      'WEIR_BENCH_ROWS=idle WEIR_BENCH_ROLLOUTS=100,1000,10000 npm run bench -- controller',
    ],
  },
  'metrics-store': {
    measures: 'The metrics store: 100,000 series every 5 s on one core, within 1 GiB.',
    examples: ['npm run bench -- metrics-store'],
  },
  test: { measures: 'Wall time of npm test.', examples: ['npm run bench -- test'] },
};

const COMMON = {
  '--json': 'one JSON object on stdout instead of a table',
  '--help': 'this text; nothing is measured',
};

function table(entries: Record<string, string>): string {
  const width = Math.max(...Object.keys(entries).map((name) => name.length));
  return Object.entries(entries)
    .map(([name, text]) => `  ${name.padEnd(width)}  ${text}`)
    .join('\n');
}

const USAGE = `usage: npm run bench -- NAME [--json]\n\n${table(
  Object.fromEntries(Object.entries(helps).map(([name, { measures }]) => [name, measures.split('\n')[0]!])),
)}\n\nEach exits 1 when a bar was missed. More of one: npm run bench -- NAME --help`;

/** What a command line asks for: a bench with its flags, or a text to print instead and the code to exit with. Pure. */
export function parse([name, ...flags]: readonly string[]):
  | { name: string; flags: string[]; json: boolean }
  | { text: string; code: 0 | 2 } {
  if (name === undefined || name === '--help' || name === '-h')
    return { text: USAGE, code: name === undefined ? 2 : 0 };
  const help = Object.hasOwn(helps, name) ? helps[name] : undefined;
  if (!help) return { text: `there is no bench ${name}\n\n${USAGE}`, code: 2 };
  const known = { ...help.flags, ...COMMON };
  const sections = [
    `npm run bench -- ${name}\n\n${help.measures}`,
    `Flags:\n${table(known)}`,
    ...(help.environment ? [`Environment (default in brackets):\n${table(help.environment)}`] : []),
    `Examples:\n${help.examples.map((each) => `  ${each}`).join('\n')}`,
  ];
  const text = sections.join('\n\n');
  if (flags.includes('--help') || flags.includes('-h')) return { text, code: 0 };
  const unknown = flags.find((flag) => !Object.hasOwn(known, flag));
  if (unknown !== undefined) return { text: `${name} has no flag ${unknown}\n\n${text}`, code: 2 };
  return { name, flags: flags.filter((flag) => flag !== '--json'), json: flags.includes('--json') };
}
