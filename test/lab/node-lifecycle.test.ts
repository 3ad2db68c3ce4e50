// Which nodes count as gone: those that are silent while others are not.
import { expect, it } from 'vitest';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import type { KubeApi } from '../../src/kube/kube-api.ts';
import type { LeaseObject } from '../../src/kube/lease.ts';
import type { NodeObject, PodObject } from '../../src/kube/objects.ts';
import { Store } from '../../src/kube/store.ts';
import { HEARTBEAT, runNodeLifecycle } from '../../src/lab/node-lifecycle.ts';

const NODES = ['node-1', 'node-2', 'node-3'];
const READY = { conditions: [{ type: 'Ready', status: 'True' }] };

/** Names of nodes that were marked, while `beats` says who renews its lease at each heartbeat. */
async function marked(beats: number, renews: (beat: number, node: string) => boolean): Promise<string[]> {
  const clock = new VirtualClock();
  const leases = new Store<LeaseObject>();
  const nodes = new Store<NodeObject>();
  nodes.replace(
    NODES.map((name) => ({ metadata: { name, resourceVersion: '1' }, status: READY }) as NodeObject),
  );
  const told: string[] = [];
  const api = {
    patch: async (_: unknown, { name }: { name: string }) => told.push(name),
  } as unknown as KubeApi; // all that it calls
  const stop = new AbortController();
  const onError = (error: Error) => expect.unreachable(error.message);
  runNodeLifecycle({ api, clock, leases, nodes, pods: new Store<PodObject>(), onError }, stop.signal);
  for (let beat = 0; beat < beats; beat++) {
    for (const name of NODES.filter((each) => renews(beat, each)))
      leases.set({
        metadata: { name, namespace: 'kube-node-lease', resourceVersion: String(beat + 1) },
      } as LeaseObject);
    await clock.advance(HEARTBEAT);
  }
  stop.abort();
  return [...new Set(told)];
}

it('a node that is silent for seconds while others are not is gone', async () => {
  expect(await marked(30, (beat, node) => node !== 'node-2' || beat < 10)).toEqual(['node-2']);
});

it('a node that misses some renewals is not', async () => {
  expect(await marked(30, (beat, node) => node !== 'node-2' || beat % 5 === 0)).toEqual([]);
});

it('no node is gone while all are silent, nor in the moment in which they are heard again, one after the other', async () => {
  const order = new Map(NODES.map((name, i) => [name, i]));
  const back = (node: string) => 30 + (order.get(node) ?? 0);
  expect(await marked(50, (beat, node) => beat < 10 || beat >= back(node))).toEqual([]);
});
