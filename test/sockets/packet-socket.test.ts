// Packet sockets: the virtual wire and the kernel's behave alike; then what only the kernel has.
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { BROADCAST, type Mac } from '../../src/net/mac.ts';
import { openPacketSocket } from '../../src/sockets/open-packet-socket.ts';
import type { PacketProtocol } from '../../src/sockets/packet-socket.ts';
import { VirtualWire } from '../../src/sockets/virtual-wire.ts';
import { arpFrame, markOf, tagged } from './frames.ts';
import { inNamespace, makePair, namespacePath, removeNamespaces } from './netns.ts';
import { describePacketSocket, type TwoEndedWire, type WireEnd } from './packet-socket.conformance.ts';

/** Names of network namespaces, which all tests share. */
const [A, B] = ['packet-a', 'packet-b'];
const SOURCES = join(import.meta.dirname, '../../src/sockets');

function virtualWire(): TwoEndedWire {
  const wire = new VirtualWire();
  const end = (mac: string): WireEnd => ({
    open: wire.port('eth0').open,
    interfaceName: 'eth0',
    mac: mac as Mac, // written out as one
  });
  return {
    a: end('02:00:00:00:00:0a'),
    b: end('02:00:00:00:00:0b'),
    remove: () => wire.fail('ENETDOWN'),
    close: () => wire.fail('ENETDOWN'),
  };
}

function vethWire(): TwoEndedWire {
  makePair(A, B);
  const end = (name: string): WireEnd => ({
    open: openPacketSocket,
    interfaceName: 'eth0',
    networkNamespace: namespacePath(name),
    mac: inNamespace(name, 'cat /sys/class/net/eth0/address').trim() as Mac, // the kernel's own spelling
  });
  return {
    a: end(A),
    b: end(B),
    remove: () => void inNamespace(A, 'ip link del eth0'),
    close: () => removeNamespaces(A, B),
  };
}

describePacketSocket('a virtual wire', virtualWire);
describePacketSocket('a veth pair', vethWire);

describe('a virtual wire, besides', () => {
  it('keeps a log of frames, and carries nothing over a cut port', async () => {
    const wire = new VirtualWire();
    const [near, far] = [wire.port(), wire.port()];
    const heard: number[] = [];
    const options = { interfaceName: 'eth0', protocol: 'arp', onError: () => {} } as const;
    const a = near.open({ ...options, onFrame: () => {} });
    far.open({ ...options, onFrame: (frame) => void heard.push(markOf(frame)) });
    const send = (mark: number) => a.send(arpFrame(BROADCAST, '02:00:00:00:00:0a' as Mac, mark)); // written as one
    send(1);
    await Promise.resolve();
    far.cut = true;
    send(2);
    await Promise.resolve();
    far.cut = false;
    near.cut = true;
    send(3);
    await Promise.resolve();
    expect(heard).toEqual([1]);
    expect(wire.frames.map(({ frame }) => markOf(frame))).toEqual([1, 2]);
  });
});

