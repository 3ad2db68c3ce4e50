// What flags make of the rules: what is counted for each Service, and the bit that means masquerading.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Transport } from './host-process.ts';
import { CLIENT, NODE } from './network.ts';
import { type EndpointText, service, slice } from './objects.ts';
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
  });

  it('goes on after a restart', async () => {
    await scene.clear();
    expect(await figures()).toEqual({});
    const ask = async () => {
      await given('TCP', 0, '10.96.0.1', 'a');
      await scene.ask('client', 'TCP', '10.96.0.1');
      return (await figures()).connections;
    };
    await ask();
    await scene.proxy.kill();
    await scene.start(NODE_TEXT, environment);
    expect(await ask()).toBe(counting === 'nothing' ? undefined : 2);
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

describe('node ports on loopback', () => {
  beforeAll(() => scene.start(NODE_TEXT, { LOCALHOST: 'yes' }));
  afterAll(async () => {
    await scene.clear();
    await scene.proxy.kill();
  });
  const LOOPBACK = ['127.0.0.1', '::1'];
  const given = (v: 0 | 1, endpoints: Parameters<Scene['given']>[2], transport: Transport = 'TCP') =>
    scene.given(
      transport,
      {
        type: 'NodePort',
        clusterIPs: [v === 0 ? '10.96.0.1' : 'fd00:96::1'],
        ports: [{ port: 80, nodePort: 30080 }],
      },
      endpoints,
    );

  it.each([0, 1] as const)('reach endpoints of either family by both addresses (%d)', async (v) => {
    for (const name of ['a', 'c'] as const) {
      await given(v, [pod(name, v)]);
      for (const address of LOOPBACK)
        expect(await scene.ask('node', 'TCP', address, 30080)).toEqual({ name, source: NODE[v] });
    }
    await given(v, [pod('a', v), pod('b', v), pod('c', v)]);
    for (const address of LOOPBACK)
      expect(await scene.names('node', 'TCP', address, 30080)).toEqual(['a', 'b', 'c']);
  });

  it('try another endpoint where one does not take the connection', async () => {
    // Nobody listens on this port of the client.
    await given(0, [pod('a', 0), { address: CLIENT[0] }]);
    expect(await scene.names('node', 'TCP', '127.0.0.1', 30080)).toEqual(['a']);
  });

  it('reset what nobody can take, and are gone with the Service; UDP has none', async () => {
    await given(0, [{ address: CLIENT[0] }]);
    expect(await scene.ask('node', 'TCP', '127.0.0.1', 30080)).toEqual({ error: 'ECONNRESET' });
    await given(0, []);
    expect(await scene.ask('node', 'TCP', '::1', 30080)).toEqual({ error: 'ECONNRESET' });
    await given(0, [pod('a', 0)], 'UDP');
    for (const transport of ['TCP', 'UDP'] as const)
      expect(await scene.ask('node', transport, '127.0.0.1', 30080)).toEqual({ error: 'ECONNREFUSED' });
    await scene.clear();
    expect(await scene.ask('node', 'TCP', '127.0.0.1', 30080)).toEqual({ error: 'ECONNREFUSED' });
  });

  it('leave a port to the process that has it, and hold back no other', async () => {
    await scene.network.hosts.node.call('serve', 'other', 'TCP', 30081);
    await scene.given(
      'TCP',
      { type: 'NodePort', clusterIPs: ['10.96.0.1'], ports: [{ port: 80, nodePort: 30081 }] },
      [pod('a', 0)],
    );
    expect(await scene.ask('node', 'TCP', '127.0.0.1', 30081)).toMatchObject({ name: 'other' });
    await given(0, [pod('a', 0)]);
    expect(await scene.ask('node', 'TCP', '127.0.0.1', 30080)).toMatchObject({ name: 'a' });
  });
});

describe.each([true, false])('connections whose endpoint is gone, to be reset: %s', (reset) => {
  beforeAll(async () => {
    await scene.start(NODE_TEXT, reset ? { RESET_STALE_TCP: 'yes' } : {});
    const { a, b, c } = scene.network.hosts;
    // Once for both.
    if (reset) for (const [name, host] of Object.entries({ a, b, c })) await host.call('echo', name, ECHO);
  });
  afterAll(async () => {
    await scene.clear();
    await scene.proxy.kill();
  });
  const ECHO = 7007;
  const given = (v: 0 | 1, endpoints: readonly EndpointText[]) =>
    scene.proxy.call('set', {
      services: {
        'default/web': service('web', {
          clusterIPs: [v === 0 ? '10.96.0.1' : 'fd00:96::1'],
          ports: [{ port: 80, nodePort: 30080 }],
        }),
      },
      slices: { 'default/web-1': slice('web', endpoints, [{ port: ECHO, protocol: 'TCP' }]) },
    });

  it.each([0, 1] as const)('end with the next packet, and others live (%d)', async (v) => {
    const cluster = v === 0 ? '10.96.0.1' : 'fd00:96::1';
    for (const host of ['client', 'node', 'a'] as const) {
      const { [host]: from } = scene.network.hosts;
      await given(v, [pod('b', v)]);
      const toB = await from.call<number>('open', cluster, 80);
      const throughNode = await from.call<number>('open', NODE[v], 30080);
      await given(v, [pod('c', v)]);
      const toC = await from.call<number>('open', cluster, 80);
      // It is there no more, though its process lives: nobody is told but by us.
      const end = reset ? 'ECONNRESET' : 'b: again';
      expect(await from.call('say', toB, 'again')).toBe(end);
      expect(await from.call('say', throughNode, 'again')).toBe(end);
      expect(await from.call('say', toC, 'again')).toBe('c: again');
      // One that drains lives on.
      await given(v, [pod('c', v, { ready: false, serving: false, terminating: true })]);
      expect(await from.call('say', toC, 'still')).toBe('c: still');
      await given(v, []);
      expect(await from.call('say', toC, 'on')).toBe(reset ? 'ECONNRESET' : 'c: on');
    }
    const figures = await scene.proxy.call<Figure[]>('figures', 'fairlead_proxy_stale_flows_total');
    const tcp = figures.find(({ labels }) => labels.protocol === 'TCP');
    if (reset) expect(tcp?.value).toBeGreaterThanOrEqual(9);
    else expect(tcp?.value ?? 0).toBe(0);
  });
});

describe('nodes that membership knows to be dead', () => {
  beforeAll(() => scene.start(NODE_TEXT));
  afterAll(async () => {
    await scene.clear();
    await scene.proxy.kill();
  });

  it.each(CASES)(
    'get no new $transport over $family, and get it again when they live',
    async ({ transport, v, cluster }) => {
      await scene.given(transport, { clusterIPs: [cluster] }, [pod('a', v), pod('c', v)]);
      expect(await scene.names('client', transport, cluster)).toEqual(['a', 'c']);
      await scene.proxy.call('deadNodes', 'node2');
      expect(await scene.names('client', transport, cluster)).toEqual(['a']);
      await scene.given(transport, { clusterIPs: [cluster] }, [pod('c', v)]);
      expect(await scene.names('client', transport, cluster)).toEqual(['c']);
      await scene.proxy.call('deadNodes');
    },
  );
});
