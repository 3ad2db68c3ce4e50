// Hears of a Service when its user wants something else, and not of what controllers write on it.
import { createHash } from 'node:crypto';
import { APPLIED_ANNOTATION, PLACES_ANNOTATION } from '../api/service.ts';
import { ADDRESSES_ANNOTATION, POOL_ANNOTATION } from '../api/service-addresses.ts';
import type { ServiceObject } from '../kube/objects.ts';
import { keyOf, type Store } from '../kube/store.ts';

/** Written by controllers. */
const OURS: ReadonlySet<string> = new Set([
  POOL_ANNOTATION,
  ADDRESSES_ANNOTATION,
  PLACES_ANNOTATION,
  APPLIED_ANNOTATION,
]);

/**
 * Where several controllers share the work, the status that one of them wrote is news to the one that leads, and must
 * not make a run of its own. Returns the way out.
 */
export function onWishes(store: Store<ServiceObject>, listener: (key: string) => void): () => void {
  const known = new Map<string, string>();
  const isNews = (key: string, service: ServiceObject | undefined): boolean => {
    const wishes = service && versionOf(service);
    if (wishes === known.get(key)) return false;
    if (wishes === undefined) known.delete(key);
    else known.set(key, wishes);
    return true;
  };
  for (const service of store.values()) isNews(keyOf(service), service);
  return store.subscribe((key, service) => {
    if (isNews(key, service)) listener(key);
  });
}

/** The same for as long as its user wants the same, whatever controllers write. */
export function versionOf({ metadata, spec }: ServiceObject): string {
  const { uid, labels, annotations, deletionTimestamp } = metadata;
  const theirs = Object.entries(annotations ?? {}).filter(([name]) => !OURS.has(name));
  const wishes = JSON.stringify([uid, labels, theirs, deletionTimestamp, spec]);
  return createHash('sha256').update(wishes).digest('base64');
}
