// Differences of attributes, tags, rules and targets.
import type { Attributes, Rule, Target } from './model.ts';
import type { ObservedTarget, Values } from './observed.ts';
import { isForeignTag, type Tags } from './ownership.ts';
import type { Step, Subject } from './step.ts';

/**
 * What to write. A key that the user no longer names goes back to what AWS has by itself; one that AWS does not
 * tell, or that nobody knows, is left alone. `observed` undefined: the object is about to be made.
 */
export function attributeSteps(subject: Subject, wanted: Attributes, observed: Values | undefined): Step[] {
  const there = observed ?? wanted.fallbacks;
  const changed: Record<string, string> = {};
  for (const [key, value] of Object.entries(wanted.fallbacks))
    if (there[key] !== undefined && there[key] !== value) changed[key] = value;
  for (const [key, value] of Object.entries(wanted.named)) {
    if (there[key] === value) delete changed[key];
    else changed[key] = value;
  }
  return Object.keys(changed).length > 0 ? [{ kind: 'setAttributes', subject, attributes: changed }] : [];
}

export function tagSteps(subject: Subject, wanted: Tags, observed: Tags): Step[] {
  const missing = Object.entries(wanted).filter(([key, value]) => observed[key] !== value);
  const extra = Object.keys(observed).filter((key) => wanted[key] === undefined && !isForeignTag(key));
  const steps: Step[] = [];
  if (missing.length > 0) steps.push({ kind: 'addTags', subject, tags: Object.fromEntries(missing) });
  if (extra.length > 0) steps.push({ kind: 'removeTags', subject, keys: extra });
  return steps;
}

export function ruleKey({ protocol, from, to, source }: Rule): string {
  return `${protocol} ${from}-${to} ${source}`;
}

export function targetKey({ id, port }: Pick<Target, 'id' | 'port'>): string {
  return `${id}:${port}`;
}

/** Those of `a` that `b` does not have. */
export function without<A, B>(
  a: readonly A[],
  b: readonly B[],
  keyA: (each: A) => string,
  keyB: (each: B) => string,
): A[] {
  const keys = new Set(b.map(keyB));
  return a.filter((each) => !keys.has(keyA(each)));
}

/** A target that drains is gone already. */
export function isRegistered({ state }: ObservedTarget): boolean {
  return state !== 'draining';
}
