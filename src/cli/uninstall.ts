import { Command } from 'commander';
import { SYSTEM_NAMESPACE } from '../api/names.ts';
import { removalOrder } from './install/manifests.ts';
import { namespaceList, toYaml } from './install.ts';

export function command(): Command {
  return new Command('uninstall')
    .summary('print what to delete, in the safe order')
    .description(
      'Prints what an installation consists of, in the order in which it can be deleted safely: what could hold or refuse a change first, what holds data last. Nothing is changed: pipe it to kubectl.',
    )
    .option('-n, --namespace <name>', 'where the control plane lives', SYSTEM_NAMESPACE)
    .option('--namespaces <names>', 'as given to `weir install`', namespaceList)
    .addHelpText(
      'after',
      '\nThe controller gives every Deployment and Service back before it goes, so delete the Rollouts first.\n\nExample:\n  kubectl delete rollouts.weir.dev --all --all-namespaces\n  weir uninstall | kubectl delete --ignore-not-found -f -\n  kubectl delete configmap -A --field-selector metadata.name=weir-trust',
    )
    .action(({ namespace, namespaces }: { namespace: string; namespaces?: string[] }) => {
      process.stdout.write(
        [
          '# Delete the Rollouts first, while the controller runs and can give Deployments and Services back:',
          '#   kubectl delete rollouts.weir.dev --all --all-namespaces',
          '# Then: weir uninstall | kubectl delete --ignore-not-found -f -',
          '',
        ].join('\n'),
      );
      process.stdout.write(toYaml(removalOrder({ namespace, ...(namespaces ? { namespaces } : {}) })));
    });
}
