// One Lease as the API server keeps it, seen through one client each, whose calls may fail in every way.
import type { VirtualClock } from '../../src/clock/virtual-clock.ts';
import { type KubeApi, KubeError, type Resource } from '../../src/kube/kube-api.ts';
import type { LeaseObject } from '../../src/kube/lease.ts';
import type { KubeObject } from '../../src/kube/objects.ts';

type Spec = NonNullable<LeaseObject['spec']>;
/** `hang`: no answer, and nothing done, before the connection's 30 s. `lose the answer`: done, and never told. */
type Fault = 'refuse' | 'deny' | 'hang' | 'lose the answer' | undefined;

const PATIENCE = 30_000;

export class LeaseApi implements KubeApi {
  readonly #clock: VirtualClock;
  readonly #server: { object: LeaseObject | undefined; version: number; lastWrite: number };
  reads = 0;
  writes = 0;
  fault: Fault;

  constructor(clock: VirtualClock, server?: LeaseApi) {
    this.#clock = clock;
    this.#server = server ? server.#server : { object: undefined, version: 0, lastWrite: 0 };
  }

  /** Another client of the same server. */
  seenBy(): LeaseApi {
    return new LeaseApi(this.#clock, this);
  }

  get object(): LeaseObject | undefined {
    return this.#server.object;
  }

  /** When it was written last. */
  get lastWrite(): number {
    return this.#server.lastWrite;
  }

  write(spec: Partial<Record<keyof Spec, Spec[keyof Spec] | null>>): LeaseObject {
    const server = this.#server;
    const merged = Object.entries({ ...server.object?.spec, ...spec }).filter(([, value]) => value !== null);
    server.lastWrite = this.#clock.now();
    server.object = {
      metadata: { name: 'fairlead-controller', resourceVersion: `${++server.version}` },
      spec: Object.fromEntries(merged),
    };
    return server.object;
  }

  async get<T extends KubeObject>(_: Resource<T>): Promise<T> {
    this.reads++;
    return this.#answer('get', () => {
      if (!this.object) throw new KubeError(404, 'NotFound', 'no lease');
      return this.object as unknown as T; // the one kind there is
    });
  }

  async create<T extends KubeObject>(_: Resource<T>, object: T): Promise<T> {
    this.writes++;
    return this.#answer('create', () => {
      if (this.object) throw new KubeError(409, 'AlreadyExists', 'there is one');
      return this.write((object as LeaseObject).spec ?? {}) as unknown as T;
    });
  }

  async patch<T extends KubeObject>(_: Resource<T>, __: object, body: object): Promise<T> {
    this.writes++;
    const { metadata, spec } = body as LeaseObject;
    return this.#answer('patch', () => {
      if (metadata.resourceVersion !== this.object?.metadata.resourceVersion)
        throw new KubeError(409, 'Conflict', 'it has changed');
      return this.write(spec ?? {}) as unknown as T;
    });
  }

  async #answer<T>(verb: string, work: () => T): Promise<T> {
    const { fault } = this;
    if (fault === 'refuse') throw new KubeError(0, 'ECONNREFUSED', 'connect ECONNREFUSED');
    if (fault === 'deny')
      throw new KubeError(
        403,
        'Forbidden',
        `cannot ${verb} resource "leases" in API group "coordination.k8s.io"`,
      );
    const done = fault === 'hang' ? undefined : work();
    if (fault === undefined) return done as T; // work() was called
    await new Promise<void>((resolve) => this.#clock.setTimer(PATIENCE, resolve));
    throw new KubeError(0, 'Timeout', 'no answer within 30000 ms');
  }

  list = unused;
  watch = unused;
  delete = unused;
}

function unused(): never {
  throw new Error('not used by what is under test');
}
