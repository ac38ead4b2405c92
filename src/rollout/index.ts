export { RolloutController, type RolloutControllerOptions } from './controller.ts';
export type { RouteRef, TrafficRouter } from './ports.ts';
