// How kubectl shows the built-in kinds (kube-apiserver: pkg/printers/internalversion).
import type { ApiObject } from './api-object.ts';
import { age, type Column, column, pathColumn } from './columns.ts';

const NONE = '<none>';
const NODE_ROLE = 'node-role.kubernetes.io/';

export const NODE_COLUMNS = [
  column('Status', nodeStatus),
  column('Roles', ({ metadata }) => {
    const roles = Object.keys(metadata.labels ?? {}).filter((label) => label.startsWith(NODE_ROLE));
    return roles.map((label) => label.slice(NODE_ROLE.length)).join(',') || NONE;
  }),
];

export const NODE_WIDE_COLUMNS = [
  column('Version', ({ status }) => status?.nodeInfo?.kubeletVersion ?? ''),
  column('Internal-IP', (node) => nodeAddress(node, 'InternalIP'), 1),
  column('External-IP', (node) => nodeAddress(node, 'ExternalIP'), 1),
];

export const SERVICE_COLUMNS = [
  pathColumn('Type', 'string', '.spec.type'),
  column('Cluster-IP', ({ spec }) => spec.clusterIP ?? NONE),
  column('External-IP', externalAddresses),
  column('Port(s)', servicePorts),
];

export const SERVICE_WIDE_COLUMNS = [column('Selector', ({ spec }) => labelText(spec.selector), 1)];

export const POD_COLUMNS = [
  column('Ready', ({ spec, status }) => {
    const ready = (status?.containerStatuses ?? []).filter((each: { ready?: boolean }) => each.ready);
    return `${ready.length}/${(spec?.containers ?? []).length}`;
  }),
  column('Status', ({ metadata, status }) =>
    metadata.deletionTimestamp ? 'Terminating' : (status?.reason ?? status?.phase ?? 'Unknown'),
  ),
];

export const POD_WIDE_COLUMNS = [
  column('IP', ({ status }) => status?.podIP ?? NONE, 1),
  column('Node', ({ spec }) => spec?.nodeName ?? NONE, 1),
];

export const ENDPOINT_SLICE_COLUMNS = [
  pathColumn('AddressType', 'string', '.addressType'),
  column('Ports', ({ ports }) => joined((ports ?? []).map((each: { port?: number }) => each.port ?? '*'))),
  column('Endpoints', ({ endpoints }) =>
    joined((endpoints ?? []).flatMap((each: { addresses?: string[] }) => each.addresses ?? [])),
  ),
];

/** Of both forms: core/v1 and events.k8s.io/v1. */
export const EVENT_COLUMNS: readonly Column[] = [
  column('Last Seen', (event, now) => {
    const { series, lastTimestamp, deprecatedLastTimestamp, eventTime, metadata } = event;
    const seen = series?.lastObservedTime ?? lastTimestamp ?? deprecatedLastTimestamp ?? eventTime;
    return age(seen ?? metadata.creationTimestamp, now);
  }),
  pathColumn('Type', 'string', '.type'),
  pathColumn('Reason', 'string', '.reason'),
  column('Object', ({ regarding, involvedObject }) => {
    const { kind = '', name = '' } = regarding ?? involvedObject ?? {};
    return `${kind.toLowerCase()}/${name}`;
  }),
  column('Message', ({ note, message }) => (note ?? message ?? '').trim()),
];

function joined(texts: readonly unknown[]): string {
  return texts.join(',') || '<unset>';
}

function nodeStatus({ status, spec }: ApiObject): string {
  const conditions: readonly { type: string; status: string }[] = status?.conditions ?? [];
  const ready = conditions.find(({ type }) => type === 'Ready');
  const text = ready === undefined ? 'Unknown' : ready.status === 'True' ? 'Ready' : 'NotReady';
  return spec?.unschedulable ? `${text},SchedulingDisabled` : text;
}

function nodeAddress({ status }: ApiObject, type: string): string {
  const addresses: readonly { type: string; address: string }[] = status?.addresses ?? [];
  return addresses.find((each) => each.type === type)?.address ?? NONE;
}

function externalAddresses({ spec, status }: ApiObject): string {
  if (spec.type === 'ExternalName') return spec.externalName ?? NONE;
  const ingress: readonly { ip?: string; hostname?: string }[] =
    spec.type === 'LoadBalancer' ? (status?.loadBalancer?.ingress ?? []) : [];
  const all = [...ingress.map(({ ip, hostname }) => ip ?? hostname), ...(spec.externalIPs ?? [])];
  return all.join(',') || (spec.type === 'LoadBalancer' ? '<pending>' : NONE);
}

function servicePorts({ spec }: ApiObject): string {
  const ports: readonly { port: number; nodePort?: number; protocol: string }[] = spec.ports ?? [];
  const texts = ports.map(
    ({ port, nodePort, protocol }) => `${port}${nodePort ? `:${nodePort}` : ''}/${protocol}`,
  );
  return texts.join(',') || NONE;
}

function labelText(labels: Readonly<Record<string, string>> | undefined): string {
  const texts = Object.entries(labels ?? {}).map(([key, value]) => `${key}=${value}`);
  return texts.join(',') || NONE;
}
