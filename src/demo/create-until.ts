// Objects of our own kinds that a demonstration creates, and what the controller then says of them.
import { setTimeout as wait } from 'node:timers/promises';
import type { KubeApi, Resource } from '../kube/kube-api.ts';
import type { Condition, KubeObject } from '../kube/objects.ts';
import { within } from '../lab/waiting.ts';

/** Milliseconds. */
const POLL = 20;

/** Resolves with the milliseconds until the condition was True; rejects after `limit` of them. */
export async function createUntil(
  api: KubeApi,
  resource: Resource,
  name: string,
  spec: object,
  condition: string,
  limit: number,
): Promise<number> {
  const began = performance.now();
  const { group, version, kind } = resource;
  const object = { apiVersion: `${group}/${version}`, kind, metadata: { name }, spec };
  await api.create(resource, object);
  const says = async () => {
    while (!isTrue(await api.get(resource, { name }), condition)) await wait(POLL);
  };
  await within(limit, `the condition ${condition} on the ${kind} "${name}"`, says());
  return performance.now() - began;
}

function isTrue(object: KubeObject, condition: string): boolean {
  const { status } = object as { status?: { conditions?: readonly Condition[] } }; // a kind of our own
  return status?.conditions?.some(({ type, status: is }) => type === condition && is === 'True') ?? false;
}
