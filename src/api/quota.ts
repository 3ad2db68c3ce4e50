// AddressQuota (fairlead.dev/v1alpha1): how many addresses the Services of one namespace may have, from all pools.
import type { KubeObject } from '../kube/objects.ts';
import type { Family } from '../net/address.ts';
import type { Problem, Read } from './problem.ts';
import { Reader } from './reader.ts';
import type { NamespaceRule } from './selector.ts';

export interface Quota extends NamespaceRule {
  readonly name: string;
  /** Of each family, for each namespace that the rule selects; a family that is not here has no limit. */
  readonly most: Readonly<Partial<Record<Family, number>>>;
}

export const QUOTA_FIELDS = ['maxIPv4', 'maxIPv6', 'namespaces', 'namespaceSelectors'] as const;

export function readQuota(object: KubeObject): Read<Quota> {
  const { name } = object.metadata;
  const reader = new Reader(`AddressQuota/${name}`);
  const spec = reader.fields('spec', (object as { spec?: unknown }).spec, QUOTA_FIELDS);
  const most: Partial<Record<Family, number>> = {};
  for (const family of ['IPv4', 'IPv6'] as const) {
    const value = spec[`max${family}`];
    if (value === undefined || value === null) continue;
    most[family] = reader.integer(`spec.max${family}`, value, { least: 0, most: 2 ** 31 - 1, fallback: 0 });
  }
  const quota: Quota = {
    name,
    most,
    namespaces: reader.strings('spec.namespaces', spec.namespaces),
    namespaceSelectors: reader.selectors('spec.namespaceSelectors', spec.namespaceSelectors),
  };
  if (reader.problems.length === 0 && Object.keys(most).length === 0)
    reader.problem('spec', spec, 'limits nothing; write maxIPv4, maxIPv6 or both');
  return reader.problems.length > 0
    ? { kind: 'invalid', problems: reader.problems }
    : { kind: 'valid', value: quota };
}

export interface CheckedQuotas {
  /** In name order. */
  readonly quotas: readonly Quota[];
  /** What is wrong, by name; these limit nothing. */
  readonly problems: ReadonlyMap<string, readonly Problem[]>;
}

export function checkQuotas(objects: readonly KubeObject[]): CheckedQuotas {
  const problems = new Map<string, readonly Problem[]>();
  const quotas: Quota[] = [];
  for (const object of objects) {
    const read = readQuota(object);
    if (read.kind === 'valid') quotas.push(read.value);
    else problems.set(object.metadata.name, read.problems);
  }
  return { quotas: quotas.sort((a, b) => (a.name < b.name ? -1 : 1)), problems };
}
