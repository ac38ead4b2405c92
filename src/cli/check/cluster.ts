import { AppError } from '../../lib/errors.ts';
import { type Check, type CheckContext, type CheckGroup, failed, ok } from './model.ts';

const OLDEST_MINOR = 28;

const version: Check = {
  name: 'API server',
  hint: 'Is the cluster up, and does your kubeconfig (--kubeconfig, $KUBECONFIG) name it?',
  async run({ client, signal }) {
    const answer = (await client.request('GET', '/version', { signal })) as {
      major?: string;
      minor?: string;
      gitVersion?: string;
    };
    const minor = Number.parseInt(answer.minor ?? '', 10);
    if (answer.major === '1' && minor < OLDEST_MINOR) {
      return failed(
        `is version ${answer.gitVersion}`,
        `Weir needs Kubernetes 1.${OLDEST_MINOR} or newer: upgrade the cluster.`,
      );
    }
    return ok(`answers, version ${answer.gitVersion ?? 'unknown'}`);
  },
};

const admission: Check = {
  name: 'admission',
  hint: 'The API server must serve admissionregistration.k8s.io/v1.',
  async run({ client, signal }) {
    const { resources = [] } = (await client.request('GET', '/apis/admissionregistration.k8s.io/v1', {
      signal,
    })) as { resources?: { kind: string }[] };
    const serves = (kind: string) => resources.some((resource) => resource.kind === kind);
    if (serves('MutatingAdmissionPolicy')) {
      return ok('MutatingAdmissionPolicy is served: the gate holds even while Weir is down');
    }
    if (serves('MutatingWebhookConfiguration')) {
      return ok('webhooks are served: the gate is enforced by the weir-mesh webhook');
    }
    return failed(
      'neither policies nor webhooks are served',
      'Enable the admission webhooks of the API server.',
    );
  },
};

const WANTED: [group: string, resource: string][] = [
  ['apiextensions.k8s.io', 'customresourcedefinitions'],
  ['rbac.authorization.k8s.io', 'clusterroles'],
  ['rbac.authorization.k8s.io', 'clusterrolebindings'],
  ['admissionregistration.k8s.io', 'mutatingwebhookconfigurations'],
  ['', 'namespaces'],
];

const mayInstall: Check = {
  name: 'your rights',
  hint: 'Ask for cluster-admin for the installation, or have somebody install who has it.',
  async run(context) {
    const answers = await Promise.all(WANTED.map((wanted) => mayCreate(context, ...wanted)));
    const missing = WANTED.filter((_, at) => !answers[at]).map(([, resource]) => resource);
    return missing.length === 0
      ? ok('you may create what an installation consists of')
      : failed(`you may not create ${missing.join(', ')}`, mayInstall.hint);
  },
};

async function mayCreate(
  { client, signal }: CheckContext,
  group: string,
  resource: string,
): Promise<boolean> {
  const review = (await client.request('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', {
    body: {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SelfSubjectAccessReview',
      spec: { resourceAttributes: { group, resource, verb: 'create' } },
    },
    contentType: 'application/json',
    signal,
  })) as { status?: { allowed?: boolean } };
  if (review.status === undefined)
    throw new AppError('Internal', 'the API server did not answer an access review');
  return review.status.allowed === true;
}

/** Is there a cluster, and could Weir be installed on it? */
export const clusterChecks: CheckGroup[] = [
  { name: 'Kubernetes', fatal: true, checks: [version] },
  { name: 'Kubernetes', fatal: true, checks: [admission] },
];
export const rightsChecks: CheckGroup = { name: 'Before installation', checks: [mayInstall] };
