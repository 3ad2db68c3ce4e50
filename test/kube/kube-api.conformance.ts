// What every KubeApi does, whatever stands behind it: one suite for each server that we claim to speak to.
import { expect, it } from 'vitest';
import { type KubeApi, KubeError, only, type WatchEvent } from '../../src/kube/kube-api.ts';
import type { KubeObject, ServiceObject } from '../../src/kube/objects.ts';
import { NAMESPACES, SERVICES } from '../../src/kube/resources.ts';

const namespace = 'default';

function service(name: string): ServiceObject {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace, labels: { suite: 'conformance' } },
    spec: { type: 'LoadBalancer', ports: [{ port: 80 }] },
  };
}

async function take<T extends KubeObject>(events: AsyncIterator<WatchEvent<T>>): Promise<WatchEvent<T>> {
  for (;;) {
    const { value, done } = await events.next();
    if (done) throw new Error('the watch ended');
    if (value.kind !== 'bookmark') return value;
  }
}

async function failure(call: Promise<unknown>): Promise<KubeError> {
  const error = await call.then(
    () => undefined,
    (reason) => reason,
  );
  expect(error).toBeInstanceOf(KubeError);
  return error;
}

/** `api` is asked for once a test; the server behind it may be shared, and is left as it was found. */
export function describeKubeApi(api: () => KubeApi): void {
  const labelSelector = 'suite=conformance';

  it('creates, reads, changes and deletes an object', async () => {
    const name = { name: 'crud', namespace };
    const created = await api().create(SERVICES, service('crud'));
    expect(created.metadata.uid).toBeTruthy();
    expect(created.spec.clusterIP).toBeTruthy();
    const patch = { status: { loadBalancer: { ingress: [{ ip: '192.0.2.1', ipMode: 'VIP' }] } } };
    const options = { type: 'merge', subresource: 'status', fieldManager: 'suite' } as const;
    const patched = await api().patch(SERVICES, name, patch, options);
    expect(patched.status?.loadBalancer?.ingress?.[0]?.ip).toBe('192.0.2.1');
    expect(await api().get(SERVICES, name)).toEqual(patched);
    await api().delete(SERVICES, name);
    expect((await failure(api().get(SERVICES, name))).status).toBe(404);
  });

  it('lists and watches one object alone, which is how an account may be given it by name', async () => {
    const [mine, other] = [service('mine'), service('other')];
    for (const each of [mine, other]) await api().create(SERVICES, each);
    const alone = only(SERVICES, { name: 'mine', namespace });
    const { items, resourceVersion } = await api().list(alone, {});
    expect(items.map(({ metadata }) => metadata.name)).toEqual(['mine']);
    const stop = new AbortController();
    const options = { resourceVersion, timeoutSeconds: 30, signal: stop.signal };
    const events = api().watch(alone, options)[Symbol.asyncIterator]();
    for (const name of ['other', 'mine']) await api().delete(SERVICES, { name, namespace });
    const gone = await take(events);
    expect(gone.kind === 'deleted' && gone.object.metadata.name).toBe('mine');
    stop.abort();
  });

  it('applies fields for a manager, and says which manager is in the way', async () => {
    const name = { name: 'applied', namespace };
    const body = { ...service('applied'), metadata: { name: 'applied', namespace, labels: { of: 'a' } } };
    await api().patch(SERVICES, name, body, { type: 'apply', fieldManager: 'a' });
    const other = { ...body, metadata: { ...body.metadata, labels: { of: 'b' } } };
    const conflict = await failure(api().patch(SERVICES, name, other, { type: 'apply', fieldManager: 'b' }));
    expect(conflict).toMatchObject({ status: 409, reason: 'Conflict' });
    expect(conflict.message).toContain('"a"');
    const forced = await api().patch(SERVICES, name, other, {
      type: 'apply',
      fieldManager: 'b',
      force: true,
    });
    expect(forced.metadata.labels).toEqual({ of: 'b' });
    await api().delete(SERVICES, name);
  });

  it('refuses a patch that was made from an older version', async () => {
    const { metadata } = await api().create(SERVICES, service('precondition'));
    const name = { name: 'precondition', namespace };
    const options = { type: 'merge', fieldManager: 'suite' } as const;
    const { resourceVersion } = metadata;
    await api().patch(SERVICES, name, { metadata: { resourceVersion, labels: { a: 'b' } } }, options);
    const late = api().patch(SERVICES, name, { metadata: { resourceVersion, labels: { a: 'c' } } }, options);
    expect((await failure(late)).status).toBe(409);
    await api().delete(SERVICES, name);
  });

  it('lists page by page, all pages as of one moment', async () => {
    for (const name of ['page-a', 'page-b', 'page-c']) await api().create(SERVICES, service(name));
    const first = await api().list(SERVICES, { limit: 2, labelSelector });
    await api().delete(SERVICES, { name: 'page-c', namespace });
    const rest = await api().list(SERVICES, { limit: 2, labelSelector, continue: first.continue ?? '' });
    const names = [...first.items, ...rest.items].map(({ metadata }) => metadata.name);
    expect(names).toEqual(['page-a', 'page-b', 'page-c']);
    expect(rest.resourceVersion).toBe(first.resourceVersion);
    expect(rest.continue).toBeUndefined();
    for (const name of ['page-a', 'page-b']) await api().delete(SERVICES, { name, namespace });
  });

  it('watches from a version on: what was added, changed and deleted, in this order', async () => {
    const { resourceVersion } = await api().list(SERVICES, { labelSelector });
    await api().create(SERVICES, service('watched'));
    const stop = new AbortController();
    const options = { resourceVersion, labelSelector, timeoutSeconds: 60, signal: stop.signal };
    const events = api().watch(SERVICES, options)[Symbol.asyncIterator]();
    expect(await take(events)).toMatchObject({ kind: 'added', object: { metadata: { name: 'watched' } } });
    const name = { name: 'watched', namespace };
    const patch = { metadata: { labels: { more: 'true' } } };
    await api().patch(SERVICES, name, patch, { type: 'merge', fieldManager: 'suite' });
    expect(await take(events)).toMatchObject({
      kind: 'modified',
      object: { metadata: { labels: { more: 'true' } } },
    });
    await api().delete(SERVICES, name);
    expect(await take(events)).toMatchObject({ kind: 'deleted', object: { metadata: { name: 'watched' } } });
    stop.abort();
    await expect(take(events)).rejects.toBeInstanceOf(KubeError);
  });

  it('ends a watch after the time that was asked for, without an error', async () => {
    const { resourceVersion } = await api().list(NAMESPACES, {});
    const { signal } = new AbortController();
    const seen: string[] = [];
    for await (const { kind } of api().watch(NAMESPACES, { resourceVersion, timeoutSeconds: 1, signal }))
      seen.push(kind);
    expect(seen.filter((kind) => kind !== 'bookmark')).toEqual([]);
  });

  it('names object and status of what it is refused', async () => {
    const error = await failure(api().get(SERVICES, { name: 'absent', namespace }));
    expect(error).toMatchObject({ status: 404, reason: 'NotFound' });
    expect(error.message).toContain('"absent"');
    const again = api().create(NAMESPACES, {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: namespace },
    });
    expect(await failure(again)).toMatchObject({ status: 409, reason: 'AlreadyExists' });
  });
}
