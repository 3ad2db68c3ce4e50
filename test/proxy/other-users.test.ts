// Others that change nftables at the same time, that fill the kernel's buffers, or that keep us from it; and batches of
// which only the first go through.
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { inNamespace, ipBatch, removeNamespaces } from '../sockets/netns.ts';
import { Child } from './child.ts';
import { meaningOf, readElements } from './kernel-view.ts';
import { type Objects, service, slice } from './objects.ts';

const [NODE, FRESH] = [`others-${process.pid}`, `others-fresh-${process.pid}`];
let proxy: Child;
let fresh: Child;

beforeAll(async () => {
  ipBatch([`netns add ${NODE}`, `netns add ${FRESH}`]);
  fresh = new Child(FRESH, 'proxy-process.ts');
  await fresh.call('start');
});
beforeEach(async () => {
  inNamespace(NODE, 'nft flush ruleset');
  proxy = new Child(NODE, 'proxy-process.ts');
  await proxy.call('start');
});
afterEach(() => proxy?.kill());
afterAll(async () => {
  await fresh?.kill();
  removeNamespaces(NODE, FRESH);
});

/** Services from number `from` on, each with two endpoints of which the second depends on `net`. */
function many(from: number, count: number, net: number): Objects {
  const names = Array.from({ length: count }, (_, i) => from + i);
  const host = (i: number) => `${i >> 8}.${i & 255}`;
  return {
    services: Object.fromEntries(
      names.map((i) => [
        `default/web-${i}`,
        service(`web-${i}`, { clusterIPs: [`10.96.${host(i)}`], ports: [{ port: 80 }] }),
      ]),
    ),
    slices: Object.fromEntries(
      names.map((i) => {
        const addresses = [`10.244.${host(i)}`, `10.${net}.${host(i)}`];
        const endpoints = addresses.map((address) => ({ address, node: 'node2' }));
        return [`default/web-${i}-1`, slice(`web-${i}`, endpoints, [{ port: 8080 }])];
      }),
    ),
  };
}

const lines = async (namespace: string) => meaningOf(await readElements(namespace));

/** What the kernel has is what a proxy brings that knows nothing but these objects. */
async function expectAsFresh(objects: Objects): Promise<void> {
  await fresh.call('set', objects);
  const wanted = await lines(FRESH);
  expect(await lines(NODE)).toEqual(wanted);
  const gone = (all: object | undefined) =>
    Object.fromEntries(Object.keys(all ?? {}).map((key) => [key, null]));
  await fresh.call('set', {
    services: gone(objects.services),
    slices: gone(objects.slices),
  } satisfies Objects);
}

/** Somebody who changes a table of their own without a pause, until they are killed, or so many times. */
function busyNeighbour(): ChildProcess {
  const script = `i=0; while [ $i -lt 50000 ]; do i=$((i + 1))
    echo 'add table inet busy; add chain inet busy c; add rule inet busy c accept'
    echo 'delete table inet busy'
    done | nft -i >/dev/null`;
  return spawn('ip', ['netns', 'exec', NODE, 'sh', '-c', script], { stdio: 'ignore', detached: true });
}

it('comes up, changes, and goes on as a successor while somebody else changes rules without a pause', async () => {
  const neighbour = busyNeighbour();
  try {
    await expect.poll(() => inNamespace(NODE, 'nft list tables'), { timeout: 15_000 }).toContain('busy');
    await proxy.call('set', many(0, 2_000, 245));
    for (let i = 0; i < 40; i++) await proxy.call('set', many(i * 10, 10, 246));
    await proxy.kill();
    proxy = new Child(NODE, 'proxy-process.ts');
    await proxy.call('start');
    await proxy.call('set', { ...many(0, 2_000, 247) });
    expect(neighbour.exitCode).toBe(null);
  } finally {
    const ended = once(neighbour, 'exit');
    process.kill(-(neighbour.pid ?? 0), 'SIGKILL');
    await ended;
  }
  expect(await proxy.call('metric', 'fairlead_proxy_services_set_aside')).toEqual([0]);
  await expectAsFresh(many(0, 2_000, 247));
}, 60_000);

it('puts right what it could not hear of, since there was more than its socket holds', async () => {
  const objects = many(0, 3, 245);
  await proxy.call('set', objects);
  await proxy.call('repairAtOnce');
  const before = await proxy.call<number>('foreignChanges');
  proxy.pause(true);
  inNamespace(NODE, 'nft delete element inet fairlead cluster4 { 10.96.0.1 }');
  const nft = (input: string) => execFileSync('ip', ['netns', 'exec', NODE, 'nft', '-f', '-'], { input });
  nft('add table inet other\nadd set inet other x { type ipv4_addr; }\n');
  for (let i = 0; i < 12; i++) {
    const elements = Array.from({ length: 3_000 }, (_, j) => `10.${i}.${j >> 8}.${j & 255}`);
    nft(`add element inet other x { ${elements.join(', ')} }\n`);
  }
  inNamespace(NODE, 'nft delete element inet fairlead cluster4 { 10.96.0.2 }');
  proxy.pause(false);
  await expect.poll(() => proxy.call('foreignChanges'), { timeout: 15_000 }).toBeGreaterThan(before);
  const cluster = async () => (await lines(NODE)).filter((line) => line.includes(' cluster ')).length;
  await expect.poll(cluster, { timeout: 15_000 }).toBe(3);
  await expectAsFresh(objects);
});

it('replaces what somebody put under a key that it is to add', async () => {
  await proxy.call('set', many(0, 1, 245));
  inNamespace(NODE, 'nft add element inet fairlead frontends4 { 10.96.0.1 . tcp . 80 : 0x00000bad }');
  await proxy.call('set', many(1, 2, 245));
  expect(await proxy.call('metric', 'fairlead_proxy_services_set_aside')).toEqual([0]);
  await expectAsFresh(many(0, 3, 245));
});

it.each([1, 2, 3])(
  'after %d of its batches went through and the next did not, sends what is missing',
  async (after) => {
    const objects = many(0, 2_500, 245);
    await proxy.call('breakSends', 1, after);
    await expect(proxy.call('set', objects)).rejects.toThrow('Message too long');
    await proxy.call('set', {});
    await expectAsFresh(objects);
  },
);

it('says which capability it lacks where it may not change rules', async () => {
  const proxyOf = (name: string) => JSON.stringify(join(import.meta.dirname, '../../src', name));
  const code = `
    import { NetlinkConnection } from ${proxyOf('netlink/connection.ts')};
    import { changeElements } from ${proxyOf('netlink/nftables.ts')};
    import { openNetlinkSocket } from ${proxyOf('sockets/open-netlink-socket.ts')};
    import { systemClock } from ${proxyOf('clock/clock.ts')};
    const connection = new NetlinkConnection({ open: openNetlinkSocket, clock: systemClock, protocol: 12 });
    const elements = [{ key: 'abcd', data: { kind: 'none' } }];
    const error = await changeElements(connection, 'fairlead', [{ set: 'cluster4', operation: 'add', elements }]).catch((e) => e);
    console.log(error.code, error.refused.length, error.message);
    connection.close();`;
  const node = [process.execPath, '--input-type=module', '-e', code];
  const { stdout, stderr } = spawnSync('unshare', ['--user', ...node], { encoding: 'utf8', timeout: 15_000 });
  expect(stderr).toBe('');
  expect(stdout).toBe('EPERM 0 the kernel refused it: EPERM (it needs the capability CAP_NET_ADMIN)\n');
});
