// What every AnsweringSocket does, with a host on the wire that asks.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { gratuitousArp } from '../../src/arp/arp-frame.ts';
import { answerTo, parseNdp, unsolicited } from '../../src/arp/ndp-frame.ts';
import { systemClock } from '../../src/clock/clock.ts';
import { type Ip, type Ipv4, type Ipv6, ip } from '../../src/net/address.ts';
import { BROADCAST, type Mac, solicitedNodeGroup } from '../../src/net/mac.ts';
import {
  type AnswerCounts,
  type AnsweringSocket,
  DROP_REASONS,
  type DropReason,
  type OpenAnsweringSocket,
} from '../../src/sockets/answering-socket.ts';
import type { OpenPacketSocket } from '../../src/sockets/packet-socket.ts';
import { AskingHost, arpRequest, HOST_MAC, solicitation } from '../arp/asking-host.ts';

export interface AnsweredWire {
  readonly open: OpenAnsweringSocket;
  readonly networkNamespace?: string;
  /** Of the interface that answers. */
  readonly mac: Mac;
  /** The other end, on eth0. */
  readonly host: OpenPacketSocket;
  /** Takes the interface that answers away. */
  remove(): void;
  close(): void;
}

const FOUR = ip('192.0.2.10') as Ipv4; // written in IPv4
const SIX = ip('2001:db8::12:3456') as Ipv6; // written in IPv6
const [NO_IPV4, NO_IPV6] = [ip('0.0.0.0') as Ipv4, ip('::') as Ipv6]; // written so
const FOREIGN = '02:00:00:00:00:66' as Mac; // written as one
const EVER = Number.POSITIVE_INFINITY;

