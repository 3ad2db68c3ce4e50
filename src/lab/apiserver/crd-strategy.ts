// CustomResourceDefinitions: a definition that is stored becomes a kind that is served, at once.
import type { Clock } from '../../clock/clock.ts';
import { type Cause, invalid } from './api-error.ts';
import type { ApiObject } from './api-object.ts';
import { areEvaluated, ruleCauses } from './cel.ts';
import { AGE_COLUMN, NAME_COLUMN, pathColumn } from './columns.ts';
import { fieldInvalid, fieldNotSupported, fieldRequired } from './field-causes.ts';
import type { Kind, Strategy } from './kinds.ts';
import { schemaListTypes } from './list-keys.ts';
import { patternOf, prune, type Schema, validate } from './schema.ts';
import { timestamp } from './timestamp.ts';

interface Version {
  readonly name: string;
  readonly served: boolean;
  readonly storage: boolean;
  readonly schema?: { readonly openAPIV3Schema?: Schema };
  readonly subresources?: { readonly status?: object };
  readonly selectableFields?: readonly { readonly jsonPath: string }[];
  readonly additionalPrinterColumns?: readonly {
    readonly name: string;
    readonly type: string;
    readonly jsonPath: string;
    readonly priority?: number;
  }[];
}

interface Definition {
  readonly group?: string;
  readonly scope?: string;
  readonly names?: {
    readonly plural?: string;
    readonly singular?: string;
    readonly kind?: string;
    readonly listKind?: string;
    readonly shortNames?: readonly string[];
    readonly categories?: readonly string[];
  };
  readonly versions?: readonly Version[];
}

/** `onKinds`: told of the kinds that a definition serves, or of its end. */
export function crdStrategy(
  clock: Clock,
  onKinds: (definition: string, kinds: readonly Kind[]) => void,
): Strategy {
  return {
    prepare(object, previous, unknownFields) {
      const { metadata } = object;
      const causes = definitionCauses(object.spec ?? {}, metadata.name);
      if (causes.length > 0)
        throw invalid('CustomResourceDefinition', 'apiextensions.k8s.io', metadata.name, causes);
      const { names, versions } = object.spec;
      for (const [i, { schema }] of versions.entries())
        unknownFields.push(
          ...unevaluated(schema.openAPIV3Schema, `spec.versions[${i}].schema.openAPIV3Schema`),
        );
      const filled = {
        ...names,
        singular: names.singular ?? names.kind.toLowerCase(),
        listKind: names.listKind ?? `${names.kind}List`,
      };
      const storage = versions.filter((each: Version) => each.storage).map((each: Version) => each.name);
      const spec = { conversion: { strategy: 'None' }, ...object.spec, names: filled };
      return {
        ...object,
        spec,
        status: previous?.status ?? established(filled, storage, timestamp(clock.wallTime())),
      };
    },
    stored: (object) => onKinds(object.metadata.name, kindsOf(object)),
    deleted: ({ metadata }) => onKinds(metadata.name, []),
  };
}

function established(names: object, storedVersions: readonly string[], now: string): object {
  const condition = (type: string, reason: string, message: string) => ({
    type,
    status: 'True',
    lastTransitionTime: now,
    reason,
    message,
  });
  return {
    acceptedNames: names,
    storedVersions,
    conditions: [
      condition('NamesAccepted', 'NoConflicts', 'no conflicts found'),
      condition('Established', 'InitialNamesAccepted', 'the initial names have been accepted'),
    ],
  };
}

function definitionCauses({ group, scope, names = {}, versions = [] }: Definition, name: string): Cause[] {
  const causes: Cause[] = [];
  if (!group) causes.push(fieldRequired('spec.group'));
  if (!names.plural) causes.push(fieldRequired('spec.names.plural'));
  if (!names.kind) causes.push(fieldRequired('spec.names.kind'));
  if (scope !== 'Cluster' && scope !== 'Namespaced')
    causes.push(fieldNotSupported('spec.scope', scope ?? '', ['Cluster', 'Namespaced']));
  if (group && names.plural && name !== `${names.plural}.${group}`)
    causes.push(fieldInvalid('metadata.name', name, 'must be spec.names.plural+"."+spec.group'));
  if (versions.filter((each) => each.storage).length !== 1)
    causes.push(
      fieldInvalid(
        'spec.versions',
        versions.map((each) => each.name),
        'must have exactly one version marked as storage version',
      ),
    );
  for (const [i, { schema }] of versions.entries()) {
    const field = `spec.versions[${i}].schema.openAPIV3Schema`;
    if (!schema?.openAPIV3Schema) causes.push(fieldRequired(field, 'schemas are required'));
    else if (schema.openAPIV3Schema.type !== 'object')
      causes.push(fieldInvalid(`${field}.type`, schema.openAPIV3Schema.type, 'must be object at the root'));
  }
  return causes;
}

/** Where a schema says what this server would not evaluate: a strict client is refused, others are warned. */
function unevaluated(schema: Schema, path: string): string[] {
  const { properties, items, additionalProperties, pattern } = schema;
  const rules = schema['x-kubernetes-validations'] ?? [];
  const own = areEvaluated(rules) ? [] : [`${path}.x-kubernetes-validations`];
  if (pattern !== undefined && !patternOf(pattern)) own.push(`${path}.pattern`);
  const named = Object.entries(properties ?? {}).flatMap(([name, each]) =>
    unevaluated(each, `${path}.properties[${name}]`),
  );
  const listed = items ? unevaluated(items, `${path}.items`) : [];
  const valued =
    typeof additionalProperties === 'object'
      ? unevaluated(additionalProperties, `${path}.additionalProperties`)
      : [];
  return [...own, ...named, ...listed, ...valued];
}

function kindsOf({ spec }: ApiObject): Kind[] {
  const { group, names, scope, versions } = spec;
  return versions
    .filter((each: Version) => each.served)
    .map(
      ({ name, schema: given, subresources, selectableFields, additionalPrinterColumns }: Version): Kind => {
        const schema = given?.openAPIV3Schema ?? {};
        const columns = additionalPrinterColumns?.map(({ name, type, jsonPath, priority = 0 }) =>
          pathColumn(name, type, jsonPath, priority),
        );
        const hasStatus = subresources?.status !== undefined;
        const prepare = (object: ApiObject, previous: ApiObject | undefined, unknown: string[]) => {
          const pruned = prune(schema, object, '', unknown) as ApiObject; // an object in, an object out
          const causes = validate(schema, pruned, '');
          if (causes.length === 0) causes.push(...ruleCauses(schema, pruned, ''));
          if (causes.length > 0) throw invalid(names.kind, group, object.metadata.name, causes);
          return previous === undefined && hasStatus ? withoutStatus(pruned) : pruned;
        };
        return {
          resource: {
            group,
            version: name,
            plural: names.plural,
            kind: names.kind,
            namespaced: scope === 'Namespaced',
          },
          singular: names.singular,
          shortNames: names.shortNames ?? [],
          categories: names.categories ?? [],
          hasStatus,
          hasGeneration: true,
          unconditionalUpdate: false,
          createsOnUpdate: false,
          returnsDeleted: false,
          selectableFields: selectableFields?.map(({ jsonPath }) => jsonPath.slice(1)) ?? [],
          listTypes: schemaListTypes(schema),
          columns: [NAME_COLUMN, ...(columns ?? [AGE_COLUMN])],
          schema,
          strategy: { prepare, prepareStatus: prepare },
        };
      },
    );
}

function withoutStatus({ apiVersion, kind, metadata, status: _, ...rest }: ApiObject): ApiObject {
  return { apiVersion, kind, metadata, ...rest };
}
