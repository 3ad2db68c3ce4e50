// SCTP through Services by real packets: INIT and INIT ACK with right checksums, by raw sockets of a small program,
// since neither Node nor every kernel has SCTP sockets.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { inNamespace } from '../sockets/netns.ts';
import { CLIENT, NODE, POD } from './network.ts';
import { service, slice } from './objects.ts';
import { pod, Scene } from './scene.ts';

const FAMILIES = [
  { family: 'IPv4', v: 0, digit: 4, cluster: '10.96.0.11', balanced: '198.51.100.1' },
  { family: 'IPv6', v: 1, digit: 6, cluster: 'fd00:96::11', balanced: '2001:db8:5::1' },
] as const;
/** On the Service, on the node, on the pods. */
const [PORT, NODE_PORT, POD_PORT] = [36_412, 30_412, 38_412];

const folder = mkdtempSync(join(tmpdir(), 'fairlead-sctp-'));
const program = join(folder, 'sctp-host');
const scene = new Scene();
const serving: ChildProcess[] = [];

beforeAll(async () => {
  const source = join(import.meta.dirname, 'sctp-host.c');
  execFileSync('cc', ['-std=gnu11', '-Wall', '-Wextra', '-Werror', source, '-o', program]);
  await scene.start({ addresses: NODE, podCidrs: ['10.244.0.0/16', 'fd00:244::/32'] });
  for (const name of ['a', 'c'] as const) {
    for (const { digit } of FAMILIES) {
      const words = ['netns', 'exec', scene.network.namespaceOf(name), program, 'serve', `${digit}`];
      const child = spawn('ip', [...words, `${POD_PORT}`, name], { stdio: ['ignore', 'pipe', 'inherit'] });
      serving.push(child);
      await once(child.stdout, 'data');
    }
  }
});
afterEach(() => scene.clear());
afterAll(async () => {
  for (const child of serving) child.kill();
  rmSync(folder, { recursive: true });
  await scene.remove();
});

describe.each(FAMILIES)('SCTP over $family', ({ v, digit, cluster, balanced }) => {
  /** The name that answered and whom it saw, "refused", or "no answer". */
  const ask = (host: 'client' | 'node' | 'a', address: string, port: number) =>
    inNamespace(scene.network.namespaceOf(host), `${program} ask ${digit} ${address} ${port}`).trim();
  const given = (names: readonly ('a' | 'c')[], spec: Parameters<typeof service>[1] = {}) =>
    scene.set({
      services: {
        'default/web': service(
          'web',
          {
            type: 'LoadBalancer',
            clusterIPs: [cluster],
            ports: [{ protocol: 'SCTP', port: PORT, nodePort: NODE_PORT }],
            ...spec,
          },
          { ingress: [{ ip: balanced }] },
        ),
      },
      slices: {
        'default/web-1': slice(
          'web',
          names.map((name) => pod(name, v)),
          [{ protocol: 'SCTP', port: POD_PORT }],
        ),
      },
    });

  it('an INIT reaches the endpoint, and its INIT ACK comes back with the Service’s address and port', async () => {
    for (const name of ['a', 'c'] as const) {
      await given([name]);
      for (const [address, port] of [
        [cluster, PORT],
        [balanced, PORT],
        [NODE[v], NODE_PORT],
      ] as const) {
        expect(ask('client', address, port), address).toBe(`${name} ${NODE[v]}`);
        expect(ask('node', address, port), address).toBe(`${name} ${NODE[v]}`);
      }
    }
    expect(ask('a', cluster, PORT)).toBe(`c ${POD.a[v]}`);
    // A pod that reaches itself sees the node.
    await given(['a']);
    expect(ask('a', cluster, PORT)).toBe(`a ${NODE[v]}`);
  });

  it('keeps the client’s address with externalTrafficPolicy Local, and waits where only another node could serve', async () => {
    await given(['a', 'c'], { externalTrafficPolicy: 'Local' });
    expect(ask('client', balanced, PORT)).toBe(`a ${CLIENT[v]}`);
    await given(['c'], { externalTrafficPolicy: 'Local' });
    expect(ask('client', balanced, PORT)).toBe('no answer');
  });

  it('is refused without endpoints, and on ports of other protocols', async () => {
    await given([]);
    for (const address of [cluster, balanced]) expect(ask('client', address, PORT)).toBe('refused');
    await given(['a'], { ports: [{ protocol: 'TCP', port: PORT, nodePort: NODE_PORT }] });
    expect(ask('client', cluster, PORT)).toBe('refused');
  });
});
