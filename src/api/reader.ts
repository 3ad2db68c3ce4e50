// Reads what a user wrote, field by field, and collects everything that is wrong with it.
import { parseRange, type Range } from '../net/range.ts';
import type { Problem } from './problem.ts';
import type { Requirement, Selector } from './selector.ts';

type Fields = Readonly<Record<string, unknown>>;

const OPERATORS: readonly Requirement['operator'][] = ['In', 'NotIn', 'Exists', 'DoesNotExist'];

export class Reader {
  readonly problems: Problem[] = [];
  readonly #object: string;

  /** `object`: kind and name, as problems name it. */
  constructor(object: string) {
    this.#object = object;
  }

  problem(field: string, value: unknown, mend: string): void {
    const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? 'nothing');
    this.problems.push({ object: this.#object, field, value: text, mend });
  }

  /** An object with no other keys than `known`, and with those that are `required`. */
  fields(field: string, value: unknown, known: readonly string[], required: readonly string[] = []): Fields {
    if (value === undefined || value === null) return {};
    if (typeof value !== 'object' || Array.isArray(value)) {
      this.problem(field, value, `is no object; write ${known[0]}: … below it`);
      return {};
    }
    for (const key of Object.keys(value)) {
      if (!known.includes(key))
        this.problem(`${field}.${key}`, key, `is no field here; there are ${known.join(', ')}`);
    }
    for (const key of required) {
      if (!(key in value)) this.problem(`${field}.${key}`, undefined, 'is missing; write it');
    }
    return value as Fields; // an object with string keys, as just checked
  }

  boolean(field: string, value: unknown, fallback: boolean): boolean {
    if (value === undefined || value === null) return fallback;
    if (typeof value !== 'boolean')
      this.problem(field, value, 'is neither true nor false; write one of them');
    return value === true;
  }

  integer(field: string, value: unknown, bounds: { least: number; most: number; fallback: number }): number {
    const { least, most, fallback } = bounds;
    if (value === undefined || value === null) return fallback;
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value;
    this.problem(field, value, `is no whole number from ${least} to ${most}; write one`);
    return fallback;
  }

  choice<T extends string>(field: string, value: unknown, choices: readonly T[], fallback: T): T {
    if (value === undefined || value === null) return fallback;
    const found = choices.find((each) => each === value);
    if (found === undefined) this.problem(field, value, `is no choice; there are ${choices.join(', ')}`);
    return found ?? fallback;
  }

  strings(field: string, value: unknown): string[] {
    return this.list(field, value, (path, element) => {
      if (typeof element === 'string' && element !== '') return element;
      this.problem(path, element, 'is not a text with at least one character');
      return undefined;
    });
  }

  ranges(field: string, value: unknown): Range[] {
    return this.list(field, value, (path, element) => {
      const range = parseRange(typeof element === 'string' ? element.trim() : '');
      if (range.kind === 'parsed') return range.value;
      this.problem(path, element, range.problem);
      return undefined;
    });
  }

  selectors(field: string, value: unknown): Selector[] {
    return this.list(field, value, (path, element) => this.selector(path, element));
  }

  /** metav1.LabelSelector */
  selector(field: string, value: unknown): Selector {
    const { matchLabels, matchExpressions } = this.fields(field, value, ['matchLabels', 'matchExpressions']);
    const requirements: Requirement[] = [];
    if (matchLabels !== undefined && (typeof matchLabels !== 'object' || Array.isArray(matchLabels))) {
      this.problem(`${field}.matchLabels`, matchLabels, 'is no map of labels; write key: value below it');
    }
    for (const [key, label] of Object.entries(matchLabels ?? {})) {
      if (typeof label === 'string') requirements.push({ key, operator: 'In', values: [label] });
      else this.problem(`${field}.matchLabels.${key}`, label, 'is no text; put it in quotes');
    }
    requirements.push(
      ...this.list(`${field}.matchExpressions`, matchExpressions, (path, element) =>
        this.#requirement(path, element),
      ),
    );
    return requirements;
  }

  list<T>(field: string, value: unknown, read: (path: string, element: unknown) => T | undefined): T[] {
    if (value === undefined || value === null) return [];
    if (!Array.isArray(value)) {
      this.problem(field, value, 'is no list; write each entry behind a dash');
      return [];
    }
    return value
      .map((element, i) => read(`${field}[${i}]`, element))
      .filter((element) => element !== undefined);
  }

  #requirement(field: string, value: unknown): Requirement | undefined {
    const { key, operator, values } = this.fields(field, value, ['key', 'operator', 'values']);
    const known = OPERATORS.find((each) => each === operator);
    const texts = this.strings(`${field}.values`, values);
    if (typeof key !== 'string' || key === '') this.problem(`${field}.key`, key, 'is no label key');
    else if (!known)
      this.problem(`${field}.operator`, operator, `is no operator; there are ${OPERATORS.join(', ')}`);
    else if ((known === 'In' || known === 'NotIn') !== texts.length > 0) {
      this.problem(
        `${field}.values`,
        values,
        `does not fit ${known}; In and NotIn need values, the others take none`,
      );
    } else return { key, operator: known, values: texts };
    return undefined;
  }
}
