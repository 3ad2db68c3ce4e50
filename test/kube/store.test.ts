import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { KubeObject } from '../../src/kube/objects.ts';
import { Store } from '../../src/kube/store.ts';

const object: fc.Arbitrary<KubeObject> = fc
  .tuple(fc.constantFrom('a', 'b', 'c'), fc.constantFrom('x', 'y'), fc.nat(3))
  .map(([name, namespace, version]) => ({
    metadata: { name, namespace, uid: name, resourceVersion: String(version) },
  }));

const change = fc.oneof(
  object.map((one) => (store: Store<KubeObject>) => store.set(one)),
  object.map(
    (one) => (store: Store<KubeObject>) => store.delete(`${one.metadata.namespace}/${one.metadata.name}`),
  ),
  fc
    .uniqueArray(object, { selector: ({ metadata }) => `${metadata.namespace}/${metadata.name}` })
    .map((list) => (store: Store<KubeObject>) => store.replace(list)),
);

it('tells listeners every difference and nothing else, after it holds it', () => {
  fc.assert(
    fc.property(fc.array(change), (changes) => {
      const store = new Store<KubeObject>();
      const heard = new Map<string, KubeObject>();
      store.subscribe((key, one) => {
        expect(store.get(key)).toBe(one);
        expect(heard.get(key)?.metadata.resourceVersion).not.toBe(one?.metadata.resourceVersion);
        if (one) heard.set(key, one);
        else heard.delete(key);
      });
      for (const perform of changes) {
        perform(store);
        expect([...heard.values()].toSorted(byKey)).toEqual([...store.values()].toSorted(byKey));
        expect(store.size).toBe(heard.size);
      }
    }),
  );
});

function byKey({ metadata: a }: KubeObject, { metadata: b }: KubeObject): number {
  return `${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1;
}

it('tells nothing to a listener that has left', () => {
  const store = new Store<KubeObject>();
  const heard: string[] = [];
  const leave = store.subscribe((key) => heard.push(key));
  store.set({ metadata: { name: 'a', resourceVersion: '1' } });
  leave();
  store.set({ metadata: { name: 'b', resourceVersion: '2' } });
  expect(heard).toEqual(['a']);
});

it('takes an object of the same name and version for another one when its UID differs', () => {
  const store = new Store<KubeObject>();
  store.set({ metadata: { name: 'a', uid: '1', resourceVersion: '1' } });
  store.set({ metadata: { name: 'a', uid: '2', resourceVersion: '1' } });
  expect(store.get('a')?.metadata.uid).toBe('2');
});
