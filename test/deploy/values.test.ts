// What the chart may be told: each value has a default, a place in the schema, and a description.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { load } from 'js-yaml';
import { expect, it } from 'vitest';
import { DEPLOY } from './kustomize.ts';

interface Schema {
  readonly description?: string;
  readonly additionalProperties?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
}

const read = (file: string) => readFileSync(join(DEPLOY, 'helm/fairlead', file), 'utf8');
const schema = JSON.parse(read('values.schema.json')) as Schema; // our own file
const values = load(read('values.yaml')) as object; // our own file

/** Path and schema of each value, groups of them included; `global` is Helm's own. */
function places({ properties = {} }: Schema, path = ''): [string, Schema][] {
  return Object.entries(properties)
    .filter(([name]) => name !== 'global')
    .flatMap(([name, each]) => [[`${path}${name}`, each], ...places(each, `${path}${name}.`)]);
}

it('has a default for each value of the schema, and knows each value that has a default', () => {
  const groups = new Map(places(schema));
  const paths = (each: object, path = ''): string[] =>
    Object.entries(each).flatMap(([name, value]) => {
      const at = `${path}${name}`;
      return [at, ...(groups.get(at)?.properties ? paths(value, `${at}.`) : [])];
    });
  expect(paths(values).toSorted()).toEqual([...groups.keys()].toSorted());
});

it('describes each value, and takes no other', () => {
  for (const [path, { description, properties, additionalProperties }] of places(schema)) {
    expect(description, path).toBeTruthy();
    if (properties) expect(additionalProperties, path).toBe(false);
  }
  expect(schema.additionalProperties).toBe(false);
});
