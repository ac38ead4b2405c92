export { type AgentEvent, type AgentOptions, runAgent } from './agent.ts';
