// The built-in kinds that a cluster for load balancing needs.
import * as columns from './built-in-columns.ts';
import * as fields from './built-in-fields.ts';
import { AGE_COLUMN, type Column, column, NAME_COLUMN, pathColumn } from './columns.ts';
import { DEFINITION_FIELDS } from './definition-fields.ts';
import { ENDPOINT_SLICE_STRATEGY } from './endpoint-slice-strategy.ts';
import { CORE_EVENTS, EVENT_STRATEGY } from './event-forms.ts';
import type { Kind, Strategy } from './kinds.ts';
import { builtInListTypes } from './list-keys.ts';
import { SECRET_STRATEGY } from './secret-strategy.ts';

export interface BuiltInStrategies {
  readonly service: Strategy;
  readonly crd: Strategy;
  readonly namespace: Strategy;
}

export function builtInKinds({ service, crd, namespace }: BuiltInStrategies): Kind[] {
  return [
    kind('Namespace', {
      shortNames: ['ns'],
      namespaced: false,
      hasStatus: true,
      selectableFields: ['status.phase'],
      columns: shown([pathColumn('Status', 'string', '.status.phase')]),
      fields: fields.NAMESPACE_FIELDS,
      strategy: namespace,
    }),
    kind('Node', {
      shortNames: ['no'],
      namespaced: false,
      hasStatus: true,
      selectableFields: ['spec.unschedulable'],
      fields: fields.NODE_FIELDS,
      columns: shown(columns.NODE_COLUMNS, columns.NODE_WIDE_COLUMNS),
    }),
    kind('Service', {
      shortNames: ['svc'],
      categories: ['all'],
      hasStatus: true,
      createsOnUpdate: true,
      returnsDeleted: true,
      selectableFields: ['spec.clusterIP', 'spec.type'],
      columns: shown(columns.SERVICE_COLUMNS, columns.SERVICE_WIDE_COLUMNS),
      fields: fields.SERVICE_FIELDS,
      strategy: service,
    }),
    kind('Pod', {
      shortNames: ['po'],
      categories: ['all'],
      hasStatus: true,
      returnsDeleted: true,
      selectableFields: ['spec.nodeName', 'status.phase', 'status.podIP'],
      fields: fields.POD_FIELDS,
      // Nobody but a node says how a new Pod fares.
      strategy: { prepare: (pod, previous) => (previous ? pod : { ...pod, status: { phase: 'Pending' } }) },
      columns: shown(columns.POD_COLUMNS, columns.POD_WIDE_COLUMNS),
    }),
    kind('ConfigMap', {
      shortNames: ['cm'],
      fields: fields.CONFIG_MAP_FIELDS,
      columns: shown([column('Data', ({ data }) => Object.keys(data ?? {}).length)]),
    }),
    kind('Secret', {
      fields: fields.SECRET_FIELDS,
      strategy: SECRET_STRATEGY,
      selectableFields: ['type'],
      columns: shown([
        pathColumn('Type', 'string', '.type'),
        column('Data', ({ data }) => Object.keys(data ?? {}).length),
      ]),
    }),
    kind('ServiceAccount', { shortNames: ['sa'], returnsDeleted: true }),
    kind('EndpointSlice', {
      group: 'discovery.k8s.io',
      hasGeneration: true,
      columns: shown(columns.ENDPOINT_SLICE_COLUMNS),
      fields: fields.ENDPOINT_SLICE_FIELDS,
      strategy: ENDPOINT_SLICE_STRATEGY,
    }),
    kind('ServiceCIDR', {
      group: 'networking.k8s.io',
      namespaced: false,
      hasStatus: true,
      fields: fields.SERVICE_CIDR_FIELDS,
      columns: shown([column('CIDRs', ({ spec }) => (spec?.cidrs ?? []).join(','))]),
    }),
    kind('Event', {
      shortNames: ['ev'],
      createsOnUpdate: true,
      selectableFields: eventFields('involvedObject', 'reportingComponent'),
      columns: columns.EVENT_COLUMNS,
      fields: fields.CORE_EVENT_FIELDS,
      alias: CORE_EVENTS,
    }),
    kind('Event', {
      group: 'events.k8s.io',
      shortNames: ['ev'],
      createsOnUpdate: true,
      selectableFields: eventFields('regarding', 'reportingController'),
      columns: columns.EVENT_COLUMNS,
      fields: fields.EVENT_FIELDS,
      strategy: EVENT_STRATEGY,
    }),
    kind('Lease', {
      group: 'coordination.k8s.io',
      fields: fields.LEASE_FIELDS,
      unconditionalUpdate: false,
      createsOnUpdate: true,
      columns: shown([pathColumn('Holder', 'string', '.spec.holderIdentity')]),
    }),
    kind('CustomResourceDefinition', {
      group: 'apiextensions.k8s.io',
      shortNames: ['crd', 'crds'],
      namespaced: false,
      hasStatus: true,
      hasGeneration: true,
      unconditionalUpdate: false,
      columns: [NAME_COLUMN, column('Created At', ({ metadata }) => metadata.creationTimestamp)],
      fields: DEFINITION_FIELDS,
      strategy: crd,
    }),
  ];
}

type Options = Partial<Omit<Kind, 'resource' | 'singular' | 'listTypes'>> & {
  readonly group?: string;
  readonly namespaced?: boolean;
};

function kind(name: string, { group = '', namespaced = true, ...options }: Options): Kind {
  const singular = name.toLowerCase();
  return {
    resource: { group, version: 'v1', plural: `${singular}s`, kind: name, namespaced },
    singular,
    shortNames: [],
    categories: [],
    hasStatus: false,
    hasGeneration: false,
    unconditionalUpdate: true,
    createsOnUpdate: false,
    returnsDeleted: false,
    selectableFields: [],
    listTypes: builtInListTypes(name),
    columns: shown([]),
    strategy: {},
    ...options,
  };
}

function shown(own: readonly Column[], afterAge: readonly Column[] = []): Column[] {
  return [NAME_COLUMN, ...own, AGE_COLUMN, ...afterAge];
}

function eventFields(object: string, controller: string): string[] {
  const ofObject = ['kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath'];
  return [...ofObject.map((field) => `${object}.${field}`), 'reason', 'type', controller];
}
