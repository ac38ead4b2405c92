import { Option } from 'commander';

export const kubeconfigOption = (what = 'default: $KUBECONFIG, ~/.kube/config, in-cluster') =>
  new Option('--kubeconfig <file>', what);
export const contextOption = () =>
  new Option('--context <name>', 'of the kubeconfig; default: its current one');
