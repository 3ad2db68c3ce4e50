// Waiting for what is going to happen, with an end to it.
import type { KubeObject } from '../kube/objects.ts';
import type { Store } from '../kube/store.ts';

/** Rejects with what was waited for when `promise` does not settle within `limit` milliseconds. */
export async function within<T>(limit: number, what: string, promise: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`${what}: not within ${limit} ms`)), limit);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** The object once it is in the store as it should be. */
export function whenStored<T extends KubeObject>(
  store: Store<T>,
  key: string,
  fits: (object: T) => boolean,
): Promise<T> {
  const known = store.get(key);
  if (known && fits(known)) return Promise.resolve(known);
  return new Promise((resolve) => {
    const unsubscribe = store.subscribe((changed, object) => {
      if (changed !== key || !object || !fits(object)) return;
      unsubscribe();
      resolve(object);
    });
  });
}
