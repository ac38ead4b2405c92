/** The mesh's control plane, as the command line wires it. The proxy has an entry of its own. */
export {
  type ControlPlane,
  type ControlPlaneOptions,
  type ControlPlaneStats,
  startControlPlane,
} from './control-plane.ts';
export { injectManifests, type ManifestResult, uninjectManifests } from './injector/manifests.ts';
export { meshMetrics } from './metrics.ts';
