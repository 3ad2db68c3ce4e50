// labelSelector and fieldSelector as query parameters (API concepts, "Label selectors", "Field selectors").
import { badRequest } from './api-error.ts';
import type { ApiObject } from './api-object.ts';

export type Predicate = (object: ApiObject) => boolean;

export function selectorOf(query: URLSearchParams): Predicate {
  const predicates = [
    ...labelPredicates(query.get('labelSelector') ?? ''),
    ...fieldPredicates(query.get('fieldSelector') ?? ''),
  ];
  return (object) => predicates.every((predicate) => predicate(object));
}

function labelPredicates(text: string): Predicate[] {
  // A comma inside parentheses belongs to a set of values.
  return (text.match(/[^,(]+(\([^)]*\))?/g) ?? []).map((part) => labelPredicate(part.trim()));
}

function labelPredicate(text: string): Predicate {
  const label = (object: ApiObject, key: string) => object.metadata.labels?.[key];
  const set = /^(\S+)\s+(in|notin)\s*\(([^)]*)\)$/.exec(text);
  if (set) {
    const [, key = '', operator, list = ''] = set;
    const values = list.split(',').map((value) => value.trim());
    return (object) => values.includes(label(object, key) ?? '\0') === (operator === 'in');
  }
  const equality = /^([^!=\s]+)\s*(!=|==?)\s*(\S*)$/.exec(text);
  if (equality) {
    const [, key = '', operator, value] = equality;
    return (object) => (label(object, key) === value) === (operator !== '!=');
  }
  if (/^!\S+$/.test(text)) return (object) => label(object, text.slice(1)) === undefined;
  if (/^[^\s!=]+$/.test(text)) return (object) => label(object, text) !== undefined;
  throw badRequest(`unable to parse requirement: "${text}"`);
}

function fieldPredicates(text: string): Predicate[] {
  return text
    .split(',')
    .filter((part) => part !== '')
    .map((part) => {
      const match = /^([\w.]+)(!=|==?)(.*)$/.exec(part);
      if (!match) throw badRequest(`invalid field selector "${part}"`);
      const [, path = '', operator, value] = match;
      return (object) => {
        let at: unknown = object;
        for (const step of path.split('.')) at = (at as Record<string, unknown> | undefined)?.[step]; // JSON by names that may be absent
        return (String(at ?? '') === value) === (operator !== '!=');
      };
    });
}