describe('a kernel packet socket', () => {
  let wire: TwoEndedWire;
  beforeEach(() => {
    wire = vethWire();
  });
  afterEach(() => wire.close());

  const open = (end: WireEnd, protocol: PacketProtocol, onFrame: (frame: Uint8Array) => void = () => {}) => {
    const errors: (string | undefined)[] = [];
    const { interfaceName, networkNamespace = '' } = end;
    const onError = (error: NodeJS.ErrnoException) => void errors.push(error.code);
    return { errors, ...openPacketSocket({ interfaceName, networkNamespace, protocol, onFrame, onError }) };
  };

  it('does not take a VLAN-tagged frame for an untagged one', async () => {
    const marks: number[] = [];
    const a = open(wire.a, 'arp');
    const b = open(wire.b, 'arp', (frame) => void marks.push(markOf(frame)));
    a.send(tagged(arpFrame(wire.b.mac, wire.a.mac, 1), 100));
    a.send(tagged(arpFrame(BROADCAST, wire.a.mac, 2), 100));
    a.send(arpFrame(wire.b.mac, wire.a.mac, 3));
    await vi.waitFor(() => expect(marks).toContain(3), { interval: 2, timeout: 10_000 });
    expect(marks).toEqual([3]);
    a.close();
    b.close();
  });

  it('does not take frames for another host', async () => {
    const marks: number[] = [];
    const a = open(wire.a, 'arp');
    const b = open(wire.b, 'arp', (frame) => void marks.push(markOf(frame)));
    a.send(arpFrame('02:99:99:99:99:99' as Mac, wire.a.mac, 1)); // written out as one
    a.send(arpFrame(BROADCAST, wire.a.mac, 2));
    await vi.waitFor(() => expect(marks).toContain(2), { interval: 2, timeout: 10_000 });
    expect(marks).toEqual([2]);
    a.close();
    b.close();
  });

  it('joins a thousand groups so that the interface and its neighbours know', () => {
    const b = open(wire.b, 'ndp');
    const groups = Array.from({ length: 1000 }, (_, i) => `ff02::1:ff00:${i.toString(16)}`);
    // The kernel joins groups of its own meanwhile.
    const memberships = () => joined().filter((each) => groups.includes(each)).length;
    expect(memberships()).toBe(0);
    for (const group of groups) b.joinGroup(group);
    expect(memberships()).toBe(1000);
    expect(inNamespace(B, 'ip maddr show dev eth0')).toContain('33:33:ff:00:01:00');
    b.leaveGroup('ff02::1:ff00:7');
    expect(memberships()).toBe(999);
    b.close();
    expect(memberships()).toBe(0);
  });

  it('can be opened again after its interface went down and came up', async () => {
    const first = open(wire.b, 'arp');
    inNamespace(B, 'ip link set eth0 down');
    await vi.waitFor(() => expect(first.errors).toEqual(['ENETDOWN']), { interval: 2, timeout: 10_000 });
    inNamespace(B, 'ip link set eth0 up');
    const marks: number[] = [];
    const second = open(wire.b, 'arp', (frame) => void marks.push(markOf(frame)));
    const a = open(wire.a, 'arp');
    await vi.waitFor(
      () => {
        a.send(arpFrame(BROADCAST, wire.a.mac, 9));
        expect(marks).toContain(9);
      },
      { interval: 5, timeout: 10_000 },
    );
    expect(second.errors).toEqual([]);
    a.close();
    second.close();
  });

  it('leaves neither file descriptors nor another namespace behind', async () => {
    const descriptors = () => readdirSync('/proc/self/fd').length;
    const namespace = () => readlinkSync('/proc/thread-self/ns/net');
    open(wire.a, 'ndp').close();
    const [fds, home] = [descriptors(), namespace()];
    for (let i = 0; i < 50; i++) open(wire.a, 'ndp').close();
    for (let i = 0; i < 50; i++)
      expect(() => open({ ...wire.a, interfaceName: 'nowhere0' }, 'ndp')).toThrow('nowhere0');
    expect(() => open({ ...wire.a, networkNamespace: '/run/netns/nowhere' }, 'ndp')).toThrow(
      expect.objectContaining({ code: 'ENOENT' }),
    );
    expect(descriptors()).toBe(fds);
    expect(namespace()).toBe(home);
  });

  it('ends with the worker thread that opened it', async () => {
    const worker = new Worker(
      `import { openPacketSocket } from ${JSON.stringify(join(SOURCES, 'open-packet-socket.ts'))};
       import { parentPort } from 'node:worker_threads';
       openPacketSocket({ interfaceName: 'eth0', networkNamespace: '/run/netns/${A}', protocol: 'ndp',
         onFrame() {}, onError() {} });
       parentPort.postMessage('open');`,
      { eval: true },
    );
    const failed = new Promise((_, reject) => worker.once('error', reject));
    await Promise.race([new Promise((resolve) => worker.once('message', resolve)), failed]);
    expect(packetSockets()).toBe(1);
    await worker.terminate();
    expect(packetSockets()).toBe(0);
  });

  it('names the capability that it lacks', () => {
    // A user namespace inside ours has no rights over our network namespace.
    const code = `import(${JSON.stringify(join(SOURCES, 'open-packet-socket.ts'))}).then(({ openPacketSocket }) =>
      openPacketSocket({ interfaceName: 'lo', protocol: 'arp', onFrame() {}, onError() {} })).catch((error) =>
      console.log(error.code, error.message))`;
    const { stdout } = spawnSync('unshare', ['--user', process.execPath, '-e', code], { encoding: 'utf8' });
    expect(stdout).toContain('EPERM packet socket on lo: opening it needs the capability CAP_NET_RAW');
  });

  /** Groups that eth0 in b is in. */
  const joined = () =>
    execFileSync('ip', ['-n', B, '-6', 'maddr', 'show', 'dev', 'eth0'], { encoding: 'utf8' }).split(/\s+/);
  const packetSockets = () => inNamespace(A, 'cat /proc/net/packet').trim().split('\n').length - 1;
});
