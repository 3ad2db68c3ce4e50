// What every PacketSocket does, on a wire with two ends.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ip } from '../../src/net/address.ts';
import { BROADCAST, type Mac, multicastMac, solicitedNodeGroup } from '../../src/net/mac.ts';
import type { OpenPacketSocket, PacketProtocol, PacketSocket } from '../../src/sockets/packet-socket.ts';
import { arpFrame, ipv6Frame, markOf } from './frames.ts';

/** One end of the wire: an interface in its namespace. */
export interface WireEnd {
  readonly open: OpenPacketSocket;
  readonly interfaceName: string;
  readonly networkNamespace?: string;
  readonly mac: Mac;
}

export interface TwoEndedWire {
  readonly a: WireEnd;
  readonly b: WireEnd;
  /** Takes the interfaces away. */
  remove(): void;
  close(): void;
}

class Listener {
  readonly frames: Uint8Array[] = [];
  readonly errors: (string | undefined)[] = [];
  readonly socket: PacketSocket;

  constructor({ open, mac: _, ...where }: WireEnd, protocol: PacketProtocol) {
    this.socket = open({
      ...where,
      protocol,
      onFrame: (frame) => void this.frames.push(frame),
      onError: (error: NodeJS.ErrnoException) => void this.errors.push(error.code),
    });
  }

  get marks(): number[] {
    return this.frames.map(markOf);
  }

  /** Resolves when this frame has come; whatever was sent before it has come too, or never will. */
  async heard(mark: number): Promise<void> {
    await vi.waitFor(() => expect(this.marks).toContain(mark), { interval: 2, timeout: 10_000 });
  }
}

export function describePacketSocket(name: string, makeWire: () => TwoEndedWire): void {
  describe(name, () => {
    let wire: TwoEndedWire;
    let listeners: Listener[];
    const listen = (end: WireEnd, protocol: PacketProtocol) => {
      const listener = new Listener(end, protocol);
      listeners.push(listener);
      return listener;
    };

    beforeEach(() => {
      wire = makeWire();
      listeners = [];
    });
    afterEach(() => {
      for (const { socket } of listeners) socket.close();
      wire.close();
    });

    it('carries a frame whole to the other end', async () => {
      const a = listen(wire.a, 'arp');
      const b = listen(wire.b, 'arp');
      const frame = arpFrame(BROADCAST, wire.a.mac, 7);
      a.socket.send(frame);
      await b.heard(7);
      expect(b.frames).toEqual([frame]);
      expect(b.frames[0]?.constructor).toBe(Uint8Array);
    });

    it('keeps the order, and carries unicast', async () => {
      const a = listen(wire.a, 'arp');
      const b = listen(wire.b, 'arp');
      for (let mark = 1; mark <= 200; mark++) a.socket.send(arpFrame(wire.b.mac, wire.a.mac, mark));
      await b.heard(200);
      expect(b.marks).toEqual(Array.from({ length: 200 }, (_, i) => i + 1));
    });

    it('does not deliver what its own interface sent', async () => {
      const a = listen(wire.a, 'arp');
      const beside = listen(wire.a, 'arp');
      const b = listen(wire.b, 'arp');
      a.socket.send(arpFrame(BROADCAST, wire.a.mac, 1));
      await b.heard(1);
      b.socket.send(arpFrame(BROADCAST, wire.b.mac, 2));
      await beside.heard(2);
      await a.heard(2);
      expect([a.marks, beside.marks]).toEqual([[2], [2]]);
    });

    it('delivers ARP to one kind of socket, neighbour messages to the other, and nothing else', async () => {
      const sender = listen(wire.a, 'arp').socket;
      const arp = listen(wire.b, 'arp');
      const ndp = listen(wire.b, 'ndp');
      const to = wire.b.mac;
      sender.send(ipv6Frame(to, wire.a.mac, 128, 1)); // an echo request
      sender.send(ipv6Frame(to, wire.a.mac, 135, 2, 17)); // UDP
      sender.send(arpFrame(to, wire.a.mac, 3));
      sender.send(ipv6Frame(to, wire.a.mac, 135, 4));
      sender.send(ipv6Frame(to, wire.a.mac, 136, 5));
      await ndp.heard(5);
      await arp.heard(3);
      expect(ndp.marks).toEqual([4, 5]);
      expect(arp.marks).toEqual([3]);
    });

    it('hears a group that it joined, however often, until it leaves', async () => {
      const a = listen(wire.a, 'ndp');
      const b = listen(wire.b, 'ndp');
      const group = solicitedNodeGroup(ip('fd00::12:3456'));
      b.socket.joinGroup(group);
      b.socket.joinGroup(group);
      a.socket.send(ipv6Frame(multicastMac(group), wire.a.mac, 135, 1));
      await b.heard(1);
      b.socket.leaveGroup(group);
      b.socket.leaveGroup(group);
    });

    it('names an interface that is not there', () => {
      expect(() => listen({ ...wire.a, interfaceName: 'nowhere0' }, 'arp')).toThrow(
        expect.objectContaining({ code: 'ENODEV', message: expect.stringContaining('nowhere0') }),
      );
    });

    it('says once that its interface went away, and is closed by then', async () => {
      const a = listen(wire.a, 'arp');
      wire.remove();
      await vi.waitFor(() => expect(a.errors).toEqual(['ENETDOWN']), { interval: 2, timeout: 10_000 });
      expect(() => a.socket.send(arpFrame(BROADCAST, wire.a.mac, 1))).toThrow(
        expect.objectContaining({ code: 'EBADF' }),
      );
    });

    it('is silent once closed, and closes twice without harm', async () => {
      const a = listen(wire.a, 'arp');
      const closed = listen(wire.b, 'arp');
      const open = listen(wire.b, 'arp');
      a.socket.send(arpFrame(BROADCAST, wire.a.mac, 1));
      closed.socket.close();
      closed.socket.close();
      await open.heard(1);
      expect(closed.frames).toEqual([]);
      expect(() => closed.socket.send(arpFrame(BROADCAST, wire.b.mac, 2))).toThrow(
        expect.objectContaining({ code: 'EBADF' }),
      );
      expect(() => closed.socket.joinGroup('ff02::1:ff00:1')).toThrow(
        expect.objectContaining({ code: 'EBADF' }),
      );
    });

    it('may be closed from within its own callback', async () => {
      const a = listen(wire.a, 'arp');
      const b = listen(wire.b, 'arp');
      let calls = 0;
      const { open, mac: _, ...where } = wire.b;
      const shy = open({
        ...where,
        protocol: 'arp',
        onFrame: () => {
          calls++;
          shy.close();
        },
        onError: (error) => expect.unreachable(error.message),
      });
      for (const mark of [1, 2, 3]) a.socket.send(arpFrame(BROADCAST, wire.a.mac, mark));
      await b.heard(3);
      expect(calls).toBe(1);
    });
  });
}
