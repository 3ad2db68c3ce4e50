// What the server fills in, carries over from before and clears in a Service's spec, before it is validated
// (kube-apiserver: defaults of core/v1; patchAllocatedValues and dropTypeDependentFields of registry/core/service).
import { sameJson } from './api-object.ts';
import {
  isExternallyReachable,
  mayHaveNodePorts,
  needsClusterIp,
  needsHealthCheckPort,
  type ServiceSpec,
} from './service-spec.ts';

/** core/v1 DefaultClientIPServiceAffinitySeconds: 3 hours. */
const AFFINITY_SECONDS = 10_800;

export function setDefaults(spec: ServiceSpec): void {
  spec.type ||= 'ClusterIP';
  spec.sessionAffinity ||= 'None';
  if (spec.sessionAffinity === 'None') delete spec.sessionAffinityConfig;
  if (spec.sessionAffinity === 'ClientIP')
    spec.sessionAffinityConfig = {
      clientIP: { timeoutSeconds: spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? AFFINITY_SECONDS },
    };
  for (const port of spec.ports ?? []) {
    port.protocol ||= 'TCP';
    if (port.targetPort === undefined || port.targetPort === 0 || port.targetPort === '')
      port.targetPort = port.port ?? 0;
    if (port.nodePort === 0) delete port.nodePort;
    if (port.name === '') delete port.name;
  }
  if (spec.healthCheckNodePort === 0) delete spec.healthCheckNodePort;
  if (needsClusterIp(spec)) spec.internalTrafficPolicy ??= 'Cluster';
  if (isExternallyReachable(spec)) spec.externalTrafficPolicy ||= 'Cluster';
  if (spec.type === 'LoadBalancer') spec.allocateLoadBalancerNodePorts ??= true;
  if (spec.publishNotReadyAddresses === false) delete spec.publishNotReadyAddresses;
  if (spec.externalTrafficPolicy === '') delete spec.externalTrafficPolicy;
  if (spec.clusterIP === '') delete spec.clusterIP;
  if (spec.clusterIPs?.length === 0) delete spec.clusterIPs;
}

/** `clusterIP` and `clusterIPs` say the same, whichever of them the client gave or changed. */
export function joinClusterIps(spec: ServiceSpec, before: ServiceSpec | undefined): void {
  if (spec.clusterIP === undefined) {
    // Only the list given on a create is left for validation to refuse; cleared on an update, both go.
    if (before?.clusterIP !== undefined && sameJson(spec.clusterIPs, before.clusterIPs))
      delete spec.clusterIPs;
    return;
  }
  const unchanged = before !== undefined && sameJson(spec.clusterIPs, before.clusterIPs);
  if (spec.clusterIPs === undefined || (unchanged && spec.clusterIP !== before.clusterIP))
    spec.clusterIPs = [spec.clusterIP];
}

/** A client that leaves out what the server gave keeps it. */
export function keepAllocated(spec: ServiceSpec, before: ServiceSpec): void {
  if (needsClusterIp(spec) && needsClusterIp(before)) {
    if (spec.clusterIP === undefined && spec.clusterIPs === undefined && before.clusterIP !== undefined)
      spec.clusterIP = before.clusterIP;
    if (spec.clusterIPs === undefined && spec.clusterIP === before.clusterIP && before.clusterIPs)
      spec.clusterIPs = [...before.clusterIPs];
  }
  if (mayHaveNodePorts(spec) && mayHaveNodePorts(before)) {
    const used = new Set(spec.ports?.flatMap(({ nodePort }) => nodePort ?? []));
    const byName = new Map(before.ports?.map(({ name, nodePort }) => [name, nodePort]));
    for (const port of spec.ports ?? []) {
      const known = byName.get(port.name);
      if (port.nodePort !== undefined || known === undefined || used.has(known)) continue;
      port.nodePort = known;
      used.add(known);
    }
  }
  if (needsHealthCheckPort(spec) && needsHealthCheckPort(before) && before.healthCheckNodePort !== undefined)
    spec.healthCheckNodePort ??= before.healthCheckNodePort;
}

/** A change of type clears what the old type had, unless the client changed that as well: then it is refused. */
export function dropTypeDependent(spec: ServiceSpec, before: ServiceSpec): void {
  const dropUnchanged = (...fields: (keyof ServiceSpec)[]) => {
    for (const field of fields) if (sameJson(spec[field], before[field])) delete spec[field];
  };
  if (needsClusterIp(before) && !needsClusterIp(spec))
    dropUnchanged('clusterIP', 'clusterIPs', 'ipFamilies', 'ipFamilyPolicy', 'internalTrafficPolicy');
  if (mayHaveNodePorts(before) && !mayHaveNodePorts(spec)) {
    const known = new Set(before.ports?.map(({ nodePort }) => nodePort));
    for (const port of spec.ports ?? []) if (known.has(port.nodePort)) delete port.nodePort;
  }
  if (needsHealthCheckPort(before) && !needsHealthCheckPort(spec)) dropUnchanged('healthCheckNodePort');
  if (isExternallyReachable(before) && !isExternallyReachable(spec)) dropUnchanged('externalTrafficPolicy');
  if (before.type === 'LoadBalancer' && spec.type !== 'LoadBalancer')
    dropUnchanged('allocateLoadBalancerNodePorts', 'loadBalancerClass');
}

/** Back to one family: the second address and family go without being named. */
export function trimToSingleStack(spec: ServiceSpec, before: ServiceSpec): void {
  if (spec.ipFamilyPolicy !== 'SingleStack' || (before.ipFamilies ?? []).length < 2) return;
  if (spec.clusterIPs && sameJson(spec.clusterIPs, before.clusterIPs))
    spec.clusterIPs = spec.clusterIPs.slice(0, 1);
  if (spec.ipFamilies === undefined || sameJson(spec.ipFamilies, before.ipFamilies))
    spec.ipFamilies = before.ipFamilies?.slice(0, 1) ?? [];
}
