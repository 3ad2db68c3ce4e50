// What the real server does to Services on a write: defaults, families, addresses and ports, what types allow.
import { type Family, familyOf, ip, parseIp } from '../../net/address.ts';
import { type Cause, invalid } from './api-error.ts';
import type { ApiObject } from './api-object.ts';
import type { Strategy } from './kinds.ts';
import { type ClusterAddresses, NodePorts } from './service-addresses.ts';
import { serviceCauses } from './service-validation.ts';

// biome-ignore lint/suspicious/noExplicitAny: a Service's spec as JSON, completed in place on a copy
type Spec = any;

export class ServiceStrategy implements Strategy {
  readonly #addresses: ClusterAddresses;
  readonly #nodePorts = new NodePorts();

  constructor(addresses: ClusterAddresses) {
    this.#addresses = addresses;
  }

  prepare(object: ApiObject, previous: ApiObject | undefined): ApiObject {
    const service = structuredClone(object);
    service.spec ??= {};
    const { spec } = service;
    const before: Spec | undefined = previous?.spec;
    setDefaults(spec);
    if (before) keepWhatWasGiven(spec, before);
    dropWhatTheTypeForbids(spec);
    const causes = serviceCauses(service, previous);
    if (causes.length > 0) throw invalid('Service', '', service.metadata.name, causes);
    service.status = previous ? statusFor(spec, before, previous.status) : { loadBalancer: {} };

    const undo: (() => void)[] = [];
    try {
      this.#giveAddresses(service, before, undo);
      this.#givePorts(service, before, undo);
    } catch (error) {
      for (const step of undo) step();
      throw error;
    }
    if (before) this.#releaseUnused(spec, before);
    return service;
  }

  prepareStatus(object: ApiObject): ApiObject {
    const service = structuredClone(object);
    const causes: Cause[] = [];
    const ingress = service.status?.loadBalancer?.ingress ?? [];
    for (const [i, each] of ingress.entries()) {
      const field = `status.loadBalancer.ingress[${i}]`;
      if (each.ip === undefined) continue;
      if (parseIp(each.ip).kind === 'malformed') {
        causes.push({
          reason: 'FieldValueInvalid',
          field: `${field}.ip`,
          message: `Invalid value: ${JSON.stringify(each.ip)}: must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)`,
        });
      }
      each.ipMode ??= 'VIP';
    }
    if (ingress.length > 0 && service.spec.type !== 'LoadBalancer') {
      causes.push({
        reason: 'FieldValueForbidden',
        field: 'status.loadBalancer.ingress',
        message: 'Forbidden: may only be used when `spec.type` is "LoadBalancer"',
      });
    }
    if (causes.length > 0) throw invalid('Service', '', service.metadata.name, causes);
    return service;
  }

  deleted({ spec }: ApiObject): void {
    for (const address of spec.clusterIPs ?? []) this.#addresses.release(address);
    for (const { protocol, nodePort } of spec.ports ?? [])
      if (nodePort) this.#nodePorts.release(protocol, nodePort);
    if (spec.healthCheckNodePort) this.#nodePorts.release('TCP', spec.healthCheckNodePort);
  }

