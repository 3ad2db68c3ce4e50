// How many addresses namespaces may have, whatever the pool, and how many they have. Each Service's addresses count,
// a shared one for each Service.
import type { Quota } from '../api/quota.ts';
import { selectsNamespace } from '../api/selector.ts';
import type { ServiceRequest } from '../api/service.ts';
import type { Family } from '../net/address.ts';

/** The narrowest of the quotas that select a namespace, for one family. */
export interface QuotaLimit {
  readonly quota: string;
  readonly most: number;
}

/** Texts such as `shop (20 IPv4)`, in name order. */
export interface QuotaUse {
  /** Namespaces that have as much as they may. */
  readonly reached: readonly string[];
  /** Namespaces that have more by now: the quota came, or was lowered, under use. */
  readonly exceeded: readonly string[];
}

interface Usage {
  readonly has: Record<Family, number>;
  labels: Readonly<Record<string, string>>;
  limits: Readonly<Partial<Record<Family, QuotaLimit>>>;
}

type Asker = Pick<ServiceRequest, 'namespace' | 'namespaceLabels'>;

export class Quotas {
  readonly #quotas: readonly Quota[];
  readonly #usage = new Map<string, Usage>();

  /** In name order: of two that allow the same the first is named. */
  constructor(quotas: readonly Quota[]) {
    this.#quotas = quotas;
  }

  get size(): number {
    return this.#quotas.length;
  }

  /** A Service of the namespace has an address from now on, or has one less. */
  count(asker: Asker, family: Family, change: 1 | -1): void {
    this.#usageOf(asker).has[family] += change;
  }

  /** For a namespace with the labels that it has now. */
  limits(asker: Asker): Readonly<Partial<Record<Family, QuotaLimit>>> {
    return this.#usageOf(asker).limits;
  }

  /** The limit that the namespace has reached; `own`: addresses that the asking Service gives up for the new one. */
  reached(asker: Asker, family: Family, own: number): QuotaLimit | undefined {
    if (this.#quotas.length === 0) return undefined;
    const { has, limits } = this.#usageOf(asker);
    const limit = limits[family];
    return limit && has[family] - own >= limit.most ? limit : undefined;
  }

  use(name: string): QuotaUse | undefined {
    const quota = this.#quotas.find((each) => each.name === name);
    if (!quota) return undefined;
    const reached: string[] = [];
    const exceeded: string[] = [];
    for (const [namespace, { has, labels }] of this.#usage) {
      if (!selectsNamespace(quota, namespace, labels)) continue;
      for (const family of ['IPv4', 'IPv6'] as const) {
        const most = quota.most[family] ?? Number.POSITIVE_INFINITY;
        const text = `${namespace} (${has[family]} ${family})`;
        if (has[family] > most) exceeded.push(text);
        else if (has[family] === most && most > 0) reached.push(text);
      }
    }
    return { reached: reached.sort(), exceeded: exceeded.sort() };
  }

  #usageOf({ namespace, namespaceLabels }: Asker): Usage {
    const known = this.#usage.get(namespace);
    if (known?.labels === namespaceLabels) return known;
    const limits = this.#limitsOf({ namespace, namespaceLabels });
    if (known) return Object.assign(known, { labels: namespaceLabels, limits });
    const usage = { has: { IPv4: 0, IPv6: 0 }, labels: namespaceLabels, limits };
    this.#usage.set(namespace, usage);
    return usage;
  }

  #limitsOf({ namespace, namespaceLabels }: Asker): Usage['limits'] {
    const limits: Partial<Record<Family, QuotaLimit>> = {};
    for (const quota of this.#quotas) {
      if (!selectsNamespace(quota, namespace, namespaceLabels)) continue;
      for (const family of ['IPv4', 'IPv6'] as const) {
        const most = quota.most[family];
        const narrowest = limits[family]?.most ?? Number.POSITIVE_INFINITY;
        if (most !== undefined && most < narrowest) limits[family] = { quota: quota.name, most };
      }
    }
    return limits;
  }
}
