// Hears of an object when what a user writes of it changes, and not when its status does.
import type { KubeObject } from './objects.ts';
import type { Store } from './store.ts';

/** Calls `listener` for each object that comes, goes, or has other labels or another spec than before. */
export function onSpecChange(store: Store<KubeObject>, listener: () => void): void {
  const known = new Map<string, string>();
  store.subscribe((key, object) => {
    const spec = object && JSON.stringify([object.metadata.labels, (object as { spec?: unknown }).spec]);
    if (spec === known.get(key)) return;
    if (spec === undefined) known.delete(key);
    else known.set(key, spec);
    listener();
  });
}
