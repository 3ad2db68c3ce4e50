// CustomResourceDefinitions: a definition that is stored becomes a kind that is served, at once.
import { invalid } from './api-error.ts';
import type { ApiObject } from './api-object.ts';
import { AGE_COLUMN, type Kind, NAME_COLUMN, pathColumn, type Strategy } from './kinds.ts';
import { prune, type Schema, validate } from './schema.ts';

interface Version {
  readonly name: string;
  readonly served: boolean;
  readonly schema?: { readonly openAPIV3Schema?: Schema };
  readonly subresources?: { readonly status?: object };
  readonly additionalPrinterColumns?: readonly {
    name: string;
    type: string;
    jsonPath: string;
    priority?: number;
  }[];
}

/** `onKinds`: told of the kinds that a definition serves, or of its end. */
export function crdStrategy(onKinds: (definition: string, kinds: readonly Kind[]) => void): Strategy {
  return {
    prepare(object) {
      const { spec, metadata } = object;
      const expected = `${spec.names?.plural}.${spec.group}`;
      if (metadata.name !== expected) {
        const message = `Invalid value: "${metadata.name}": must be spec.names.plural+"."+spec.group`;
        throw invalid('CustomResourceDefinition', 'apiextensions.k8s.io', metadata.name, [
          { reason: 'FieldValueInvalid', field: 'metadata.name', message },
        ]);
      }
      onKinds(metadata.name, kindsOf(object));
      const now = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
      const condition = (type: string, reason: string, message: string) => ({
        type,
        status: 'True',
        lastTransitionTime: now,
        reason,
        message,
      });
      const status = object.status ?? {
        acceptedNames: spec.names,
        storedVersions: spec.versions
          .filter((each: { storage: boolean }) => each.storage)
          .map((each: Version) => each.name),
        conditions: [
          condition('NamesAccepted', 'NoConflicts', 'no conflicts found'),
          condition('Established', 'InitialNamesAccepted', 'the initial names have been accepted'),
        ],
      };
      return { ...object, status };
    },
    deleted: ({ metadata }) => onKinds(metadata.name, []),
  };
}

function kindsOf({ spec }: ApiObject): Kind[] {
  const { group, names, scope } = spec;
  const served: Version[] = spec.versions.filter((each: Version) => each.served);
  return served.map((version) => {
    const schema = version.schema?.openAPIV3Schema ?? { 'x-kubernetes-preserve-unknown-fields': true };
    const columns = version.additionalPrinterColumns?.map(({ name, type, jsonPath, priority = 0 }) =>
      pathColumn(name, type, jsonPath, priority),
    );
    return {
      resource: {
        group,
        version: version.name,
        plural: names.plural,
        kind: names.kind,
        namespaced: scope === 'Namespaced',
      },
      singular: names.singular ?? names.kind.toLowerCase(),
      shortNames: names.shortNames ?? [],
      hasStatus: version.subresources?.status !== undefined,
      columns: [NAME_COLUMN, ...(columns ?? [AGE_COLUMN])],
      schema,
      strategy: {
        prepare(object, _previous, unknown) {
          const pruned = prune(schema, object, '', unknown) as ApiObject; // an object in, an object out
          const causes = validate(schema, pruned, '');
          if (causes.length > 0) throw invalid(names.kind, group, object.metadata.name, causes);
          return pruned;
        },
      },
    };
  });
}
