// Events: stored as events.k8s.io/v1, and shown as core/v1 to those who ask there; the same fields by older names
// (kube-apiserver: apis/events/v1 conversion).
import { type Cause, invalid } from './api-error.ts';
import { type ApiObject, isObject } from './api-object.ts';
import { fieldInvalid, fieldRequired, fieldTooLong } from './field-causes.ts';
import type { Alias, Strategy } from './kinds.ts';

/** events.k8s.io/v1's name for each core/v1 field that is called otherwise. */
const RENAMED = [
  ['regarding', 'involvedObject'],
  ['note', 'message'],
  ['reportingController', 'reportingComponent'],
  ['deprecatedSource', 'source'],
  ['deprecatedFirstTimestamp', 'firstTimestamp'],
  ['deprecatedLastTimestamp', 'lastTimestamp'],
  ['deprecatedCount', 'count'],
] as const;

export const CORE_EVENTS: Alias = {
  of: 'events.events.k8s.io',
  present: (stored) => renamed(stored, 'v1', 0),
  absorb: (given) => renamed(given, 'events.k8s.io/v1', 1),
};

function renamed(event: ApiObject, apiVersion: string, from: 0 | 1): ApiObject {
  const names = new Map(RENAMED.map((pair) => [pair[from], pair[1 - from]] as [string, string]));
  const fields = Object.entries(event).map(([name, value]) => [names.get(name) ?? name, value]);
  return { ...Object.fromEntries(fields), apiVersion };
}

/** Characters (core/validation: ValidateEventCreate) */
const SHORT_LIMIT = 128;
const NOTE_LIMIT = 1024;

/** What the newer API demands of an event; the older takes nearly anything. */
export const EVENT_STRATEGY: Strategy = {
  prepare(event, previous) {
    const causes: Cause[] = previous ? [] : [...placeCauses(event), ...requiredCauses(event)];
    if (causes.length > 0) throw invalid('Event', 'events.k8s.io', event.metadata.name, causes);
    return event;
  },
};

function requiredCauses(event: ApiObject): Cause[] {
  if (!event.eventTime) return [fieldRequired('eventTime')];
  const causes: Cause[] = [];
  for (const field of ['reportingController', 'reportingInstance', 'action', 'reason']) {
    const text = String(event[field] ?? '');
    if (text === '') causes.push(fieldRequired(field));
    if (text.length > SHORT_LIMIT) causes.push(fieldTooLong(field, SHORT_LIMIT));
  }
  if (!['Normal', 'Warning'].includes(event.type)) causes.push(fieldInvalid('type', event.type ?? '', ''));
  if (String(event.note ?? '').length > NOTE_LIMIT) causes.push(fieldTooLong('note', NOTE_LIMIT));
  return causes;
}

/** An event lies where its object does; of objects outside of namespaces in `default`. */
function placeCauses({ regarding, metadata }: ApiObject): Cause[] {
  const of = isObject(regarding) ? regarding.namespace : undefined;
  if (metadata.namespace === (of || 'default')) return [];
  return [fieldInvalid('involvedObject.namespace', of ?? '', 'does not match event.namespace')];
}
