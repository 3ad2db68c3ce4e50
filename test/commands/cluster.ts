// What a test does to a cluster and sees of it: objects made, changed and awaited over the API.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { load } from 'js-yaml';
import { systemClock } from '../../src/clock/clock.ts';
import { type KubeApi, KubeError, type Resource } from '../../src/kube/kube-api.ts';
import { kubeMetrics } from '../../src/kube/metrics.ts';
import type { Condition, KubeObject, ServiceObject } from '../../src/kube/objects.ts';
import { Reflector } from '../../src/kube/reflector.ts';
import {
  ADDRESS_QUOTAS,
  ADDRESS_RESERVATIONS,
  EVENTS,
  IP_ADDRESS_POOLS,
  L2_ADVERTISEMENTS,
  NODES,
  SERVICES,
} from '../../src/kube/resources.ts';
import { Store } from '../../src/kube/store.ts';
import { createLogger } from '../../src/observe/logger.ts';
import { createRegistry } from '../../src/observe/metrics.ts';
import { CRD_FOLDER, untilServed } from '../lab/apiserver/running-server.ts';

const CUSTOM_RESOURCE_DEFINITIONS: Resource = {
  group: 'apiextensions.k8s.io',
  version: 'v1',
  plural: 'customresourcedefinitions',
  kind: 'CustomResourceDefinition',
  namespaced: false,
};

/** Milliseconds; only a test that fails waits so long. */
const DEADLINE = 15_000;

export type Config = KubeObject & {
  readonly spec?: object;
  readonly status?: Readonly<Record<string, unknown>> & { readonly conditions?: readonly Condition[] };
};

export class Cluster {
  readonly api: KubeApi;
  readonly services = new Store<ServiceObject>();
  readonly pools = new Store<Config>();
  readonly advertisements = new Store<Config>();
  readonly events = new Store<EventObject>();
  readonly #stop = new AbortController();
  readonly #runs: readonly Promise<void>[];

  constructor(api: KubeApi) {
    this.api = api;
    const metrics = kubeMetrics(createRegistry());
    const log = createLogger({ component: 'test', level: 'silent' });
    const follow = <T extends KubeObject>(resource: Resource<T>, store: Store<T>) =>
      new Reflector({ api, resource, store, clock: systemClock, random: Math.random, log, metrics }).run(
        this.#stop.signal,
      );
    this.#runs = [
      follow(SERVICES, this.services),
      follow(IP_ADDRESS_POOLS, this.pools),
      follow(L2_ADVERTISEMENTS, this.advertisements),
      follow(EVENTS as Resource<EventObject>, this.events),
    ];
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#runs);
  }

  /** Applies `deploy/crds/<plural>.yaml`. */
  async installCrd(plural: string): Promise<void> {
    const definition = load(readFileSync(join(CRD_FOLDER, `${plural}.yaml`), 'utf8')) as KubeObject; // our own file
    await this.api.create(CUSTOM_RESOURCE_DEFINITIONS, definition);
    await untilServed(this.api, definition);
  }

  async createPool(name: string, spec: readonly string[] | object): Promise<void> {
    const object: Config = {
      apiVersion: 'fairlead.dev/v1alpha1',
      kind: 'IPAddressPool',
      metadata: { name },
      spec: Array.isArray(spec) ? { addresses: spec } : spec,
    };
    await persist(() => this.api.create(IP_ADDRESS_POOLS, object));
  }

  async createAdvertisement(name: string, spec: object): Promise<void> {
    const apiVersion = 'fairlead.dev/v1alpha1';
    const object: Config = { apiVersion, kind: 'L2Advertisement', metadata: { name }, spec };
    await persist(() => this.api.create(L2_ADVERTISEMENTS, object));
  }

  async createReservation(name: string, spec: object): Promise<void> {
    const apiVersion = 'fairlead.dev/v1alpha1';
    const object: Config = { apiVersion, kind: 'AddressReservation', metadata: { name }, spec };
    await persist(() => this.api.create(ADDRESS_RESERVATIONS, object));
  }

  async deleteReservation(name: string): Promise<void> {
    await persist(() => this.api.delete(ADDRESS_RESERVATIONS, { name }));
  }

  async createQuota(name: string, spec: object): Promise<void> {
    const apiVersion = 'fairlead.dev/v1alpha1';
    const object: Config = { apiVersion, kind: 'AddressQuota', metadata: { name }, spec };
    await persist(() => this.api.create(ADDRESS_QUOTAS, object));
  }

  async patchQuota(name: string, spec: object): Promise<void> {
    const options = { type: 'merge', fieldManager: 'test' } as const;
    await persist(() => this.api.patch(ADDRESS_QUOTAS, { name }, { spec }, options));
  }

  async deleteQuota(name: string): Promise<void> {
    await persist(() => this.api.delete(ADDRESS_QUOTAS, { name }));
  }

  /** A Node that has this address. */
  async createNode(name: string, address: string): Promise<void> {
    await persist(() => this.api.create(NODES, { apiVersion: 'v1', kind: 'Node', metadata: { name } }));
    const status = { addresses: [{ type: 'InternalIP', address }] };
    const options = { type: 'merge', subresource: 'status', fieldManager: 'test' } as const;
    await persist(() => this.api.patch(NODES, { name }, { status }, options));
  }

  async deletePool(name: string): Promise<void> {
    await persist(() => this.api.delete(IP_ADDRESS_POOLS, { name }));
  }

  /** A Service of type LoadBalancer in `default`, unless `spec` says otherwise. */
  async createService(
    name: string,
    spec: Partial<ServiceObject['spec']> = {},
    annotations: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    const object: ServiceObject = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: 'default', annotations },
      spec: { type: 'LoadBalancer', ports: [{ port: 80 }], ...spec },
    };
    await persist(() => this.api.create(SERVICES, object));
  }

  async patchService(name: string, patch: object): Promise<void> {
    const options = { type: 'merge', fieldManager: 'test' } as const;
    await persist(() => this.api.patch(SERVICES, { name, namespace: 'default' }, patch, options));
  }

  /** Asks for it only: the Service goes when the last of its finalizers does. */
  async markServiceDeleted(name: string): Promise<void> {
    await persist(() => this.api.delete(SERVICES, { name, namespace: 'default' }));
  }

  async patchStatus(name: string, status: object): Promise<void> {
    const options = { type: 'merge', subresource: 'status', fieldManager: 'test' } as const;
    await persist(() => this.api.patch(SERVICES, { name, namespace: 'default' }, { status }, options));
  }

  /** Resolves once this view of the cluster is without it too. */
  async deleteService(name: string): Promise<void> {
    await this.markServiceDeleted(name);
    await this.serviceGone(name);
  }

  async serviceGone(name: string): Promise<void> {
    const key = `default/${name}`;
    await eventually(
      this.services,
      () => `${key} is still there`,
      () => this.services.get(key) === undefined,
    );
  }

  /** The Service, as soon as it is so; by default, as soon as it has an address. */
  service(
    name: string,
    isSo = (each: ServiceObject) => addressesOf(each).length > 0,
  ): Promise<ServiceObject> {
    return object(this.services, `default/${name}`, isSo);
  }

  /** The Service, as soon as its condition has this reason. */
  serviceWith(name: string, reason: string): Promise<ServiceObject> {
    return this.service(name, (each) => allocatedCondition(each)?.reason === reason);
  }

  pool(name: string, isSo: (each: Config) => boolean): Promise<Config> {
    return object(this.pools, name, isSo);
  }

  advertisement(name: string, isSo: (each: Config) => boolean): Promise<Config> {
    return object(this.advertisements, name, isSo);
  }

  /** `type reason` of the events on the Service, in order of time, as soon as there are so many. */
  async eventsOn(name: string, count: number): Promise<string[]> {
    const found = () => [...this.events.values()].filter(({ regarding }) => regarding.name === name);
    await eventually(
      this.events,
      () => `only ${found().length} events on ${name}`,
      () => found().length >= count,
    );
    return found()
      .sort((a, b) => (a.eventTime < b.eventTime ? -1 : 1))
      .map(({ type, reason }) => `${type} ${reason}`);
  }
}

