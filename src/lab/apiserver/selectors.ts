// labelSelector and fieldSelector as query parameters (API concepts, "Label selectors", "Field selectors").
import { badRequest } from './api-error.ts';
import type { ApiObject } from './api-object.ts';
import { apiVersionOf, type Kind } from './kinds.ts';

type Predicate = (object: ApiObject) => boolean;

/** Whether an object, in the kind's own form, is among those that the query selects. Throws ApiError 400. */
export function selectorOf(kind: Kind, query: URLSearchParams): Predicate {
  const predicates = [
    ...labelPredicates(query.get('labelSelector') ?? ''),
    ...fieldPredicates(kind, query.get('fieldSelector') ?? ''),
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
  const equality = /^([^!=\s]+)\s*(!=|==?)\s*([\w.-]*)$/.exec(text);
  if (equality) {
    const [, key = '', operator, value] = equality;
    return (object) => (label(object, key) === value) === (operator !== '!=');
  }
  if (/^!\S+$/.test(text)) return (object) => label(object, text.slice(1)) === undefined;
  if (/^[^\s!=()]+$/.test(text)) return (object) => label(object, text) !== undefined;
  throw badRequest(`unable to parse requirement: "${text}"`);
}

const COMMON_FIELDS = ['metadata.name', 'metadata.namespace'];

function fieldPredicates({ resource, selectableFields }: Kind, text: string): Predicate[] {
  const parts = text.split(',').filter((part) => part !== '');
  return parts.map((part) => {
    const match = /^([\w.]+)(!=|==?)(.*)$/.exec(part);
    if (!match) throw badRequest(`invalid field selector "${part}": must be field=value or field!=value`);
    const [, path = '', operator, value] = match;
    if (!COMMON_FIELDS.includes(path) && !selectableFields.includes(path)) {
      const name = `${apiVersionOf(resource)}, Kind=${resource.kind}`;
      throw badRequest(
        `Unable to find "${name}" that match label selector "", field selector "${text}": field label not supported: ${path}`,
      );
    }
    const steps = path.split('.');
    return (object) => (String(fieldAt(object, steps) ?? '') === value) === (operator !== '!=');
  });
}

function fieldAt(object: ApiObject, steps: readonly string[]): unknown {
  let at: unknown = object;
  for (const step of steps) at = (at as Record<string, unknown> | undefined)?.[step]; // JSON by names that may be absent
  return at;
}
