// The rows of the behaviour table by real packets, with objects of the real API server as it defaults and validates
// them, and an agent that has them by watching.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KubeObject } from '../../src/kube/objects.ts';
import { EVENTS, SERVICES } from '../../src/kube/resources.ts';
import { describeForwarding } from '../proxy/forwarding.conformance.ts';
import { NODE } from '../proxy/network.ts';
import { describePolicies } from '../proxy/policies.conformance.ts';
import { pod } from '../proxy/scene.ts';
import { describeWherePacketsGo } from '../proxy/where-packets-go.conformance.ts';
import { AgentScene } from './agent-scene.ts';

const scene = new AgentScene();
const DEADLINE = { timeout: 15_000 };
afterAll(() => scene.remove());

describe('what an API server adds', () => {
  beforeAll(async () => {
    await scene.start({ addresses: NODE });
    await scene.servePods();
  });
  afterAll(async () => {
    await scene.clear();
    await scene.kill();
  });

  it('the addresses and the node port that it gives lead to a hand-written slice', async () => {
    const given = { type: 'NodePort', ports: [{ port: 80 }] } as const;
    await scene.given('TCP', given, [pod('a', 0)]);
    const { spec } = await scene.api.get(SERVICES, { namespace: 'default', name: 'web' });
    const [{ nodePort = 0 } = {}] = spec.ports ?? [];
    expect(await scene.ask('client', 'TCP', NODE[0], nodePort)).toMatchObject({ name: 'a' });
    expect(await scene.ask('client', 'TCP', spec.clusterIP ?? '')).toMatchObject({ name: 'a' });
    expect(await scene.ask('client', 'TCP', spec.clusterIP ?? '', nodePort)).toEqual({
      error: 'ECONNREFUSED',
    });
  });

  it('what cannot be balanced as it asks is told in an event on the Service, and served', async () => {
    const annotations = { 'fairlead.dev/load-balancing': 'least-connections' };
    await scene.given('TCP', { clusterIPs: ['10.96.0.11'] }, [pod('a', 0)], { annotations }, 'picky');
    expect(await scene.ask('client', 'TCP', '10.96.0.11')).toMatchObject({ name: 'a' });
    const told = async () =>
      (
        await scene.api.list<KubeObject & { readonly reason?: string; readonly note?: string }>(EVENTS, {})
      ).items
        .filter(({ reason }) => reason === 'LoadBalancingRefused')
        .map(({ note }) => note);
    await expect
      .poll(told, DEADLINE)
      .toEqual([expect.stringContaining('nftables does not know how many connections an endpoint has')]);
  });
});

describe('forwarding', () => {
  describeForwarding(scene);
  afterAll(() => scene.kill());
});
describe('policies', () => {
  describePolicies(scene);
  afterAll(() => scene.kill());
});
describe('the model', () => {
  describeWherePacketsGo(scene, 15);
  afterAll(() => scene.kill());
});
