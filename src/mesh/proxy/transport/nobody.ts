import type { ConnectionHandler } from './types.ts';

/** Who hears nothing: of a connection whose turn has not come, or is over. */
export const NOBODY: ConnectionHandler = { data() {}, drain() {}, end() {}, close() {} };
