// The built-in kinds that a cluster for load balancing needs, and how kubectl shows them.
import type { ApiObject } from './api-object.ts';
import { AGE_COLUMN, age, type Column, type Kind, NAME_COLUMN, pathColumn, type Strategy } from './kinds.ts';

interface Options {
  readonly group?: string;
  readonly plural?: string;
  readonly shortNames?: readonly string[];
  readonly namespaced?: boolean;
  readonly hasStatus?: boolean;
  readonly columns?: readonly Column[];
  readonly strategy?: Strategy;
  readonly storedAs?: string;
  readonly present?: (object: ApiObject) => ApiObject;
}

function kind(name: string, options: Options): Kind {
  const {
    group = '',
    shortNames = [],
    namespaced = true,
    hasStatus = false,
    columns = [],
    strategy = {},
    storedAs,
    present,
  } = options;
  const singular = name.toLowerCase();
  const plural = options.plural ?? `${singular}s`;
  return {
    resource: { group, version: 'v1', plural, kind: name, namespaced },
    singular,
    shortNames,
    hasStatus,
    columns: [NAME_COLUMN, ...columns, AGE_COLUMN],
    strategy,
    ...(storedAs === undefined ? {} : { storedAs }),
    ...(present === undefined ? {} : { present }),
  };
}

const column = (name: string, value: (object: ApiObject) => unknown, priority = 0): Column => ({
  name,
  type: 'string',
  priority,
  value,
});

const EVENT_COLUMNS = [
  column('Last Seen', ({ metadata }) => age(metadata.creationTimestamp)),
  pathColumn('Type', 'string', '.type'),
  pathColumn('Reason', 'string', '.reason'),
  column(
    'Object',
    ({ regarding, involvedObject }) =>
      `${(regarding ?? involvedObject)?.kind?.toLowerCase()}/${(regarding ?? involvedObject)?.name}`,
  ),
  column('Message', ({ note, message }) => note ?? message),
];

/** The core/v1 form of an events.k8s.io/v1 event, which `kubectl describe` reads. */
function coreEvent(event: ApiObject): ApiObject {
  const {
    regarding,
    note,
    reportingController,
    reportingInstance,
    eventTime,
    reason,
    type,
    action,
    metadata,
  } = event;
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata,
    involvedObject: regarding,
    message: note,
    reason,
    type,
    action,
    eventTime,
    reportingComponent: reportingController,
    reportingInstance,
    source: { component: reportingController },
    firstTimestamp: metadata.creationTimestamp,
    lastTimestamp: metadata.creationTimestamp,
    count: 1,
  };
}

export function builtInKinds(strategies: {
  readonly service: Strategy;
  readonly crd: Strategy;
  readonly namespace: Strategy;
}): Kind[] {
  return [
    kind('Namespace', {
      shortNames: ['ns'],
      namespaced: false,
      hasStatus: true,
      columns: [pathColumn('Status', 'string', '.status.phase')],
      strategy: strategies.namespace,
    }),
    kind('Node', {
      shortNames: ['no'],
      namespaced: false,
      hasStatus: true,
      columns: [
        column('Status', nodeStatus),
        column(
          'Internal-IP',
          (node) =>
            node.status?.addresses?.find((each: { type: string }) => each.type === 'InternalIP')?.address,
          1,
        ),
      ],
    }),
    kind('Service', {
      shortNames: ['svc'],
      hasStatus: true,
      columns: [
        pathColumn('Type', 'string', '.spec.type'),
        column('Cluster-IP', ({ spec }) => spec.clusterIP ?? '<none>'),
        column('External-IP', externalAddresses),
        column('Port(s)', servicePorts),
        column('Selector', ({ spec }) => labelText(spec.selector), 1),
      ],
      strategy: strategies.service,
    }),
    kind('Pod', {
      shortNames: ['po'],
      hasStatus: true,
      columns: [
        column('Status', ({ status }) => status?.phase ?? 'Unknown'),
        pathColumn('IP', 'string', '.status.podIP', 1),
        pathColumn('Node', 'string', '.spec.nodeName', 1),
      ],
    }),
    kind('ConfigMap', {
      shortNames: ['cm'],
      columns: [column('Data', ({ data }) => Object.keys(data ?? {}).length)],
    }),
    kind('Secret', {
      columns: [
        pathColumn('Type', 'string', '.type'),
        column('Data', ({ data }) => Object.keys(data ?? {}).length),
      ],
    }),
    kind('ServiceAccount', { shortNames: ['sa'] }),
    kind('EndpointSlice', {
      group: 'discovery.k8s.io',
      columns: [
        pathColumn('AddressType', 'string', '.addressType'),
        column(
          'Ports',
          ({ ports }) => (ports ?? []).map((each: { port: number }) => each.port).join(',') || '<unset>',
        ),
        column(
          'Endpoints',
          ({ endpoints }) =>
            (endpoints ?? []).flatMap((each: { addresses: string[] }) => each.addresses).join(',') ||
            '<unset>',
        ),
      ],
    }),
    kind('Event', {
      shortNames: ['ev'],
      columns: EVENT_COLUMNS,
      storedAs: 'events.events.k8s.io',
      present: coreEvent,
    }),
    kind('Event', { group: 'events.k8s.io', shortNames: ['ev'], columns: EVENT_COLUMNS }),
    kind('Lease', {
      group: 'coordination.k8s.io',
      columns: [pathColumn('Holder', 'string', '.spec.holderIdentity')],
    }),
    kind('CustomResourceDefinition', {
      group: 'apiextensions.k8s.io',
      shortNames: ['crd', 'crds'],
      namespaced: false,
      hasStatus: true,
      columns: [column('Created At', ({ metadata }) => metadata.creationTimestamp)],
      strategy: strategies.crd,
    }),
  ];
}

function nodeStatus({ status, spec }: ApiObject): string {
  const ready =
    status?.conditions?.find((each: { type: string }) => each.type === 'Ready')?.status === 'True';
  return `${ready ? 'Ready' : 'NotReady'}${spec?.unschedulable ? ',SchedulingDisabled' : ''}`;
}

function externalAddresses({ spec, status }: ApiObject): string {
  const ingress = (status?.loadBalancer?.ingress ?? []).map(
    (each: { ip?: string; hostname?: string }) => each.ip ?? each.hostname,
  );
  const all = [...ingress, ...(spec.externalIPs ?? [])];
  return all.length > 0 ? all.join(',') : spec.type === 'LoadBalancer' ? '<pending>' : '<none>';
}

function servicePorts({ spec }: ApiObject): string {
  const ports = (spec.ports ?? []).map(
    (each: { port: number; nodePort?: number; protocol: string }) =>
      `${each.port}${each.nodePort ? `:${each.nodePort}` : ''}/${each.protocol}`,
  );
  return ports.join(',') || '<none>';
}

function labelText(labels: Readonly<Record<string, string>> | undefined): string {
  return (
    Object.entries(labels ?? {})
      .map(([key, value]) => `${key}=${value}`)
      .join(',') || '<none>'
  );
}