  #giveAddresses(service: ApiObject, before: Spec | undefined, undo: (() => void)[]): void {
    const { spec } = service;
    if (spec.type === 'ExternalName') return;
    const refuse = (field: string, value: unknown, why: string) => {
      const cause: Cause = {
        reason: 'FieldValueInvalid',
        field,
        message: `Invalid value: ${JSON.stringify(value)}: ${why}`,
      };
      return invalid('Service', '', service.metadata.name, [cause]);
    };
    const requested: string[] = spec.clusterIPs ?? (spec.clusterIP ? [spec.clusterIP] : []);
    if (requested[0] === 'None') {
      spec.clusterIP = 'None';
      spec.clusterIPs = ['None'];
      const available = this.#addresses.prefixes.map(({ family }) => family);
      spec.ipFamilies ??=
        spec.ipFamilyPolicy === undefined || spec.ipFamilyPolicy === 'SingleStack'
          ? available.slice(0, 1)
          : available;
      spec.ipFamilyPolicy ??= 'SingleStack';
      return;
    }
    for (const [i, text] of requested.entries()) {
      if (parseIp(text).kind === 'malformed')
        throw refuse(
          `spec.clusterIPs[${i}]`,
          text,
          'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
        );
    }
    const families = this.#families(
      spec,
      requested.map((text) => familyOf(ip(text))),
      refuse,
    );
    const held: string[] = before?.clusterIPs ?? [];
    spec.clusterIPs = families.map((family, i) => {
      const wanted = requested.find((text) => familyOf(ip(text)) === family);
      if (wanted !== undefined && held.includes(wanted)) return wanted;
      const address = wanted === undefined ? this.#addresses.allocate(family) : ip(wanted);
      if (wanted !== undefined) {
        const result = this.#addresses.take(ip(wanted));
        const why =
          result === 'in use'
            ? 'provided IP is already allocated'
            : 'the provided network does not match the current range';
        if (result !== 'taken')
          throw refuse(`spec.clusterIPs[${i}]`, requested, `failed to allocate IP ${wanted}: ${why}`);
      }
      if (address === undefined)
        throw refuse('spec.clusterIPs', requested, 'failed to allocate an IP: range is full');
      undo.push(() => this.#addresses.release(address));
      return address;
    });
    spec.clusterIP = spec.clusterIPs[0];
    spec.ipFamilies = families;
  }

  /** Families by the policy; a single-stack cluster gives what it has. */
  #families(
    spec: Spec,
    requested: readonly Family[],
    refuse: (field: string, value: unknown, why: string) => Error,
  ): Family[] {
    const available = this.#addresses.prefixes.map(({ family }) => family);
    const named: Family[] = spec.ipFamilies ?? [...requested];
    spec.ipFamilyPolicy ??= named.length > 1 ? 'RequireDualStack' : 'SingleStack';
    const missing = named.find((family) => !available.includes(family));
    if (missing) throw refuse('spec.ipFamilies[0]', missing, 'not configured on this cluster');
    const primary = named[0] ?? available[0];
    if (primary === undefined) throw refuse('spec.ipFamilies', named, 'not configured on this cluster');
    if (spec.ipFamilyPolicy === 'SingleStack') return [primary];
    const both = [primary, ...available.filter((family) => family !== primary)];
    if (spec.ipFamilyPolicy === 'RequireDualStack' && both.length < 2) {
      throw refuse(
        'spec.ipFamilyPolicy',
        spec.ipFamilyPolicy,
        'this cluster is not configured for dual-stack services',
      );
    }
    return both;
  }

  #givePorts({ spec, metadata }: ApiObject, before: Spec | undefined, undo: (() => void)[]): void {
    const wants =
      spec.type === 'NodePort' ||
      (spec.type === 'LoadBalancer' && spec.allocateLoadBalancerNodePorts !== false);
    const held = new Set((before?.ports ?? []).map((port: Spec) => `${port.protocol}/${port.nodePort}`));
    const take = (protocol: string, port: number | undefined, field: string): number => {
      const given = port || this.#nodePorts.allocate(protocol);
      const result = port ? this.#nodePorts.take(protocol, port) : 'taken';
      if (given === undefined || result !== 'taken') {
        const why =
          result === 'out of range'
            ? 'provided port is not in the valid range. The range of valid ports is 30000-32767'
            : 'provided port is already allocated';
        throw invalid('Service', '', metadata.name, [
          { reason: 'FieldValueInvalid', field, message: `Invalid value: ${port}: ${why}` },
        ]);
      }
      undo.push(() => this.#nodePorts.release(protocol, given));
      return given;
    };
    for (const [i, port] of spec.ports.entries()) {
      const asked = port.nodePort && spec.type !== 'ClusterIP';
      if (asked && held.has(`${port.protocol}/${port.nodePort}`)) continue;
      if (wants || asked) port.nodePort = take(port.protocol, port.nodePort, `spec.ports[${i}].nodePort`);
    }
    const checked = spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local';
    if (
      checked &&
      (before?.healthCheckNodePort === undefined || before.healthCheckNodePort !== spec.healthCheckNodePort)
    ) {
      spec.healthCheckNodePort = take('TCP', spec.healthCheckNodePort, 'spec.healthCheckNodePort');
    }
  }

  #releaseUnused(spec: Spec, before: Spec): void {
    for (const address of before.clusterIPs ?? [])
      if (!(spec.clusterIPs ?? []).includes(address)) this.#addresses.release(address);
    const kept = new Set((spec.ports ?? []).map((port: Spec) => `${port.protocol}/${port.nodePort}`));
    for (const { protocol, nodePort } of before.ports ?? []) {
      if (nodePort && !kept.has(`${protocol}/${nodePort}`)) this.#nodePorts.release(protocol, nodePort);
    }
    if (before.healthCheckNodePort && before.healthCheckNodePort !== spec.healthCheckNodePort) {
      this.#nodePorts.release('TCP', before.healthCheckNodePort);
    }
  }
}

