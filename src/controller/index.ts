export type * from './admission.ts';
export { type AdmissionServer, type Certificate, startAdmissionServer } from './admission-server.ts';
export { giveBackAtRest } from './at-rest.ts';
export { Controller, type ReconcileResult } from './controller.ts';
export { type RunningServer, startHealthServer } from './health.ts';
export { Counter, gaugeText, Histogram, labelText, MetricsRegistry } from './metrics.ts';
export { runProcess } from './process.ts';
