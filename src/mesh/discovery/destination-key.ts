/** A destination as a proxy names it: `name.namespace:port`. */
export interface DestinationKey {
  name: string;
  namespace: string;
  port: number;
}

const LABEL = '[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?';
const KEY = new RegExp(`^(${LABEL})\\.(${LABEL}):([0-9]{1,5})$`);

/** Undefined when it is not a key: it comes from the network. */
export function parseDestinationKey(text: string): DestinationKey | undefined {
  const match = KEY.exec(text);
  if (!match) return undefined;
  const port = Number(match[3]);
  return port >= 1 && port <= 65_535 ? { name: match[1]!, namespace: match[2]!, port } : undefined;
}
