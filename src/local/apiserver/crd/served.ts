import type { KubeObject } from '../../../api/meta.ts';
import type { ScalePaths, Served } from '../kinds.ts';
import { builtinType } from '../schema/parse.ts';
import { OPEN, type Schema } from '../schema/schema.ts';

export interface CrdSpec {
  group: string;
  scope: 'Namespaced' | 'Cluster';
  names: {
    kind: string;
    plural: string;
    singular?: string;
    listKind?: string;
    shortNames?: string[];
    categories?: string[];
  };
  versions: {
    name: string;
    served: boolean;
    storage: boolean;
    schema?: { openAPIV3Schema?: Schema };
    subresources?: {
      status?: object;
      scale?: { specReplicasPath: string; statusReplicasPath: string; labelSelectorPath?: string };
    };
    additionalPrinterColumns?: NonNullable<Served['columns']>;
    selectableFields?: { jsonPath: string }[];
  }[];
}

/** The resources that a CustomResourceDefinition adds, best version first (v1, then v1beta1, then v1alpha1, …). */
export function servedByCrd(crd: KubeObject): Served[] {
  const { group, scope, names, versions } = crd.spec as CrdSpec;
  return versions
    .filter(({ served }) => served)
    .sort((a, b) => compareVersions(b.name, a.name))
    .map((version): Served => {
      const own = version.schema?.openAPIV3Schema ?? OPEN;
      return {
        group,
        version: version.name,
        kind: names.kind,
        plural: names.plural,
        singular: names.singular ?? names.kind.toLowerCase(),
        shortNames: names.shortNames ?? [],
        categories: names.categories ?? [],
        namespaced: scope === 'Namespaced',
        status: version.subresources?.status !== undefined,
        scale: scalePaths(version.subresources?.scale),
        schema: {
          ...own,
          properties: {
            ...own.properties,
            apiVersion: { type: 'string' },
            kind: { type: 'string' },
            metadata: builtinType('ObjectMeta'),
          },
        },
        storage: `${group}/${names.plural}`,
        builtin: false,
        columns: version.additionalPrinterColumns,
        selectableFields: version.selectableFields?.map(({ jsonPath }) => jsonPath.replace(/^\./, '')),
      };
    });
}

function scalePaths(
  scale: { specReplicasPath: string; statusReplicasPath: string; labelSelectorPath?: string } | undefined,
): ScalePaths | undefined {
  return (
    scale && {
      spec: scale.specReplicasPath,
      status: scale.statusReplicasPath,
      selector: scale.labelSelectorPath,
    }
  );
}

/** Kubernetes' version order: GA above beta above alpha, then by number. Positive when `a` is the better one. */
export function compareVersions(a: string, b: string): number {
  const rank = (version: string): [number, number, number] => {
    const match = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version);
    if (!match) return [-1, 0, 0];
    return [match[2] === 'alpha' ? 0 : match[2] === 'beta' ? 1 : 2, Number(match[1]), Number(match[3] ?? 0)];
  };
  const [left, right] = [rank(a), rank(b)];
  for (let index = 0; index < 3; index += 1)
    if (left[index] !== right[index]) return left[index]! - right[index]!;
  return a < b ? 1 : a > b ? -1 : 0;
}
