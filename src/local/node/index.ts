export { NodeAgent, type NodeOptions } from './agent.ts';
export { findEntries } from './entry.ts';
export { processesIn } from './leftovers.ts';
export { isAlive, type ProcessIdentity, signalGroup, startTimeOf } from './process.ts';
export { writeIfChanged } from './volumes.ts';
