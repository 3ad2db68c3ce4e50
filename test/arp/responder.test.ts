// One interface's answers, on a virtual wire.
import { Registry } from 'prom-client';
import { beforeEach, describe, expect, it } from 'vitest';
import { DROP_REASONS, type DropReason } from '../../src/arp/frame-drop.ts';
import { arpMetrics } from '../../src/arp/metrics.ts';
import { answerTo, parseNdp } from '../../src/arp/ndp-frame.ts';
import { Responder } from '../../src/arp/responder.ts';
import { type Ip, type Ipv4, type Ipv6, ip } from '../../src/net/address.ts';
import { BROADCAST, type Mac, UNSPECIFIED_MAC } from '../../src/net/mac.ts';
import { type VirtualPort, VirtualWire } from '../../src/sockets/virtual-wire.ts';
import { AskingHost, arpRequest, HOST_IPV4, HOST_IPV6, HOST_MAC, solicitation } from './asking-host.ts';

const MAC = '02:00:00:00:00:0a' as Mac; // written as one
const FOUR = ip('192.0.2.10') as Ipv4; // written in IPv4
const SIX = ip('2001:db8::12:3456') as Ipv6; // written in IPv6
const SAME_GROUP = ip('2001:db8:1::12:3456') as Ipv6; // written in IPv6

let wire: VirtualWire;
let port: VirtualPort;
let host: AskingHost;
let registry: Registry;
let refusal: DropReason | undefined;
let asked: Ip[];
let errors: string[];
let responder: Responder;

beforeEach(() => {
  wire = new VirtualWire();
  port = wire.port('eth0');
  host = new AskingHost(wire.port().open);
  registry = new Registry();
  refusal = undefined;
  asked = [];
  errors = [];
  responder = new Responder({
    open: port.open,
    interface: { index: 2, name: 'eth0', mac: MAC },
    metrics: arpMetrics(registry),
    refuses: (address) => {
      asked.push(address);
      return refusal;
    },
    onError: ({ message }) => void errors.push(message),
  });
  return () => responder.close();
});

