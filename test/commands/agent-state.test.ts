// /livez and /healthz of an agent: what each means.
import { expect, it } from 'vitest';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import { AgentState } from '../../src/commands/agent-state.ts';
import type { NodeObject } from '../../src/kube/objects.ts';

const clock = new VirtualClock();
const NODE: NodeObject = { metadata: { name: 'node' } };

it('a failure shows at once, and is one when it has lasted for a minute', async () => {
  const state = new AgentState(clock, () => NODE);
  state.failed('no nft');
  await clock.advance(59_000);
  state.failed('no nft');
  expect(state.health('livez')).toMatchObject({ healthy: true, detail: { problem: 'no nft' } });
  await clock.advance(1_000);
  for (const page of ['livez', 'healthz', 'readyz'] as const) expect(state.health(page).healthy).toBe(false);
  state.succeeded();
  expect(state.health('healthz')).toMatchObject({ healthy: true, detail: { nodeEligible: true } });
});

it('a node on its way out works, but is not for new connections', () => {
  let node: NodeObject | undefined;
  const state = new AgentState(clock, () => node);
  const pages = () => [state.health('livez').healthy, state.health('healthz').healthy];
  expect(pages()).toEqual([true, true]);
  node = { metadata: { name: 'node', deletionTimestamp: '2026-01-01T00:00:00Z' } };
  expect(pages()).toEqual([true, false]);
  node = { ...NODE, spec: { taints: [{ key: 'ToBeDeletedByClusterAutoscaler', effect: 'NoSchedule' }] } };
  expect(pages()).toEqual([true, false]);
  node = { ...NODE, spec: { taints: [{ key: 'other', effect: 'NoSchedule' }] } };
  expect(pages()).toEqual([true, true]);
});

it('an agent works before it is ready, and says so to nobody but who asks for that', () => {
  const state = new AgentState(clock, () => NODE);
  const pages = () => (['readyz', 'healthz', 'livez'] as const).map((page) => state.health(page).healthy);
  expect(pages()).toEqual([false, true, true]);
  state.ready = true;
  expect(pages()).toEqual([true, true, true]);
});
