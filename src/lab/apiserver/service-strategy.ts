// What the real server does to Services on a write: completes, validates, gives out addresses and ports.
import { invalid } from './api-error.ts';
import type { ApiObject } from './api-object.ts';
import { fieldInvalid } from './field-causes.ts';
import type { Strategy } from './kinds.ts';
import { type ClusterAddresses, NodePorts } from './service-addresses.ts';
import {
  dropTypeDependent,
  joinClusterIps,
  keepAllocated,
  setDefaults,
  trimToSingleStack,
} from './service-defaults.ts';
import { completeFamilies } from './service-families.ts';
import { getsNodePorts, needsHealthCheckPort, type ServicePort, type ServiceSpec } from './service-spec.ts';
import { completeStatus } from './service-status.ts';
import { serviceCauses } from './service-validation.ts';

export class ServiceStrategy implements Strategy {
  readonly #addresses: ClusterAddresses;
  readonly #nodePorts = new NodePorts();

  constructor(addresses: ClusterAddresses) {
    this.#addresses = addresses;
  }

  prepare(object: ApiObject, previous: ApiObject | undefined): ApiObject {
    const service = structuredClone(object);
    const spec: ServiceSpec = service.spec ?? {};
    service.spec = spec;
    const before: ServiceSpec | undefined = previous?.spec;
    setDefaults(spec);
    joinClusterIps(spec, before);
    if (before) {
      keepAllocated(spec, before);
      dropTypeDependent(spec, before);
      trimToSingleStack(spec, before);
    }
    const causes = serviceCauses(service, previous);
    if (causes.length === 0) causes.push(...completeFamilies(spec, before, this.#addresses));
    if (causes.length > 0) throw invalid('Service', '', service.metadata.name, causes);
    this.#givePorts(service.metadata.name, spec, before);
    const status = previous?.status ?? { loadBalancer: {} };
    // The server itself empties the load balancer's status when the type is another.
    service.status = spec.type === 'LoadBalancer' ? status : { ...status, loadBalancer: {} };
    return service;
  }

  prepareStatus(object: ApiObject): ApiObject {
    return completeStatus(object);
  }

  stored({ spec }: ApiObject, previous: ApiObject | undefined): void {
    if (previous) this.deleted(previous);
    for (const address of addressesOf(spec)) this.#addresses.take(address);
    for (const port of nodePortsOf(spec)) this.#nodePorts.take(port);
  }

  deleted({ spec }: ApiObject): void {
    for (const address of addressesOf(spec)) this.#addresses.release(address);
    for (const port of nodePortsOf(spec)) this.#nodePorts.release(port);
  }

  /** Node ports that were asked for are checked, missing ones chosen; the same for the health check's port. */
  #givePorts(name: string, spec: ServiceSpec, before: ServiceSpec | undefined): void {
    const held = new Set(before ? nodePortsOf(before) : []);
    const chosen = new Set(nodePortsOf(spec));
    const check = (port: number, field: string) => {
      const state = held.has(port) ? 'free' : this.#nodePorts.availability(port);
      if (state === 'free') return port;
      const why =
        state === 'out of range'
          ? 'provided port is not in the valid range. The range of valid ports is 30000-32767'
          : 'provided port is already allocated';
      throw invalid('Service', '', name, [fieldInvalid(field, port, why)]);
    };
    const choose = (field: string) => {
      const port = this.#nodePorts.choose(chosen);
      if (port === undefined)
        throw invalid('Service', '', name, [
          fieldInvalid(field, 0, 'failed to allocate a nodePort: range is full'),
        ]);
      chosen.add(port);
      return port;
    };
    // Two protocols on one port share the number when the server chooses it.
    const shared = new Map<number | undefined, number>();
    for (const [i, port] of (spec.ports ?? []).entries()) {
      const field = `spec.ports[${i}].nodePort`;
      if (port.nodePort !== undefined) check(port.nodePort, field);
      else if (getsNodePorts(spec))
        port.nodePort = (before ? undefined : shared.get(port.port)) ?? choose(field);
      if (port.nodePort !== undefined) shared.set(port.port, port.nodePort);
    }
    if (!needsHealthCheckPort(spec)) return;
    const field = 'spec.healthCheckNodePort';
    spec.healthCheckNodePort =
      spec.healthCheckNodePort === undefined ? choose(field) : check(spec.healthCheckNodePort, field);
  }
}

function addressesOf({ clusterIPs = [] }: ServiceSpec): string[] {
  return clusterIPs.filter((each) => each !== 'None');
}

function nodePortsOf({ ports = [], healthCheckNodePort }: ServiceSpec): number[] {
  const numbers = ports.flatMap(({ nodePort }: ServicePort) => nodePort ?? []);
  return healthCheckNodePort === undefined ? numbers : [...numbers, healthCheckNodePort];
}
