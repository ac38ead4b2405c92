export type * from './admission.ts';
export { startAdmissionServer } from './admission-server.ts';
export { Controller, type ControllerOptions, type ReconcileResult } from './controller.ts';
export { startHealthServer } from './health.ts';
export { MetricsRegistry } from './metrics.ts';
export { runProcess } from './process.ts';
