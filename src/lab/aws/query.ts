// The query protocol's requests: a form whose keys are paths, such as `Tags.member.1.Key`.
import { refuse } from './fault.ts';

export interface Params {
  readonly [key: string]: Value;
}
export type Value = string | readonly Value[] | Params | undefined;

/** `Filter.1.Value.2=x` and `Tags.member.1.Key=y` become objects and lists. */
export function parseForm(body: string): Params {
  const root: Tree = new Map();
  for (const [key, value] of new URLSearchParams(body)) {
    const path = key.split('.').filter((part) => part !== 'member');
    let node = root;
    for (const part of path.slice(0, -1)) {
      const next = node.get(part);
      if (next instanceof Map) node = next;
      else {
        const made: Tree = new Map();
        node.set(part, made);
        node = made;
      }
    }
    node.set(path.at(-1) ?? '', value);
  }
  return toValue(root) as Params; // the root's keys are names, never numbers
}

type Tree = Map<string, string | Tree>;

function toValue(tree: string | Tree): Value {
  if (typeof tree === 'string') return tree;
  const numbered = [...tree.keys()].every((key) => /^\d+$/.test(key));
  if (!numbered) return Object.fromEntries([...tree].map(([key, value]) => [key, toValue(value)]));
  return [...tree].sort(([a], [b]) => Number(a) - Number(b)).map(([, value]) => toValue(value));
}

export function text(params: Params, key: string): string | undefined {
  const value = params[key];
  return typeof value === 'string' ? value : undefined;
}

export function required(params: Params, key: string): string {
  return text(params, key) ?? refuse('ValidationError', `${key} is missing`);
}

export function number(params: Params, key: string): number | undefined {
  const value = text(params, key);
  return value === undefined ? undefined : Number(value);
}

/** A list of texts; absent: empty. */
export function texts(params: Params, key: string): string[] {
  const value = params[key];
  return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : [];
}

/** A list of structures; absent: empty. */
export function structures(params: Params, key: string): Params[] {
  const value = params[key];
  if (!Array.isArray(value)) return [];
  return value.filter((each): each is Params => typeof each === 'object' && !Array.isArray(each));
}

/** `[{Key, Value}]` */
export function pairs(params: Params, key: string): Record<string, string> {
  return Object.fromEntries(
    structures(params, key).map((each) => [required(each, 'Key'), text(each, 'Value') ?? '']),
  );
}