interface EventObject extends KubeObject {
  readonly regarding: { readonly name: string };
  readonly type: string;
  readonly reason: string;
  readonly eventTime: string;
}

export function addressesOf({ status }: ServiceObject): string[] {
  return (status?.loadBalancer?.ingress ?? []).map(({ ip = '' }) => ip);
}

export function allocatedCondition({ status }: ServiceObject): Condition | undefined {
  return status?.conditions?.find(({ type }) => type === 'fairlead.dev/Allocated');
}

export function validCondition({ status }: Config): Condition | undefined {
  return status?.conditions?.find(({ type }) => type === 'Valid');
}

/** Again where the connection broke: several may have been kept from before the server stopped. */
async function persist(call: () => Promise<unknown>, tries = 10): Promise<void> {
  try {
    await call();
  } catch (error) {
    if (!(error instanceof KubeError && error.status === 0 && tries > 1)) throw error;
    await persist(call, tries - 1);
  }
}

/** Resolves with the object as soon as the store holds it and it is so. */
async function object<T extends KubeObject>(
  store: Store<T>,
  key: string,
  isSo: (each: T) => boolean,
): Promise<T> {
  let found: T | undefined;
  const look = () => {
    const each = store.get(key);
    if (each && isSo(each)) found ??= each;
    return found !== undefined;
  };
  await eventually(store, () => `${key} did not become so: ${JSON.stringify(store.get(key))}`, look);
  if (!found) throw new Error(`${key} was not found`); // not so: look() said that it was
  return found;
}

/** Resolves as soon as a change of the store makes it so. */
async function eventually<T extends KubeObject>(
  store: Store<T>,
  what: () => string,
  isSo: () => boolean,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const look = () => isSo() && resolve();
  const late = setTimeout(() => reject(new Error(what())), DEADLINE);
  const unsubscribe = store.subscribe(look);
  look();
  try {
    await promise;
  } finally {
    clearTimeout(late);
    unsubscribe();
  }
}
