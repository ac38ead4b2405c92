export { type AgentEvent, type AgentOptions, runAgent } from './agent.ts';
export { Discovery } from './discovery.ts';
export { type Health, healthOf } from './health.ts';
