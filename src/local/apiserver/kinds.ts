import { builtinKind } from './schema/parse.ts';
import type { Schema } from './schema/schema.ts';

/** A resource that the server serves in one version. */
export interface Served {
  group: string;
  version: string;
  kind: string;
  plural: string;
  singular: string;
  shortNames: string[];
  categories: string[];
  namespaced: boolean;
  /** Generation and write isolation follow from these. */
  status: boolean;
  scale: ScalePaths | undefined;
  schema: Schema;
  /** Key in the store: versions of one kind share it. */
  storage: string;
  builtin: boolean;
  columns?: {
    name: string;
    type: string;
    jsonPath: string;
    priority?: number;
    description?: string;
    format?: string;
  }[];
  selectableFields?: string[];
  /** Neither stored nor listed: only POST (reviews). */
  virtual?: boolean;
  preferred?: boolean;
}

export interface ScalePaths {
  spec: string;
  status: string;
  selector?: string;
}

const WORKLOAD_SCALE: ScalePaths = {
  spec: '.spec.replicas',
  status: '.status.replicas',
  selector: '.status.selector',
};

// group/version Kind plural shortNames flags: n namespaced, s status, c scale, a category all, v virtual
const TABLE = `
v1 Namespace namespaces ns s
v1 Node nodes no s
v1 Pod pods po nsa
v1 Service services svc nsa
v1 ConfigMap configmaps cm n
v1 Secret secrets - n
v1 ServiceAccount serviceaccounts sa n
v1 Event events ev n
v1 Endpoints endpoints ep n
v1 PersistentVolumeClaim persistentvolumeclaims pvc ns
v1 ResourceQuota resourcequotas quota ns
v1 LimitRange limitranges limits n
apps/v1 Deployment deployments deploy nsca
apps/v1 ReplicaSet replicasets rs nsca
apps/v1 StatefulSet statefulsets sts nsca
apps/v1 DaemonSet daemonsets ds nsa
apps/v1 ControllerRevision controllerrevisions - n
batch/v1 Job jobs - nsa
batch/v1 CronJob cronjobs cj nsa
discovery.k8s.io/v1 EndpointSlice endpointslices - n
coordination.k8s.io/v1 Lease leases - n
rbac.authorization.k8s.io/v1 Role roles - n
rbac.authorization.k8s.io/v1 RoleBinding rolebindings - n
rbac.authorization.k8s.io/v1 ClusterRole clusterroles - -
rbac.authorization.k8s.io/v1 ClusterRoleBinding clusterrolebindings - -
admissionregistration.k8s.io/v1 MutatingWebhookConfiguration mutatingwebhookconfigurations - -
admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration validatingwebhookconfigurations - -
apiextensions.k8s.io/v1 CustomResourceDefinition customresourcedefinitions crd,crds s
authentication.k8s.io/v1 TokenReview tokenreviews - v
authorization.k8s.io/v1 SelfSubjectAccessReview selfsubjectaccessreviews - v
authorization.k8s.io/v1 SubjectAccessReview subjectaccessreviews - v
authorization.k8s.io/v1 LocalSubjectAccessReview localsubjectaccessreviews - nv
autoscaling/v2 HorizontalPodAutoscaler horizontalpodautoscalers hpa nsa
policy/v1 PodDisruptionBudget poddisruptionbudgets pdb ns
networking.k8s.io/v1 Ingress ingresses ing ns
networking.k8s.io/v1 NetworkPolicy networkpolicies netpol n
flowcontrol.apiserver.k8s.io/v1 FlowSchema flowschemas - -
`;

/** The built-in kinds. MutatingAdmissionPolicy is left out on purpose: installers must see that webhooks are needed. */
export function builtinKinds(): Served[] {
  return TABLE.trim()
    .split('\n')
    .map((line) => {
      const [groupVersion, kind, plural, short, flags] = line.split(' ') as [
        string,
        string,
        string,
        string,
        string,
      ];
      const slash = groupVersion.indexOf('/');
      const [group, version] =
        slash < 0 ? ['', groupVersion] : [groupVersion.slice(0, slash), groupVersion.slice(slash + 1)];
      const virtual = flags.includes('v');
      return {
        group,
        version,
        kind,
        plural,
        singular: kind.toLowerCase(),
        shortNames: short === '-' ? [] : short.split(','),
        categories: flags.includes('a') ? ['all'] : [],
        namespaced: flags.includes('n'),
        status: flags.includes('s'),
        scale: flags.includes('c') ? WORKLOAD_SCALE : undefined,
        get schema() {
          return builtinKind(kind === 'LocalSubjectAccessReview' ? 'SubjectAccessReview' : kind);
        },
        storage: `${group}/${plural}`,
        builtin: true,
        ...(virtual ? { virtual } : {}),
      };
    });
}

export const groupVersionOf = ({ group, version }: { group: string; version: string }): string =>
  group ? `${group}/${version}` : version;
