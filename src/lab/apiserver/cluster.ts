// All that the server holds: the objects, the kinds that it serves, and how the end of one takes others along.
import type { Clock } from '../../clock/clock.ts';
import { formatPrefix, type Range } from '../../net/range.ts';
import { builtInKinds } from './built-in-kinds.ts';
import { crdStrategy } from './crd-strategy.ts';
import { type Kind, resourceId } from './kinds.ts';
import { namespaceStrategy, SYSTEM_NAMESPACES } from './namespace-strategy.ts';
import { Registry, storageKey, type WriteOptions } from './registry.ts';
import { ClusterAddresses } from './service-addresses.ts';
import { ServiceStrategy } from './service-strategy.ts';
import { Storage } from './storage.ts';

export interface ClusterOptions {
  readonly clock: Clock;
  /** One prefix a family, the primary first. */
  readonly servicePrefixes: readonly Range[];
  /** How many changes a watcher may be behind before it gets 410. */
  readonly history: number;
}

const SERVER_WRITES: WriteOptions = {
  manager: 'fairlead-lab',
  dryRun: false,
  fieldValidation: 'Ignore',
  force: false,
  warn: () => {},
};

export class Cluster {
  readonly storage: Storage;
  readonly registry: Registry;
  readonly #builtIn: readonly Kind[];
  readonly #namespaces: Kind;
  /** The kinds of each CustomResourceDefinition, by its name. */
  readonly #defined = new Map<string, readonly Kind[]>();

  constructor({ clock, servicePrefixes, history }: ClusterOptions) {
    this.storage = new Storage(history);
    this.registry = new Registry(this.storage, clock);
    this.#builtIn = builtInKinds({
      service: new ServiceStrategy(new ClusterAddresses(servicePrefixes)),
      crd: crdStrategy(clock, (definition, kinds) => this.#define(definition, kinds)),
      // Later, as the real one's namespace controller: whoever asked for the end sees it coming first.
      namespace: namespaceStrategy((name) => queueMicrotask(() => this.#empty(name))),
    });
    const namespaces = this.find({ group: '', version: 'v1', plural: 'namespaces' });
    if (!namespaces) throw new Error('the built-in kinds lack Namespace');
    this.#namespaces = namespaces;
    for (const name of SYSTEM_NAMESPACES)
      this.registry.create(namespaces, undefined, { metadata: { name } }, SERVER_WRITES);
    const cidrs = this.find({ group: 'networking.k8s.io', version: 'v1', plural: 'servicecidrs' });
    if (!cidrs) throw new Error('the built-in kinds lack ServiceCIDR');
    const spec = { cidrs: servicePrefixes.map(formatPrefix) };
    this.registry.create(cidrs, undefined, { metadata: { name: 'kubernetes' }, spec }, SERVER_WRITES);
    this.storage.subscribe(({ type, object: { metadata } }) => {
      const { namespace } = metadata;
      if (type === 'DELETED' && namespace !== undefined) this.registry.finishNamespace(namespaces, namespace);
    });
  }

  get kinds(): readonly Kind[] {
    return [...this.#builtIn, ...[...this.#defined.values()].flat()];
  }

  find(wanted: Pick<Kind['resource'], 'group' | 'version' | 'plural'>): Kind | undefined {
    return this.kinds.find(
      ({ resource: { group, version, plural } }) =>
        group === wanted.group && version === wanted.version && plural === wanted.plural,
    );
  }

  /** A definition's end is its objects' end. */
  #define(definition: string, kinds: readonly Kind[]): void {
    if (kinds.length > 0) return void this.#defined.set(definition, kinds);
    this.#defined.delete(definition);
    for (const { metadata } of this.storage.list(definition))
      this.storage.delete(definition, storageKey(metadata.namespace, metadata.name));
  }

  #empty(namespace: string): void {
    for (const kind of this.kinds) {
      if (!kind.resource.namespaced || kind.alias) continue;
      for (const { metadata } of this.storage.list(resourceId(kind))) {
        if (metadata.namespace === namespace)
          this.registry.delete({ kind, namespace, name: metadata.name }, { dryRun: false });
      }
    }
    this.registry.finishNamespace(this.#namespaces, namespace);
  }
}
