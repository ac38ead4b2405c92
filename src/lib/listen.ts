import { AppError } from './errors.ts';

/** `host:port`, `:port` (every address, or $POD_IP where a pod has one of its own) or `[v6]:port`. */
export function parseListen(
  text: string,
  env: NodeJS.ProcessEnv = process.env,
): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (!match || port > 65535) {
    throw new AppError(
      'Invalid',
      `"${text}" is not an address to listen on: write host:port or :port, such as 127.0.0.1:9090`,
    );
  }
  return { host: match[1] ?? (match[2] || env.POD_IP || '0.0.0.0'), port };
}
