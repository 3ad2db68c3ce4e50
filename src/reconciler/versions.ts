// Versions of a Service, by which several controllers agree whether there is anything to be done for it.
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

/** Hears of a Service when there is another version of it than before. Returns the way out. */
export function onVersions(store: Store<ServiceObject>, listener: (key: string) => void): () => void {
  const known = new Map<string, string>();
  const isNews = (key: string, service: ServiceObject | undefined): boolean => {
    const version = service && versionOf(service);
    if (version === known.get(key)) return false;
    if (version === undefined) known.delete(key);
    else known.set(key, version);
    return true;
  };
  for (const service of store.values()) isNews(keyOf(service), service);
  return store.subscribe((key, service) => {
    if (isNews(key, service)) listener(key);
  });
}

/**
 * The same for as long as its user wants the same and its status says the same. What controllers write on it before
 * they are done is none of it: a run makes one change of version at most, its last write. `more`: of what else
 * decides on it.
 */
export function versionOf({ metadata, spec, status }: ServiceObject, more = ''): string {
  const { uid, labels, annotations, deletionTimestamp } = metadata;
  const theirs = Object.entries(annotations ?? {}).filter(([name]) => !OURS.has(name));
  const text = JSON.stringify([uid, labels, theirs, deletionTimestamp, spec, status, more]);
  return createHash('sha256').update(text).digest('base64');
}
