// The snapshot of a namespace's interfaces: follows the real kernel, and a scripted one through its faults.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/clock/clock.ts';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import { type Message, parseMessages } from '../../src/netlink/message.ts';
import { type NetworkInterface, RTM_DELLINK, RTM_GETLINK } from '../../src/netlink/rtnetlink.ts';
import { type InterfaceWatch, watchInterfaces } from '../../src/netlink/rtnetlink-watch.ts';
import { NetlinkRecorder } from '../../src/sockets/netlink-recorder.ts';
import type { OpenNetlinkSocket } from '../../src/sockets/netlink-socket.ts';
import { openNetlinkSocket } from '../../src/sockets/open-netlink-socket.ts';
import { inNamespace, ipBatch, namespacePath, removeNamespaces } from '../sockets/netns.ts';
import { acknowledgement, done } from './answers.ts';
import { addressMessage, type LinkFields, linkMessage } from './rtnetlink-messages.ts';

describe('a watch on the kernel', () => {
  const NAMESPACE = 'netlink-watch';
  let snapshots: (readonly NetworkInterface[])[];
  let errors: (string | undefined)[];
  let watch: InterfaceWatch;
  const now = () => snapshots.at(-1) ?? [];
  const named = (name: string) => now().find((each) => each.name === name);
  const inside = (command: string) => inNamespace(NAMESPACE, command);
  const becomes = (name: string, expected: object) =>
    vi.waitFor(() => expect(named(name)).toMatchObject(expected), { interval: 2, timeout: 10_000 });

  beforeEach(async () => {
    ipBatch([`netns add ${NAMESPACE}`]);
    inside('echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6');
    [snapshots, errors] = [[], []];
    const open: OpenNetlinkSocket = (options) =>
      openNetlinkSocket({
        ...options,
        onError: (error) => {
          errors.push(error.code);
          options.onError(error);
        },
      });
    watch = await watchInterfaces({
      open,
      clock: systemClock,
      networkNamespace: namespacePath(NAMESPACE),
      onChange: (interfaces) => void snapshots.push(interfaces),
      onError: (error) => expect.unreachable(error.message),
    });
  });
  afterEach(() => {
    watch.close();
    removeNamespaces(NAMESPACE);
  });

  it('begins with what is there', () => {
    expect(snapshots).toHaveLength(1);
    expect(named('lo')).toMatchObject({
      index: 1,
      loopback: true,
      up: false,
      mac: undefined,
      kind: undefined,
      addresses: [],
    });
  });

  it('sees an interface come, change in every way that matters, and go', async () => {
    inside('ip link add v0 address 02:00:00:00:00:07 type veth peer name v1');
    await becomes('v0', {
      mac: '02:00:00:00:00:07',
      kind: 'veth',
      up: false,
      carrier: false,
      master: undefined,
    });
    const { index } = named('v0') ?? {};
    inside('ip link set v0 up && ip link set v1 up');
    await becomes('v0', { up: true, carrier: true });
    inside('ip link set v1 down');
    await becomes('v0', { up: true, carrier: false });
    inside('ip link set v0 arp off');
    await becomes('v0', { noArp: true });
    inside('ip link set v0 address 02:00:00:00:00:08');
    await becomes('v0', { mac: '02:00:00:00:00:08' });
    inside('ip link add br0 type bridge && ip link set v0 master br0');
    await becomes('br0', { kind: 'bridge' });
    await becomes('v0', { master: named('br0')?.index });
    inside('ip link set v0 nomaster');
    await becomes('v0', { master: undefined });
    inside('ip link set v0 down && ip link set v0 name lan');
    await becomes('lan', { index, up: false });
    expect(named('v0')).toBe(undefined);
    inside('ip link del lan');
    await vi.waitFor(() => expect(now().map(({ name }) => name)).toEqual(['lo', 'br0']), {
      interval: 2,
      timeout: 10_000,
    });
  });

  it('sees addresses come and go', async () => {
    inside('ip link add v0 type veth peer name v1 && echo 0 > /proc/sys/net/ipv6/conf/v0/disable_ipv6');
    inside(
      'ip addr add 192.0.2.1/24 dev v0 && ip addr add 2001:db8::1/64 dev v0 nodad && ip addr add 192.0.2.1/32 dev v0',
    );
    const four = { address: '192.0.2.1', prefixLength: 24, scope: 'global' };
    const six = { address: '2001:db8::1', prefixLength: 64, scope: 'global' };
    await becomes('v0', { addresses: expect.arrayContaining([four, six, { ...four, prefixLength: 32 }]) });
    inside('ip addr del 192.0.2.1/24 dev v0');
    await becomes('v0', { addresses: expect.not.arrayContaining([four]) });
    expect(named('v0')?.addresses).toEqual(expect.arrayContaining([six, { ...four, prefixLength: 32 }]));
  });

  it('is told nothing when nothing changed that it knows of', async () => {
    inside('ip link add v0 type veth peer name v1');
    await becomes('v0', {});
    await becomes('v1', {});
    const before = snapshots.length;
    inside('ip link set v0 mtu 1400 && ip link set v0 txqueuelen 7 && ip link add last type bridge');
    await becomes('last', {});
    for (const [i, snapshot] of snapshots.slice(before).entries())
      expect(snapshot).not.toEqual(snapshots[before + i - 1]);
    expect(snapshots.slice(before).every((snapshot) => snapshot.some(({ name }) => name === 'last'))).toBe(
      true,
    );
  });

  it('misses nothing when the kernel drops messages for it', async () => {
    inside('ip link add v0 type veth peer name v1');
    await becomes('v1', {});
    // Our event loop stands still while `ip` works, so that the socket's buffer overflows.
    const lines =
      'i=0; while [ $i -lt 12000 ]; do echo link set v0 mtu $((1300 + i % 2)); i=$((i + 1)); done';
    inside(`(${lines}; echo link set v1 name last; echo link add br0 type bridge) | ip -batch -`);
    inside('ip addr add 192.0.2.9/32 dev v0');
    await becomes('last', {});
    await becomes('v0', { addresses: [{ address: '192.0.2.9', prefixLength: 32, scope: 'global' }] });
    await becomes('br0', {});
    expect(errors).toContain('ENOBUFS');
  });

  it('is silent once closed', async () => {
    const other: string[][] = [];
    const second = await watchInterfaces({
      open: openNetlinkSocket,
      clock: systemClock,
      networkNamespace: namespacePath(NAMESPACE),
      onChange: (interfaces) => void other.push(interfaces.map(({ name }) => name)),
      onError: (error) => expect.unreachable(error.message),
    });
    watch.close();
    const before = snapshots.length;
    inside('ip link add br0 type bridge');
    await vi.waitFor(() => expect(other.at(-1)).toContain('br0'), { interval: 2, timeout: 10_000 });
    expect(snapshots).toHaveLength(before);
    second.close();
  });
});