export function describeAnsweringSocket(name: string, makeWire: () => AnsweredWire): void {
  describe(name, () => {
    let wire: AnsweredWire;
    let host: AskingHost;
    let claims: Uint8Array[];
    let errors: (string | undefined)[];
    let socket: AnsweringSocket;

    beforeEach(() => {
      wire = makeWire();
      host = new AskingHost(wire.host);
      claims = [];
      errors = [];
      const { open, mac, networkNamespace } = wire;
      socket = open({
        interfaceName: 'eth0',
        mac,
        ...(networkNamespace === undefined ? {} : { networkNamespace }),
        onClaim: (frame) => void claims.push(frame),
        onError: (error: NodeJS.ErrnoException) => void errors.push(error.code),
      });
    });
    afterEach(() => {
      socket.close();
      host.close();
      wire.close();
    });

    const serve = (...addresses: Ip[]) => {
      for (const address of addresses) socket.set(address, EVER, 'no right to answer');
      if (addresses.includes(SIX)) socket.joinGroup(solicitedNodeGroup(SIX));
    };
    const counted = (which: keyof AnswerCounts, least = 1) =>
      vi.waitFor(() => expect(socket.counts()[which]).toBeGreaterThanOrEqual(least), { interval: 2 });
    const heard = (least = 1) =>
      vi.waitFor(() => expect(host.heard.length).toBeGreaterThanOrEqual(least), { interval: 2 });

    it('answers for the addresses of its table, and for no other', async () => {
      serve(FOUR, SIX);
      host.ask(ip('192.0.2.11') as Ipv4); // written in IPv4
      await counted('not our address');
      host.ask(FOUR);
      await heard();
      expect(host.heard).toMatchObject([
        { operation: 'reply', source: wire.mac, destination: HOST_MAC, senderMac: wire.mac, senderIp: FOUR },
      ]);
      host.ask(SIX);
      await heard();
      expect(host.heard).toMatchObject([
        { source: wire.mac, destination: HOST_MAC, targetIp: SIX, targetMac: wire.mac, solicited: true },
      ]);
      expect(socket.counts()).toMatchObject({
        'received arp': 2,
        'answered arp': 1,
        'answered ndp': 1,
        'not our address': 1,
      });
      expect(claims).toEqual([]);
    });

    it('answers those who check whether an address is free', async () => {
      serve(FOUR, SIX);
      host.send('arp', arpRequest(FOUR, { senderIp: NO_IPV4 }));
      host.send('ndp', solicitation(SIX, { senderIp: NO_IPV6, senderMac: undefined }));
      await heard(2);
      const byKind = host.heard.toSorted((a, b) => (a.kind < b.kind ? -1 : 1));
      expect(byKind).toMatchObject([
        { kind: 'advertisement', destinationIp: 'ff02::1', solicited: false, override: true },
        { kind: 'arp', operation: 'reply', senderIp: FOUR, targetIp: '0.0.0.0', destination: HOST_MAC },
      ]);
      expect(claims).toEqual([]);
    });

    it('answers no more for what was removed, and again for what came back', async () => {
      const others = Array.from({ length: 500 }, (_, i) => ip(`10.0.${i >> 8}.${i & 255}`));
      serve(...others, FOUR);
      for (const [i, address] of others.entries()) if (i % 3 > 0) socket.remove(address);
      socket.remove(FOUR);
      host.ask(FOUR);
      await counted('not our address');
      for (const address of others) host.send('arp', arpRequest(address as Ipv4)); // written in IPv4
      await counted('received arp', 501);
      await counted('answered arp', 167);
      expect(socket.counts()).toMatchObject({ 'answered arp': 167, 'not our address': 334 });
      serve(FOUR);
      host.ask(FOUR);
      await vi.waitFor(() => expect(host.answers).toContain(wire.mac), { interval: 2 });
    });

    it('answers until the right ends, by itself, and from its renewal on', async () => {
      const until = systemClock.now() + 20;
      socket.set(FOUR, until, 'no right to answer');
      while (systemClock.now() <= until) await new Promise((resolve) => setImmediate(resolve));
      host.ask(FOUR);
      await counted('no right to answer');
      expect(socket.counts()['answered arp']).toBe(0);
      socket.set(FOUR, systemClock.now() + 3_600_000, 'no right to answer');
      host.ask(FOUR);
      await counted('answered arp');
      socket.set(FOUR, 0, 'wrong interface');
      host.ask(FOUR);
      await counted('wrong interface');
      expect(socket.counts()).toMatchObject({ 'answered arp': 1, 'no right to answer': 1 });
    });

    it('answers while a shared deadline lasts, whoever moves it', async () => {
      const cells = new BigInt64Array(new SharedArrayBuffer(16));
      const deadline = { cells, index: 1 };
      socket.set(FOUR, deadline, 'no right to answer');
      host.ask(FOUR);
      await counted('no right to answer');
      Atomics.store(cells, 1, process.hrtime.bigint() + 3_600_000_000_000n);
      host.ask(FOUR);
      await counted('answered arp');
      Atomics.store(cells, 1, process.hrtime.bigint());
      host.ask(FOUR);
      await counted('no right to answer', 2);
      expect(gratuitousArp(FOUR, wire.mac).map((frame) => socket.announce(FOUR, frame))).toEqual([
        false,
        false,
      ]);
      socket.set(FOUR, 0, 'wrong interface');
      Atomics.store(cells, 1, process.hrtime.bigint() + 3_600_000_000_000n);
      host.ask(FOUR);
      await counted('wrong interface');
      expect(socket.counts()['answered arp']).toBe(1);
    });

    it('announces what it may answer for, and sends what speaks for nobody', async () => {
      serve(FOUR);
      socket.set(SIX, 0, 'no right to answer');
      const frames = gratuitousArp(FOUR, wire.mac);
      expect(frames.map((frame) => socket.announce(FOUR, frame))).toEqual([true, true]);
      expect(unsolicited(SIX, wire.mac).map((frame) => socket.announce(SIX, frame))).toEqual([false, false]);
      expect(socket.announce(ip('192.0.2.99'), frames[0] ?? new Uint8Array())).toBe(false);
      const question = { source: wire.mac, senderMac: wire.mac, senderIp: NO_IPV4 };
      socket.send(arpRequest(FOUR, question));
      socket.send(solicitation(SIX, { source: wire.mac, senderIp: NO_IPV6, senderMac: undefined }));
      await heard(3);
      expect(host.heard.filter(({ kind }) => kind === 'arp')).toMatchObject([
        { operation: 'request', senderIp: FOUR, senderMac: wire.mac },
        { operation: 'reply', senderIp: FOUR },
        { operation: 'request', senderIp: '0.0.0.0', targetIp: FOUR },
      ]);
      expect(socket.counts()).toMatchObject({ 'no right to answer': 2, 'not our address': 1 });
    });

    it('tells of other hosts that speak for an address of its table, and of nobody else', async () => {
      serve(FOUR, SIX);
      const from = { source: FOREIGN, senderMac: FOREIGN };
      const claim = arpRequest(ip('192.0.2.11') as Ipv4, { ...from, senderIp: FOUR }); // written in IPv4
      host.send('arp', arpRequest(ip('192.0.2.11') as Ipv4, from)); // written in IPv4
      host.send('arp', claim);
      await vi.waitFor(() => expect(claims).toHaveLength(1), { interval: 2 });
      expect(claims[0]).toEqual(claim);
      const asked = parseNdp(solicitation(SIX));
      if (asked.kind !== 'solicitation') return expect.unreachable();
      const advertisement = answerTo({ ...asked, senderIp: NO_IPV6 }, FOREIGN);
      host.send('ndp', answerTo({ ...asked, senderIp: NO_IPV6, targetIp: ip('fe80::9') as Ipv6 }, FOREIGN)); // in IPv6
      host.send('ndp', advertisement);
      await vi.waitFor(() => expect(claims).toHaveLength(2), { interval: 2 });
      expect(claims[1]).toEqual(advertisement);
      host.send('arp', arpRequest(FOUR, { senderMac: wire.mac, senderIp: FOUR })); // ours, come back
      await counted('received arp', 3);
      expect(claims).toHaveLength(2);
    });

    it('tells of others that check whether they may have an address that is not answered for', async () => {
      socket.set(FOUR, 0, 'no right to answer');
      socket.set(SIX, 0, 'no right to answer');
      socket.joinGroup(solicitedNodeGroup(SIX));
      host.send('arp', arpRequest(FOUR, { senderIp: NO_IPV4 }));
      host.send('ndp', solicitation(SIX, { senderIp: NO_IPV6, senderMac: undefined }));
      host.send('arp', arpRequest(FOUR));
      await vi.waitFor(() => expect(claims).toHaveLength(2), { interval: 2 });
      await counted('no right to answer', 3);
      expect(claims).toHaveLength(2);
    });

    it('tells of a flood of claims now and then', async () => {
      serve(FOUR);
      const claim = arpRequest(FOUR, { source: FOREIGN, senderMac: FOREIGN, senderIp: FOUR });
      const start = systemClock.now();
      for (let i = 0; i < 500; i++) host.send('arp', claim);
      await counted('received arp', 500);
      await new Promise((resolve) => setImmediate(resolve));
      expect(claims.length).toBeGreaterThan(0);
      expect(claims.length).toBeLessThanOrEqual(1 + (systemClock.now() - start) / 15);
    });

    it('answers in a storm of frames for others, of which none comes to JavaScript', async () => {
      serve(FOUR);
      const storm = Array.from({ length: 256 }, (_, i) => {
        const [asked, spoken] = [ip(`10.9.1.${i}`), ip(`10.9.2.${i}`)] as Ipv4[]; // written in IPv4
        const from = { source: FOREIGN, senderMac: FOREIGN, senderIp: spoken ?? NO_IPV4 };
        return arpRequest(asked ?? NO_IPV4, { ...from, operation: i % 2 === 0 ? 'request' : 'reply' });
      });
      for (let i = 0; i < 20_000; i++) {
        host.send('arp', storm[i % storm.length] ?? new Uint8Array());
        if (i % 100 === 0) host.ask(FOUR);
      }
      // What comes faster than it is read is lost, ours with the others': a host asks again.
      await vi.waitFor(
        () => {
          host.ask(FOUR);
          expect(socket.counts()['answered arp']).toBeGreaterThan(0);
        },
        { interval: 20, timeout: 10_000 },
      );
      await vi.waitFor(() => expect(host.answers).toContain(wire.mac), { interval: 2 });
      const { 'received arp': received, 'not our address': others } = socket.counts();
      expect(received).toBeGreaterThan(1_000);
      expect(others).toBeGreaterThan(500);
      expect(claims).toEqual([]);
    });

    it('counts what it does not answer by its reason', async () => {
      serve(FOUR, SIX);
      socket.set(ip('192.0.2.12'), 0, 'no right to answer');
      socket.set(ip('192.0.2.13'), 0, 'wrong interface');
      const arp = arpRequest(FOUR);
      const ndp = solicitation(SIX, { destination: wire.mac });
      const cases: Record<
        Exclude<DropReason, 'send failed' | 'being checked' | 'address conflict'>,
        () => void
      > = {
        truncated: () => host.send('arp', arp.subarray(0, 41)),
        'wrong protocol': () => host.send('arp', arp.with(21, 3)),
        'not a request': () => host.send('arp', arpRequest(FOUR, { operation: 'reply' })),
        'bad hop limit': () => host.send('ndp', ndp.with(21, 64)),
        'bad checksum': () => host.send('ndp', ndp.with(57, (ndp[57] ?? 0) ^ 1)),
        // An option of length 0 where 1 was, and a checksum that makes up for it.
        'bad option': () => host.send('ndp', ndp.with(79, 0).with(57, (ndp[57] ?? 0) + 1)),
        'bad sender': () => host.send('arp', arpRequest(FOUR, { senderMac: BROADCAST })),
        'not our address': () => host.ask(ip('192.0.2.11') as Ipv4), // written in IPv4
        'no right to answer': () => host.ask(ip('192.0.2.12') as Ipv4), // written in IPv4
        'wrong interface': () => host.ask(ip('192.0.2.13') as Ipv4), // written in IPv4
      };
      for (const send of Object.values(cases)) send();
      await vi.waitFor(
        () => {
          const counts = socket.counts();
          for (const reason of DROP_REASONS)
            expect([reason, counts[reason]]).toEqual([reason, reason in cases ? 1 : 0]);
        },
        { interval: 2 },
      );
      expect(host.answers).toEqual([]);
    });

    it('names an interface that is not there', () => {
      const options = { mac: wire.mac, onClaim: () => {}, onError: () => {} };
      const where = wire.networkNamespace === undefined ? {} : { networkNamespace: wire.networkNamespace };
      expect(() => wire.open({ ...options, ...where, interfaceName: 'nowhere0' })).toThrow(
        expect.objectContaining({ code: 'ENODEV', message: expect.stringContaining('nowhere0') }),
      );
    });

    it('says once that its interface went away, is closed by then, and keeps its counts', async () => {
      serve(FOUR);
      host.ask(FOUR);
      await counted('answered arp');
      wire.remove();
      await vi.waitFor(() => expect(errors).toEqual(['ENETDOWN']), { interval: 2 });
      expect(socket.counts()['answered arp']).toBe(1);
      expect(() => socket.send(arpRequest(FOUR))).toThrow(expect.objectContaining({ code: 'EBADF' }));
      socket.close();
      expect(errors).toHaveLength(1);
    });

    it('is silent once closed, and closes twice without harm', async () => {
      serve(FOUR);
      host.ask(FOUR);
      await heard();
      socket.close();
      socket.close();
      const other = wire.open({
        interfaceName: 'eth0',
        mac: wire.mac,
        ...(wire.networkNamespace === undefined ? {} : { networkNamespace: wire.networkNamespace }),
        onClaim: () => {},
        onError: () => {},
      });
      host.ask(FOUR);
      await vi.waitFor(() => expect(other.counts()['not our address']).toBe(1), { interval: 2 });
      expect(host.answers).toEqual([]);
      other.close();
    });
  });
}
