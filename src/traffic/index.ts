import type { TrafficRouter } from '../rollout/ports.ts';
import { type MeshRouterOptions, meshRouter } from './mesh.ts';

export { Acknowledgements, type AcknowledgementsOptions, type TlsMaterial } from './acknowledgements.ts';

/** Every router by the name that spec.traffic.router gives it. */
export const routers = {
  mesh: (options: MeshRouterOptions): TrafficRouter => meshRouter(options),
} as const;

export type RouterName = keyof typeof routers;
