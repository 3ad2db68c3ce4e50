// Interfaces that an advertisement names: one agent that has an interface of this name tells so in the status
// (interface → node), and what no agent tells is unknown. So many nodes cost no more writes than one.
import type { KubeObject } from '../kube/objects.ts';
import type { Advertisement } from './advertisement.ts';
import { matches } from './selector.ts';

/** Node by interface. */
export type ToldInterfaces = Readonly<Record<string, string>>;

export interface NodeInterfaces {
  readonly node: string;
  readonly labels: Readonly<Record<string, string>>;
  /** By name, whatever their state. */
  readonly interfaces: ReadonlySet<string>;
}

export function toldInterfaces(object: KubeObject): ToldInterfaces {
  const { status } = object as { status?: { interfaces?: ToldInterfaces } }; // by our own schema
  return status?.interfaces ?? {};
}

/**
 * What this node has to tell of the advertisement: an interface with its own name where it has that interface and no
 * node of the cluster told so yet, null where it told so and it is so no longer. Empty: nothing.
 */
export function interfacesToTell(
  advertisement: Advertisement,
  told: ToldInterfaces,
  { node, labels, interfaces }: NodeInterfaces,
  isNode: (name: string) => boolean,
): Readonly<Record<string, string | null>> {
  const { nodeSelectors } = advertisement;
  const selected = nodeSelectors.length === 0 || nodeSelectors.some((each) => matches(each, labels));
  const here = new Set(selected ? advertisement.interfaces.filter((name) => interfaces.has(name)) : []);
  const news: Record<string, string | null> = {};
  for (const [name, by] of Object.entries(told)) if (by === node && !here.has(name)) news[name] = null;
  for (const name of here) {
    const by = told[name];
    if (by === undefined || !isNode(by)) news[name] = node;
  }
  return news;
}

/** Interfaces that the advertisement names and no node of the cluster has, as far as was told. */
export function unknownInterfaces(
  { interfaces }: Advertisement,
  told: ToldInterfaces,
  isNode: (name: string) => boolean,
): string[] {
  return interfaces.filter((name) => {
    const by = told[name];
    return by === undefined || !isNode(by);
  });
}
