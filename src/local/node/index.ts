export { findEntries } from './entry.ts';
export { NodeAgent, type NodeOptions } from './agent.ts';
export { isAlive, type ProcessIdentity, signalGroup, startTimeOf } from './process.ts';
export { processesIn } from './leftovers.ts';
