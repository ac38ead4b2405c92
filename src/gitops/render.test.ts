import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { inOrder, renderFiles } from './render.ts';

const manifest = (kind: string, name: string) => `apiVersion: v1\nkind: ${kind}\nmetadata: {name: ${name}}\n`;

describe('manifests out of files', () => {
  test('several documents, lists and empty documents', () => {
    const list =
      'apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: c}}\n';
    const text = `${manifest('Service', 'a')}---\n# nothing\n---\n${manifest('ConfigMap', 'b')}---\n${list}`;
    const { objects, problems } = renderFiles([{ path: 'a.yaml', text }]);
    expect(problems).toEqual([]);
    expect(objects.map(({ object, source }) => [object.kind, object.metadata.name, source.document])).toEqual(
      [
        ['Service', 'a', 1],
        ['ConfigMap', 'b', 3],
        ['Secret', 'c', 4],
      ],
    );
  });

  test('a bad document is reported with file and place, and the others go on', () => {
    const { objects, problems } = renderFiles([
      {
        path: 'a.yaml',
        text: `${manifest('Service', 'a')}---\nkind: {oops\n---\n${manifest('Service', 'b')}`,
      },
      { path: 'b.yaml', text: '- 1\n---\nkind: Service\n---\napiVersion: v1\nkind: Service\n' },
      {
        path: 'c.json',
        text: JSON.stringify({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'c' } }),
      },
    ]);
    expect(objects.map(({ object }) => object.metadata.name)).toContain('a');
    expect(objects.map(({ object }) => object.metadata.name)).toContain('c');
    expect(problems.map(({ source }) => `${source.file}:${source.document}`)).toEqual(
      expect.arrayContaining(['a.yaml:2', 'b.yaml:1', 'b.yaml:2', 'b.yaml:3']),
    );
    expect(problems.find(({ source }) => source.file === 'b.yaml' && source.document === 3)?.message).toBe(
      'Service has no metadata.name',
    );
  });

  test('the same object twice names the first place', () => {
    const { objects, problems } = renderFiles([
      { path: 'a.yaml', text: manifest('Service', 'a') },
      { path: 'b.yaml', text: manifest('Service', 'a') },
    ]);
    expect(objects).toHaveLength(1);
    expect(problems).toEqual([
      {
        source: { file: 'b.yaml', document: 1 },
        object: 'Service a',
        message: 'is already in a.yaml (document 1): remove one of the two',
      },
    ]);
  });

  test('broken YAML is told in a line', () => {
    const { problems } = renderFiles([{ path: 'a.yaml', text: 'kind: [x\n' }]);
    expect(problems).toEqual([
      {
        source: { file: 'a.yaml', document: 1 },
        message: expect.stringMatching(/^is not YAML: .* at line 2, column 1$/),
      },
    ]);
  });

  test('an alias bomb is a problem, not the end', () => {
    const bomb = [
      'a: &a [x,x,x,x,x,x,x,x,x]',
      ...'bcdefghi'
        .split('')
        .map((name, at) => `${name}: &${name} [${Array(9).fill(`*${'abcdefgh'[at]}`).join(',')}]`),
    ].join('\n');
    const { problems } = renderFiles([{ path: 'bomb.yaml', text: bomb }]);
    expect(problems).toHaveLength(1);
  });

  test('no text makes it throw', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        expect(() => renderFiles([{ path: 'x.yaml', text }])).not.toThrow();
      }),
    );
  });
});

test('what is named comes before what names it; Rollouts follow the Deployments they guard', () => {
  const kinds = ['Rollout', 'Deployment', 'Service', 'ConfigMap', 'CustomResourceDefinition', 'Namespace'];
  const { objects } = renderFiles(kinds.map((kind) => ({ path: `${kind}.yaml`, text: manifest(kind, 'x') })));
  expect(inOrder(objects).flatMap((group) => group.map(({ object }) => object.kind))).toEqual(
    kinds.reverse(),
  );
});
