import { Option } from 'commander';

/** Which cluster a command is about, as with kubectl. */
export interface ClusterFlags {
  kubeconfig?: string;
  context?: string;
}

export const kubeconfigOption = (what = 'default: $KUBECONFIG, ~/.kube/config, in-cluster') =>
  new Option('--kubeconfig <file>', what);
export const contextOption = () =>
  new Option('--context <name>', 'of the kubeconfig; default: its current one');
