// What flags make of the rules: what is counted for each Service, and the bit that means masquerading.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Transport } from './host-process.ts';
import { NODE } from './network.ts';
import { pod, Scene } from './scene.ts';

const CASES = (['TCP', 'UDP'] as const).flatMap((transport) => [
  { transport, family: 'IPv4', v: 0, cluster: '10.96.0.1', header: 28 } as const,
  { transport, family: 'IPv6', v: 1, cluster: 'fd00:96::1', header: 48 } as const,
]);
const NODE_TEXT = { addresses: NODE, masqueradeAll: true };

interface Figure {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const scene = new Scene();
beforeAll(() => scene.servePods());
afterAll(() => scene.remove());

describe.each(['traffic', 'connections', 'nothing'] as const)('counting %s', (counting) => {
  const environment = { RULES: JSON.stringify({ counting }) };

  beforeAll(() => scene.start(NODE_TEXT, environment));
  afterAll(async () => {
    await scene.clear();
    await scene.proxy.kill();
  });

  /** By name and direction, of the Service `web`. */
  async function figures(): Promise<Record<string, number>> {
    const found: Record<string, number> = {};
    for (const what of ['connections', 'packets', 'bytes']) {
      const all = await scene.proxy.call<Figure[]>('figures', `fairlead_service_${what}_total`);
      for (const { labels, value } of all)
        if (labels.service === 'web') found[`${what} ${labels.direction ?? ''}`.trim()] = value;
    }
    return found;
  }

  const given = (transport: Transport, v: 0 | 1, cluster: string, name: 'a' | 'b' | 'c') =>
    scene.given(
      transport,
      { type: 'NodePort', clusterIPs: [cluster], ports: [{ port: 80, nodePort: 30080 }] },
      [pod(name, v)],
    );

  it.each(CASES)('of $transport over $family', async ({ transport, v, cluster, header }) => {
    await scene.clear();
    expect(await figures()).toEqual({});
    await given(transport, v, cluster, 'a');
    expect(await figures()).toEqual({});
    for (const host of ['client', 'b', 'node'] as const)
      expect(await scene.ask(host, transport, cluster)).toMatchObject({ name: 'a' });
    for (const host of ['client', 'node'] as const)
      expect(await scene.ask(host, transport, NODE[v], 30080)).toMatchObject({ name: 'a' });
    // An answer of UDP has some 40 bytes; a question has one.
    if (counting === 'nothing') expect(await figures()).toEqual({});
    else if (counting === 'connections') expect(await figures()).toEqual({ connections: 5 });
    else if (transport === 'UDP') {
      expect(await figures()).toEqual({
        connections: 5,
        'packets received': 5,
        'packets sent': 5,
        'bytes received': 5 * (header + 1),
        'bytes sent': expect.any(Number),
      });
    } else {
      const found = await figures();
      expect(found.connections).toBe(5);
      expect(found['packets received']).toBeGreaterThanOrEqual(15);
      expect(found['packets sent']).toBeGreaterThanOrEqual(10);
      expect(found['bytes sent']).toBeGreaterThan(5 * header);
    }
    if (counting === 'nothing') return;
    // What another endpoint serves is added, whoever counts.
    await given(transport, v, cluster, 'b');
    await scene.ask('client', transport, cluster);
    expect(await figures()).toMatchObject({ connections: 6 });
    await scene.proxy.kill();
    await scene.start(NODE_TEXT, environment);
    await given(transport, v, cluster, 'b');
    await scene.ask('client', transport, cluster);
    expect(await figures()).toMatchObject({ connections: 7 });
  });

  it('is forgotten with the Service', async () => {
    await scene.clear();
    expect(await figures()).toEqual({});
  });
});

describe.each([0, 14, 31])('masquerading by bit %d', (masqueradeBit) => {
  beforeAll(() => scene.start(NODE_TEXT, { RULES: JSON.stringify({ masqueradeBit }) }));
  afterAll(async () => {
    await scene.clear();
    await scene.proxy.kill();
  });

  it.each(CASES)(
    'shows the node to endpoints of $transport over $family',
    async ({ transport, v, cluster }) => {
      await scene.clear();
      await scene.given(transport, { clusterIPs: [cluster] }, [pod('c', v)]);
      for (const host of ['client', 'a', 'node'] as const)
        expect(await scene.ask(host, transport, cluster)).toEqual({ name: 'c', source: NODE[v] });
    },
  );
});
