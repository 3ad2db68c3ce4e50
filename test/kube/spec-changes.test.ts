import { expect, it } from 'vitest';
import type { KubeObject } from '../../src/kube/objects.ts';
import { onSpecChange } from '../../src/kube/spec-changes.ts';
import { Store } from '../../src/kube/store.ts';

it('tells of what comes, goes, or has another spec or other labels, and of no status', () => {
  const store = new Store<KubeObject>();
  let told = 0;
  onSpecChange(store, () => told++);
  const object = (spec: object, status: object = {}, labels = {}) =>
    ({ metadata: { name: 'lan', labels }, spec, status }) as KubeObject;
  const after = (change: () => void) => {
    told = 0;
    change();
    return told;
  };
  expect(after(() => store.set(object({ a: 1 })))).toBe(1);
  expect(after(() => store.set(object({ a: 1 }, { used: 1 })))).toBe(0);
  expect(after(() => store.set(object({ a: 2 }, { used: 1 })))).toBe(1);
  expect(after(() => store.set(object({ a: 2 }, { used: 1 }, { zone: 'a' })))).toBe(1);
  expect(after(() => store.delete('lan'))).toBe(1);
  expect(after(() => store.set(object({ a: 2 }, {}, { zone: 'a' })))).toBe(1);
});
