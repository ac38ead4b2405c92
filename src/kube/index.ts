export { type Client, type ConnectOptions, connect } from './client.ts';
export { EventRecorder } from './events.ts';
export { type ChangeEvent, Informer } from './informer.ts';
export type { Chosen } from './kubeconfig.ts';
export { LeaderElection } from './leader.ts';
export type { Rank } from './rank.ts';
export type * from './types.ts';
export { UNTRACKED } from './untracked.ts';
export { writeThrough } from './write-through.ts';
