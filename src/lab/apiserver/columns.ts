// Columns of tables: how a kind's objects look in `kubectl get`.
import type { ApiObject } from './api-object.ts';

export interface Column {
  readonly name: string;
  /** As in a CRD's additionalPrinterColumns: string, integer, number, boolean, date. */
  readonly type: string;
  /** 0: always; 1: with `-o wide`. */
  readonly priority: number;
  readonly value: (object: ApiObject, now: Date) => unknown;
}

export const NAME_COLUMN: Column = {
  name: 'Name',
  type: 'string',
  priority: 0,
  value: ({ metadata }) => metadata.name,
};

export const AGE_COLUMN: Column = {
  name: 'Age',
  type: 'string',
  priority: 0,
  value: ({ metadata }, now) => age(metadata.creationTimestamp, now),
};

export function column(name: string, value: Column['value'], priority = 0): Column {
  return { name, type: 'string', priority, value };
}

/** Stands for `\\.` in a path while it is taken apart: a character for private use. */
const ESCAPED_DOT = '\uE000';
const STEP = /\.([A-Za-z0-9_/\uE000-]+)|\['?([^'\]?]+)'?\]|\[\?\(@\.(\w+)\s*==\s*["']([^"']*)["']\)\]/g;

/** A column for a simple JSONPath such as `.spec.type` or `.status.conditions[?(@.type=="Ready")].status`; `.a[*].b` joins. */
export function pathColumn(name: string, type: string, path: string, priority = 0): Column {
  const steps = [...path.replaceAll('\\.', ESCAPED_DOT).matchAll(STEP)];
  const value = (object: ApiObject, now: Date) => {
    let found: unknown[] = [object];
    for (const [, field, index, key, wanted] of steps) {
      found = found.flatMap((at) => {
        if (key !== undefined) return Array.isArray(at) ? at.filter((each) => each?.[key] === wanted) : [];
        const step = (field ?? index ?? '').replaceAll(ESCAPED_DOT, '.');
        if (step === '*') return typeof at === 'object' && at !== null ? Object.values(at) : [];
        const next = (at as Record<string, unknown> | null)?.[step]; // JSON, walked by names that may be absent
        return next === undefined || next === null ? [] : [next];
      });
    }
    const [first] = found;
    if (first === undefined) return undefined;
    if (type === 'date') return age(String(first), now);
    const texts = found.map((each) => (typeof each === 'object' ? JSON.stringify(each) : each));
    return texts.length === 1 ? texts[0] : texts.join(',');
  };
  return { name, type: type === 'date' ? 'string' : type, priority, value };
}

/** As kubectl writes durations (apimachinery, duration.HumanDuration): 5s, 3m10s, 25m, 2h5m, 4d. */
export function age(since: string, now: Date): string {
  const seconds = Math.max(0, Math.floor((now.getTime() - Date.parse(since)) / 1000));
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  const days = Math.floor(hours / 24);
  const pair = (big: number, unit: string, small: number, smallUnit: string) =>
    small === 0 ? `${big}${unit}` : `${big}${unit}${small}${smallUnit}`;
  if (seconds < 120) return `${seconds}s`;
  if (minutes < 10) return pair(minutes, 'm', seconds % 60, 's');
  if (minutes < 180) return `${minutes}m`;
  if (hours < 8) return pair(hours, 'h', minutes % 60, 'm');
  if (hours < 48) return `${hours}h`;
  if (hours < 192) return pair(days, 'd', hours % 24, 'h');
  if (days < 730) return `${days}d`;
  const years = Math.floor(days / 365);
  return years < 8 ? pair(years, 'y', days % 365, 'd') : `${years}y`;
}
