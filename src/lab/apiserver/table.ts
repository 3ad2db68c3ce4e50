// Lists as tables (meta.k8s.io/v1 Table), the way kubectl asks for what it prints.
import type { ApiObject } from './api-object.ts';
import type { Kind } from './kinds.ts';

export function wantsTable(accept: string | undefined): boolean {
  return accept?.includes('as=Table') ?? false;
}

export function tableOf(
  { columns }: Kind,
  objects: readonly ApiObject[],
  metadata: object,
  now: Date,
): object {
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata,
    columnDefinitions: columns.map(({ name, type, priority }) => ({
      name,
      type,
      priority,
      format: name === 'Name' ? 'name' : '',
      description: '',
    })),
    rows: objects.map((object) => ({
      cells: columns.map(({ value }) => value(object, now) ?? null),
      object: { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata },
    })),
  };
}