function setDefaults(spec: Spec): void {
  spec.type ??= 'ClusterIP';
  spec.sessionAffinity ??= 'None';
  if (spec.sessionAffinity === 'ClientIP')
    spec.sessionAffinityConfig ??= { clientIP: { timeoutSeconds: 10_800 } };
  spec.ports ??= [];
  for (const port of spec.ports) {
    port.protocol ??= 'TCP';
    port.targetPort ??= port.port;
  }
  if (spec.type !== 'ExternalName') spec.internalTrafficPolicy ??= 'Cluster';
  const external =
    spec.type === 'NodePort' || spec.type === 'LoadBalancer' || (spec.externalIPs ?? []).length > 0;
  if (external) spec.externalTrafficPolicy ??= 'Cluster';
  if (spec.type === 'LoadBalancer') spec.allocateLoadBalancerNodePorts ??= true;
}

/** A client that leaves out what the server gave keeps it. */
function keepWhatWasGiven(spec: Spec, before: Spec): void {
  if (spec.type !== 'ExternalName' && before.type !== 'ExternalName') {
    if (!spec.clusterIP && !spec.clusterIPs) {
      spec.clusterIP = before.clusterIP;
      spec.clusterIPs = before.clusterIPs;
    }
    spec.clusterIP ||= spec.clusterIPs?.[0];
    if (spec.clusterIPs && spec.clusterIPs[0] !== spec.clusterIP) spec.clusterIPs = [spec.clusterIP];
    spec.ipFamilyPolicy ??= before.ipFamilyPolicy;
    if (spec.ipFamilyPolicy === 'SingleStack') {
      spec.clusterIPs = spec.clusterIPs?.slice(0, 1);
      spec.ipFamilies = (spec.ipFamilies ?? before.ipFamilies)?.slice(0, 1);
    } else {
      spec.ipFamilies ??= before.ipFamilies;
    }
  }
  const external = spec.type === 'NodePort' || spec.type === 'LoadBalancer';
  for (const port of spec.ports) {
    const known = before.ports?.find(
      (each: Spec) => each.port === port.port && each.protocol === port.protocol,
    );
    if (external && port.nodePort === undefined && known?.nodePort) port.nodePort = known.nodePort;
  }
  spec.healthCheckNodePort ??= before.healthCheckNodePort;
}

function dropWhatTheTypeForbids(spec: Spec): void {
  if (spec.type === 'ClusterIP') for (const port of spec.ports) delete port.nodePort;
  if (spec.type !== 'LoadBalancer') {
    delete spec.allocateLoadBalancerNodePorts;
    delete spec.loadBalancerClass;
  }
  if (spec.type !== 'LoadBalancer' || spec.externalTrafficPolicy !== 'Local') delete spec.healthCheckNodePort;
  const external =
    spec.type === 'NodePort' || spec.type === 'LoadBalancer' || (spec.externalIPs ?? []).length > 0;
  if (!external) delete spec.externalTrafficPolicy;
  if (spec.type === 'ExternalName') {
    for (const field of ['clusterIP', 'clusterIPs', 'ipFamilies', 'ipFamilyPolicy', 'internalTrafficPolicy'])
      delete spec[field];
  }
}

/** The server itself empties the load balancer's status when the type is another. */
function statusFor(spec: Spec, before: Spec, status: Spec): Spec {
  return before.type === 'LoadBalancer' && spec.type !== 'LoadBalancer'
    ? { ...status, loadBalancer: {} }
    : status;
}