/** Frames are carried, and answered, in microtasks. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

async function count(name: string, labels: Readonly<Record<string, string>>): Promise<number> {
  const metric = await registry.getSingleMetric(name)?.get();
  const found = metric?.values.find((each) =>
    Object.entries(labels).every(([key, value]) => each.labels[key] === value),
  );
  return found?.value ?? Number.NaN;
}

const dropped = (reason: DropReason) => count('fairlead_arp_frames_dropped_total', { reason });

describe('a responder', () => {
  it('answers an ARP request with its MAC address, to the one who asked alone', async () => {
    host.ask(FOUR);
    await settled();
    expect(host.heard).toEqual([
      {
        kind: 'arp',
        operation: 'reply',
        source: MAC,
        destination: HOST_MAC,
        senderMac: MAC,
        senderIp: FOUR,
        targetMac: HOST_MAC,
        targetIp: HOST_IPV4,
      },
    ]);
    expect(await count('fairlead_arp_answers_sent_total', { protocol: 'arp' })).toBe(1);
  });

  it('answers an ARP probe of one who checks whether the address is free', async () => {
    host.send('arp', arpRequest(FOUR, { senderIp: ip('0.0.0.0') as Ipv4 })); // written in IPv4
    await settled();
    expect(host.heard).toMatchObject([{ operation: 'reply', senderIp: FOUR, targetIp: '0.0.0.0' }]);
  });

  it('answers a solicitation to the group of an address that it joined', async () => {
    responder.join(SIX);
    host.ask(SIX);
    await settled();
    expect(host.heard).toEqual([
      {
        kind: 'advertisement',
        source: MAC,
        destination: HOST_MAC,
        senderIp: SIX,
        destinationIp: HOST_IPV6,
        targetIp: SIX,
        targetMac: MAC,
        solicited: true,
        override: true,
      },
    ]);
    expect(await count('fairlead_arp_answers_sent_total', { protocol: 'ndp' })).toBe(1);
  });

  it('answers a solicitation sent to its own MAC address without having joined, as reachability probes are', async () => {
    host.send('ndp', solicitation(SIX, { destination: MAC, senderMac: undefined }));
    await settled();
    expect(host.heard).toMatchObject([{ targetIp: SIX, solicited: true, destination: HOST_MAC }]);
  });

  it('answers a duplicate address check to all nodes', async () => {
    responder.join(SIX);
    host.send('ndp', solicitation(SIX, { senderIp: ip('::') as Ipv6, senderMac: undefined }));
    await settled();
    expect(host.heard).toMatchObject([
      { destination: '33:33:00:00:00:01', destinationIp: 'ff02::1', solicited: false, override: true },
    ]);
  });

  it('stays in a group until the last address of it is gone', async () => {
    responder.join(SIX);
    responder.join(SAME_GROUP);
    responder.join(SIX); // again
    const isHeard = async () => {
      host.ask(SIX);
      await settled();
      return host.answers.length === 1;
    };
    expect(await isHeard()).toBe(true);
    responder.leave(SIX);
    responder.leave(SIX); // again
    expect(await isHeard()).toBe(true);
    responder.leave(SAME_GROUP);
    expect(await isHeard()).toBe(false);
    responder.join(SIX);
    expect(await isHeard()).toBe(true);
  });

  it('joins nothing for IPv4', async () => {
    responder.join(FOUR);
    responder.leave(FOUR);
    host.ask(FOUR);
    await settled();
    expect(host.answers).toEqual([MAC]);
  });

  it('tells of an IPv4 address by both forms of gratuitous ARP', async () => {
    responder.announce(FOUR);
    await settled();
    const same = { kind: 'arp', source: MAC, destination: 'ff:ff:ff:ff:ff:ff', senderMac: MAC };
    expect(host.heard).toEqual([
      { ...same, operation: 'request', senderIp: FOUR, targetIp: FOUR, targetMac: UNSPECIFIED_MAC },
      { ...same, operation: 'reply', senderIp: FOUR, targetIp: FOUR, targetMac: MAC },
    ]);
    expect(await count('fairlead_arp_gratuitous_frames_sent_total', { protocol: 'arp' })).toBe(2);
  });

  it('tells of an IPv6 address to all nodes and routers', async () => {
    responder.announce(SIX);
    await settled();
    expect(host.heard).toMatchObject([
      { targetIp: SIX, targetMac: MAC, destinationIp: 'ff02::1', solicited: false, override: true },
      { targetIp: SIX, targetMac: MAC, destinationIp: 'ff02::2', solicited: false, override: true },
    ]);
    expect(await count('fairlead_arp_gratuitous_frames_sent_total', { protocol: 'ndp' })).toBe(2);
  });

  it('asks whether it may before each frame, and is silent when it may not', async () => {
    responder.join(SIX);
    refusal = 'no right to answer';
    host.ask(FOUR);
    host.ask(SIX);
    await settled();
    responder.announce(FOUR);
    await settled();
    expect(host.heard).toEqual([]);
    expect(asked).toEqual([FOUR, SIX, FOUR, FOUR]);
    expect(await dropped('no right to answer')).toBe(4);
    refusal = undefined;
    responder.announce(FOUR);
    expect(asked).toHaveLength(6);
  });

  it('tells once that its interface broke', () => {
    wire.fail('ENETDOWN', port);
    expect(errors[0]).toContain('eth0');
  });

  it('closes the first socket when the second cannot be opened', () => {
    const closed: string[] = [];
    const open: VirtualPort['open'] = (options) => {
      if (options.protocol === 'ndp') throw Object.assign(new Error('no more files'), { code: 'EMFILE' });
      const socket = port.open(options);
      return { ...socket, close: () => void closed.push(options.protocol) };
    };
    const options = {
      interface: responder.interface,
      metrics: arpMetrics(new Registry()),
      refuses: () => undefined,
    };
    expect(() => new Responder({ ...options, open, onError: () => {} })).toThrow('no more files');
    expect(closed).toEqual(['arp']);
  });
});

describe('what is dropped is counted by its reason:', () => {
  const arp = arpRequest(FOUR);
  const ndp = solicitation(SIX, { destination: MAC });
  const cases: [DropReason, () => void][] = [
    ['truncated', () => host.send('arp', arp.subarray(0, 41))],
    ['wrong protocol', () => host.send('arp', arp.with(21, 3))],
    ['not a request', () => host.send('arp', arpRequest(FOUR, { operation: 'reply' }))],
    ['bad hop limit', () => host.send('ndp', ndp.with(21, 64))],
    ['bad checksum', () => host.send('ndp', ndp.with(57, (ndp[57] ?? 0) ^ 1))],
    // An option of length 0 where 1 was, and a checksum that makes up for it.
    ['bad option', () => host.send('ndp', ndp.with(79, 0).with(57, (ndp[57] ?? 0) + 1))],
    ['bad sender', () => host.send('arp', arpRequest(FOUR, { senderMac: BROADCAST }))],
    ['not our address', () => refused('not our address')],
    ['wrong interface', () => refused('wrong interface')],
    ['no right to answer', () => refused('no right to answer')],
    [
      'send failed',
      () => {
        wire.fail('ENETDOWN', port);
        responder.announce(FOUR);
      },
    ],
  ];
  function refused(reason: DropReason): void {
    refusal = reason;
    host.ask(FOUR);
  }

  it.each(cases)('%s', async (reason, cause) => {
    expect(await dropped(reason)).toBe(0);
    cause();
    await settled();
    expect(await dropped(reason)).toBeGreaterThan(0);
    expect(host.answers).toEqual([]);
  });

  it('an advertisement, which asks nothing', async () => {
    const heard = parseNdp(ndp);
    if (heard.kind !== 'solicitation') return expect.unreachable();
    host.send('ndp', answerTo(heard, HOST_MAC));
    await settled();
    expect(await dropped('not a request')).toBe(1);
  });

  it('every reason that there is', () => {
    expect(cases.map(([reason]) => reason).sort()).toEqual([...DROP_REASONS].sort());
  });
});