describe('a watch on a scripted kernel', () => {
  const mac = Uint8Array.of(2, 0, 0, 0, 0, 1);
  const ETH0: LinkFields = { index: 2, name: 'eth0', mac };
  let clock: VirtualClock;
  /** What the kernel has. */
  let links: LinkFields[];
  let beforeAnswer: (request: Message) => void;
  let recorder: NetlinkRecorder;
  let told: string[][];
  let errors: string[];
  let open: OpenNetlinkSocket;

  beforeEach(() => {
    clock = new VirtualClock();
    links = [ETH0];
    beforeAnswer = () => {};
    [told, errors] = [[], []];
    recorder = new NetlinkRecorder((datagram) => {
      const [request] = parseMessages(datagram);
      if (!request) return [];
      beforeAnswer(request);
      const { type, sequence } = request;
      const rows = type === RTM_GETLINK ? links.map((each) => linkMessage(each, sequence)) : [];
      return [...rows, done(sequence)];
    });
    open = recorder.open;
  });

  const start = () =>
    watchInterfaces({
      open: (options) => open(options),
      clock,
      onChange: (interfaces) => void told.push(interfaces.map(({ name }) => name)),
      onError: ({ message }) => void errors.push(message),
    });
  const settled = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  const dumps = () => recorder.datagrams.length;

  it('rejects when there is no first snapshot to be had', async () => {
    open = () => {
      throw Object.assign(new Error('netlink socket: opening: Too many open files'), { code: 'EMFILE' });
    };
    await expect(start()).rejects.toMatchObject({ code: 'EMFILE' });
    open = new NetlinkRecorder((datagram) => {
      const [request] = parseMessages(datagram);
      return [acknowledgement(request?.sequence ?? 0, 1)];
    }).open;
    await expect(start()).rejects.toMatchObject({ code: 'EPERM' });
    expect(told).toEqual([]);
    await clock.advance(60_000);
    expect(told).toEqual([]);
  });

  it('keeps what changes while it lists', async () => {
    beforeAnswer = ({ type }) => {
      if (type === RTM_GETLINK) return;
      // The links were listed, the addresses are not yet.
      recorder.notify(linkMessage({ index: 3, name: 'eth1', mac }));
      recorder.notify(linkMessage(ETH0, 0, RTM_DELLINK));
    };
    const watch = await start();
    await settled();
    expect(told.at(-1)).toEqual(['eth1']);
    watch.close();
  });

  it('forgets the addresses of an interface that went', async () => {
    const found: (readonly NetworkInterface[])[] = [];
    const onChange = (interfaces: readonly NetworkInterface[]) => void found.push(interfaces);
    const watch = await watchInterfaces({ open, clock, onChange, onError: () => {} });
    recorder.notify(addressMessage({ index: 2, bytes: Uint8Array.of(192, 0, 2, 1) }));
    await settled();
    expect(found.at(-1)?.[0]?.addresses).toHaveLength(1);
    recorder.notify(linkMessage(ETH0, 0, RTM_DELLINK));
    recorder.notify(linkMessage(ETH0));
    await settled();
    expect(found.at(-1)?.[0]?.addresses).toEqual([]);
    watch.close();
  });

  it('takes a burst of messages as one change', async () => {
    const watch = await start();
    for (const index of [3, 4, 5]) recorder.notify(linkMessage({ index, name: `eth${index}`, mac }));
    await settled();
    expect(told).toEqual([['eth0'], ['eth0', 'eth3', 'eth4', 'eth5']]);
    watch.close();
  });

  it('lists again when messages were lost, and once more when they were lost meanwhile', async () => {
    // Messages are lost on the socket that listens, not on the one that lists.
    let lose = () => {};
    open = (options) => {
      const code = 'ENOBUFS';
      if (options.groups) lose = () => options.onError(Object.assign(new Error(code), { code }));
      return recorder.open(options);
    };
    const watch = await start();
    links = [ETH0, { index: 3, name: 'eth1', mac }];
    let isFirst = true;
    beforeAnswer = () => {
      if (isFirst) lose();
      isFirst = false;
    };
    const before = dumps();
    lose();
    await settled();
    await settled();
    expect(told.at(-1)).toEqual(['eth0', 'eth1']);
    expect(dumps() - before).toBe(4); // links and addresses, twice
    watch.close();
  });

  it('tells once that it broke, also while it lists, and nothing once it is closed', async () => {
    let [lose, shatter] = [() => {}, () => {}];
    open = (options) => {
      const fail = (code: string) => () => options.onError(Object.assign(new Error(code), { code }));
      if (options.groups) [lose, shatter] = [fail('ENOBUFS'), fail('EIO')];
      return recorder.open(options);
    };
    const watch = await start();
    beforeAnswer = () => {
      beforeAnswer = () => {};
      shatter();
    };
    lose();
    await settled();
    expect(errors).toEqual(['EIO']);
    const before = dumps();
    await clock.advance(1_000);
    expect(dumps() - before).toBe(2); // links and addresses, once
    lose();
    watch.close();
    await settled();
    await clock.advance(60_000);
    expect(errors).toEqual(['EIO']);
  });

  it('begins again a second after it broke, and tells only of what is different then', async () => {
    const watch = await start();
    recorder.fail('EIO');
    expect(errors).toHaveLength(1);
    await clock.advance(1_000);
    expect(told).toEqual([['eth0']]);
    links = [];
    recorder.fail('EIO');
    await clock.advance(999);
    expect(told).toEqual([['eth0']]);
    await clock.advance(1);
    expect(told).toEqual([['eth0'], []]);
    recorder.notify(linkMessage(ETH0));
    await settled();
    expect(told.at(-1)).toEqual(['eth0']);
    watch.close();
  });

  it('tries every second for as long as it takes, and stops when it is closed', async () => {
    const watch = await start();
    const working = open;
    let attempts = 0;
    open = () => {
      attempts++;
      throw Object.assign(new Error('not now'), { code: 'EMFILE' });
    };
    recorder.fail('EIO');
    await clock.advance(5_000);
    expect(attempts).toBe(5);
    expect(errors).toHaveLength(6);
    open = working;
    links = [{ index: 3, name: 'eth1', mac }];
    await clock.advance(1_000);
    expect(told.at(-1)).toEqual(['eth1']);
    recorder.fail('EIO');
    watch.close();
    const before = dumps();
    await clock.advance(60_000);
    expect(dumps()).toBe(before);
  });
});
