// Announcers on a virtual wire and a virtual clock: who answers for what, on which interfaces, and when.
import { Registry } from 'prom-client';
import { beforeEach, describe, expect, it } from 'vitest';
import type { ConflictPolicy } from '../../src/arp/address-checks.ts';
import { Announcer, type RightToAnswer } from '../../src/arp/announcer.ts';
import { answeringInTypeScript } from '../../src/arp/answering-in-typescript.ts';
import { parseArp } from '../../src/arp/arp-frame.ts';
import type { InterfaceChoice } from '../../src/arp/election.ts';
import { arpMetrics } from '../../src/arp/metrics.ts';
import { parseNdp } from '../../src/arp/ndp-frame.ts';
import { candidateNodes, elections, interfacesOf } from '../../src/arp/ownership.ts';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import { type Ip, type Ipv4, type Ipv6, ip } from '../../src/net/address.ts';
import { type Mac, macAt } from '../../src/net/mac.ts';
import { createLogger } from '../../src/observe/logger.ts';
import type { OpenPacketSocket } from '../../src/sockets/packet-socket.ts';
import { VirtualWire } from '../../src/sockets/virtual-wire.ts';
import { AskingHost, arpRequest } from './asking-host.ts';
import { networkInterface } from './network-interface.ts';

const FOUR = ip('192.0.2.10') as Ipv4; // written in IPv4
const SIX = ip('2001:db8::12:3456') as Ipv6; // written in IPv6
const [MAC, OTHER_MAC] = ['02:00:00:00:00:0a' as Mac, '02:00:00:00:00:0b' as Mac]; // written as such
const ETH0 = networkInterface('eth0', { mac: MAC });

let clock: VirtualClock;
let lan: VirtualWire;
let host: AskingHost;

beforeEach(() => {
  clock = new VirtualClock();
  lan = new VirtualWire();
  host = new AskingHost(lan.port().open);
});

/** Frames are carried, and answered, in microtasks. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

async function answersTo(address: Ipv4 | Ipv6, asker = host): Promise<Mac[]> {
  asker.ask(address);
  await settled();
  return asker.answers;
}

/** What was sent but questions whether somebody else has an address, from the `from`-th frame on. */
function told(wire = lan, from = 0): Uint8Array[] {
  return wire.frames.slice(from).flatMap(({ protocol, frame }) => {
    const heard = protocol === 'arp' ? parseArp(frame) : parseNdp(frame);
    const asks = heard.kind === 'arp' ? heard.senderIp === '0.0.0.0' : heard.kind === 'solicitation';
    return asks ? [] : [frame];
  });
}

/** Times at which frames were sent unasked, each with the MAC addresses that sent them. */
async function sentWithin(duration: number, wire = lan): Promise<[number, string[]][]> {
  const sent: [number, string[]][] = [];
  const start = clock.now();
  let seen = wire.frames.length;
  for (let time = 0; time <= duration; time += 100) {
    await clock.advance(start + time - clock.now());
    const fresh = wire.frames.slice(seen).map(({ frame }) => macAt(frame, 6));
    if (fresh.length > 0) sent.push([time, fresh]);
    seen = wire.frames.length;
  }
  return sent;
}

/** The addresses, and the time that it takes to ask whether anybody else has them. */
async function give(announcer: Announcer, addresses: ReadonlyMap<Ip, InterfaceChoice>): Promise<void> {
  announcer.reconcile(addresses);
  await clock.advance(21);
}

const everywhere = (...addresses: Ip[]) =>
  new Map<Ip, InterfaceChoice>(addresses.map((each) => [each, 'all']));

const ALWAYS: RightToAnswer = { holds: () => true, until: () => Number.POSITIVE_INFINITY };

function makeAnnouncer(open: OpenPacketSocket, right = ALWAYS, policy: ConflictPolicy = 'withhold') {
  const conflicts: [address: Ip, mac: Mac | undefined][] = [];
  const registry = new Registry();
  const logged: { level: number; msg: string; interface?: string; error?: string }[] = [];
  const announcer = new Announcer({
    open: answeringInTypeScript(open, clock),
    clock,
    random: () => 0.5,
    log: createLogger({
      component: 'test',
      level: 'info',
      destination: { write: (line) => void logged.push(JSON.parse(line)) },
    }),
    metrics: arpMetrics(registry),
    right,
    excluded: /^cni/,
    onConflict: policy,
    tellConflict: (address, conflict) => void conflicts.push([address, conflict?.mac]),
    onInterfaces: () => {},
    onAnswered: () => {},
  });
  const values = async (name: string) => (await registry.getSingleMetric(name)?.get())?.values ?? [];
  return { announcer, logged, values, conflicts };
}

describe('an announcer', () => {
  it('answers for the addresses that it has, and for no other', async () => {
    const { announcer, values } = makeAnnouncer(lan.port('eth0').open);
    announcer.setInterfaces([ETH0, networkInterface('cni0')]);
    await give(announcer, everywhere(FOUR, SIX));
    expect(await answersTo(FOUR)).toEqual([MAC]);
    expect(await answersTo(SIX)).toEqual([MAC]);
    expect(await answersTo(ip('192.0.2.11') as Ipv4)).toEqual([]); // written in IPv4
    expect(await answersTo(ip('2001:db8::13:3456') as Ipv6)).toEqual([]); // written in IPv6
    expect(await values('fairlead_arp_addresses_owned')).toMatchObject([
      { labels: { family: 'IPv4' }, value: 1 },
      { labels: { family: 'IPv6' }, value: 1 },
    ]);
  });

  it('is silent from the moment that an address is withdrawn', async () => {
    const { announcer } = makeAnnouncer(lan.port('eth0').open);
    announcer.setInterfaces([ETH0]);
    await give(announcer, everywhere(FOUR, SIX));
    host.ask(FOUR); // under way when the address is taken
    await give(announcer, everywhere(SIX));
    await settled();
    expect(host.answers).toEqual([]);
    expect(await answersTo(SIX)).toEqual([MAC]);
    const before = lan.frames.length;
    await give(announcer, new Map());
    await clock.advance(1_000_000);
    expect(await answersTo(SIX)).toEqual([]);
    expect(lan.frames).toHaveLength(before + 1); // the question
  });

  it('stays in a group that another address still needs', async () => {
    const { announcer } = makeAnnouncer(lan.port('eth0').open);
    const same = ip('2001:db8:1::12:3456') as Ipv6; // written in IPv6
    announcer.setInterfaces([ETH0]);
    await give(announcer, everywhere(SIX, same));
    await give(announcer, everywhere(same));
    expect(await answersTo(same)).toEqual([MAC]);
    expect(await answersTo(SIX)).toEqual([]);
  });

  it('tells the link of a new address at once, four times more, and now and then, but of known ones no more', async () => {
    const { announcer } = makeAnnouncer(lan.port('eth0').open);
    announcer.setInterfaces([ETH0]);
    await give(announcer, everywhere(FOUR));
    expect(told()).toHaveLength(2);
    const rounds = await sentWithin(160_000);
    expect(rounds.map(([time]) => time)).toEqual([1100, 2200, 3300, 4400, 154_400]);
    expect(rounds.every(([, macs]) => macs.length === 2)).toBe(true);
    const before = lan.frames.length;
    await give(announcer, everywhere(FOUR));
    announcer.setInterfaces([ETH0]);
    expect(lan.frames).toHaveLength(before);
    await give(announcer, everywhere(FOUR, SIX));
    expect(told(lan, before)).toHaveLength(2);
  });

  it('counts what it does not answer by the reason', async () => {
    const { announcer, values } = makeAnnouncer(lan.port('eth0').open, {
      ...ALWAYS,
      holds: (address) => address !== SIX,
    });
    announcer.setInterfaces([ETH0]);
    await give(
      announcer,
      new Map<Ip, InterfaceChoice>([
        [FOUR, new Set(['eth1'])],
        [SIX, 'all'],
      ]),
    );
    for (const address of [FOUR, SIX, ip('192.0.2.11') as Ipv4]) await answersTo(address); // written in IPv4
    const dropped = await values('fairlead_arp_frames_dropped_total');
    expect(
      Object.fromEntries(
        dropped.filter(({ value }) => value > 0).map((each) => [each.labels.reason, each.value]),
      ),
    ).toEqual({
      'wrong interface': 1,
      'no right to answer': 1,
      'not our address': 1,
    });
  });

  it('answers and announces no longer than its right, unless it is renewed', async () => {
    const until = new Map<Ip, number>([[FOUR, 500]]);
    const { announcer } = makeAnnouncer(lan.port('eth0').open, {
      holds: (address) => until.has(address),
      until: (address) => until.get(address) ?? 0,
    });
    announcer.setInterfaces([ETH0]);
    await give(announcer, everywhere(FOUR, SIX));
    expect(await answersTo(FOUR)).toEqual([MAC]);
    expect(await answersTo(SIX)).toEqual([]);
    await clock.advance(400);
    until.set(FOUR, 900);
    announcer.renew();
    await clock.advance(400);
    expect(await answersTo(FOUR)).toEqual([MAC]);
    await clock.advance(90);
    host.ask(FOUR); // the frame is under way when the right ends
    await clock.advance(10);
    expect(await answersTo(FOUR)).toEqual([]);
    host.heard.length = 0;
    await clock.advance(200_000);
    expect(host.heard).toEqual([]);
  });

  it('announces anew what it may answer for again, and falls silent with a right that is taken back', async () => {
    const rights = new Set<Ip>([FOUR]);
    const { announcer } = makeAnnouncer(lan.port('eth0').open, {
      ...ALWAYS,
      holds: (address) => rights.has(address),
    });
    announcer.setInterfaces([ETH0]);
    await give(announcer, everywhere(FOUR, SIX));
    await clock.advance(10_000);
    rights.add(SIX);
    rights.delete(FOUR);
    host.ask(FOUR); // under way when the right is taken back
    const before = lan.frames.length;
    announcer.renew([FOUR, SIX]);
    await settled();
    expect(host.answers).toEqual([]);
    await clock.advance(21);
    expect(told(lan, before).map((frame) => parseNdp(frame).kind)).toEqual([
      'advertisement',
      'advertisement',
    ]);
    expect(await answersTo(SIX)).toEqual([MAC]);
    const sent = lan.frames.length;
    announcer.renew();
    expect(lan.frames).toHaveLength(sent);
  });

  it('is not told of a lease that is renewed, and checks and announces anew one that had ended', async () => {
    const cells = new BigInt64Array(new SharedArrayBuffer(8));
    const last = () => Atomics.store(cells, 0, process.hrtime.bigint() + 3_600_000_000_000n);
    let grant: number | undefined;
    const { announcer } = makeAnnouncer(lan.port('eth0').open, {
      holds: () => grant !== undefined,
      until: () => Number.POSITIVE_INFINITY,
      lease: () => (grant === undefined ? undefined : { deadline: { cells, index: 0 }, grant }),
    });
    announcer.setInterfaces([ETH0]);
    await give(announcer, everywhere(FOUR));
    expect(await answersTo(FOUR)).toEqual([]);
    grant = 1;
    last();
    announcer.renew();
    expect(await answersTo(FOUR)).toEqual([]); // it is asked for first
    await clock.advance(21);
    expect(await answersTo(FOUR)).toEqual([MAC]);
    Atomics.store(cells, 0, 1n);
    expect(await answersTo(FOUR)).toEqual([]);
    last();
    announcer.renew();
    expect(await answersTo(FOUR)).toEqual([MAC]);
    grant = 2;
    announcer.renew();
    expect(await answersTo(FOUR)).toEqual([]);
    await clock.advance(21);
    expect(await answersTo(FOUR)).toEqual([MAC]);
    grant = undefined;
    announcer.renew();
    expect(await answersTo(FOUR)).toEqual([]);
  });

  it('counts what it gains and loses, and how long it takes until a gain is answered for', async () => {
    const { announcer, values } = makeAnnouncer(lan.port('eth0').open);
    announcer.setInterfaces([ETH0]);
    announcer.reconcile(everywhere(FOUR, SIX), (address) => address === FOUR);
    await clock.advance(1_000);
    announcer.reconcile(everywhere(FOUR));
    expect(await values('fairlead_arp_address_changes_total')).toMatchObject([
      { labels: { change: 'gained' }, value: 2 },
      { labels: { change: 'lost' }, value: 1 },
    ]);
    const taken = (await values('fairlead_arp_claim_seconds')) as { metricName?: string; value: number }[]; // histograms name theirs
    expect(taken.filter(({ metricName }) => metricName?.endsWith('_sum'))).toMatchObject([
      { labels: { use: 'again' }, value: 0.021 },
      { labels: { use: 'first' }, value: 0.153 },
    ]);
  });

  it('counts other hosts that speak for an address of ours', async () => {
    const { announcer, values } = makeAnnouncer(lan.port('eth0').open);
    announcer.setInterfaces([ETH0]);
    await give(
      announcer,
      new Map<Ip, InterfaceChoice>([
        [FOUR, 'all'],
        [ip('192.0.2.12'), new Set(['eth1'])],
      ]),
    );
    for (const senderIp of [FOUR, ip('192.0.2.12') as Ipv4]) // written in IPv4
      host.send('arp', arpRequest(FOUR, { senderIp, senderMac: OTHER_MAC, source: OTHER_MAC }));
    await settled();
    expect(await values('fairlead_arp_foreign_claims_total')).toMatchObject([
      { labels: { protocol: 'arp' }, value: 1 },
    ]);
  });
});

describe('an address that another host has, too', () => {
  const RIVAL = '02:00:00:00:00:66' as Mac; // written as one
  let rival: Announcer;

  beforeEach(async () => {
    rival = makeAnnouncer(lan.port('eth0').open).announcer;
    rival.setInterfaces([networkInterface('eth0', { mac: RIVAL })]);
    await give(rival, everywhere(FOUR, SIX));
    await clock.advance(10_000);
  });
  const make = (policy: ConflictPolicy) => {
    const made = makeAnnouncer(lan.port('eth0').open, ALWAYS, policy);
    made.announcer.setInterfaces([ETH0]);
    return made;
  };

  it.each([
    [FOUR, true],
    [FOUR, false],
    [SIX, true],
    [SIX, false],
  ])('%s is withheld within a second, and had once that host has given it up', async (address, isFirst) => {
    // The rival keeps it, so that there are two.
    const other = makeAnnouncer(lan.port('eth0').open, ALWAYS, 'keep').announcer;
    rival.close();
    other.setInterfaces([networkInterface('eth0', { mac: RIVAL })]);
    await give(other, everywhere(address));
    const { announcer, conflicts, values, logged } = make('withhold');
    const before = lan.frames.length;
    announcer.reconcile(everywhere(address), () => isFirst);
    await clock.advance(1_000);
    expect(conflicts).toEqual([[address, RIVAL]]);
    expect(await answersTo(address)).toEqual([RIVAL]);
    expect(told(lan, before).filter((frame) => macAt(frame, 6) === MAC)).toEqual([]);
    expect(await values('fairlead_arp_addresses_in_conflict')).toMatchObject([{ value: 1 }]);
    expect(logged.at(-1)).toMatchObject({ msg: 'another host has this address', mac: RIVAL });
    await clock.advance(60_000);
    expect(conflicts).toHaveLength(1);
    other.close();
    await clock.advance(3_000);
    expect(conflicts.slice(1)).toEqual([[address, undefined]]);
    expect(await answersTo(address)).toEqual([MAC]);
    expect(await values('fairlead_arp_addresses_in_conflict')).toMatchObject([{ value: 0 }]);
    expect(await values('fairlead_arp_conflicts_total')).toMatchObject([{ value: 1 }]);
    announcer.close();
  });

  it('is kept where the operator wants it so: told of, defended now and then, and answered all the while', async () => {
    const { announcer, conflicts } = make('keep');
    announcer.reconcile(everywhere(FOUR));
    await clock.advance(1_000);
    expect(conflicts).toEqual([[FOUR, RIVAL]]);
    expect(await answersTo(FOUR)).toContain(MAC);
    announcer.close();
  });

  it('is taken over at once from a host that falls silent when it is asked', async () => {
    const { announcer, conflicts } = make('withhold');
    announcer.reconcile(everywhere(FOUR));
    await clock.advance(50);
    expect(await answersTo(FOUR)).toEqual([RIVAL]);
    rival.reconcile(new Map());
    await clock.advance(160);
    expect(await answersTo(FOUR)).toEqual([MAC]);
    expect(conflicts).toEqual([]);
  });

  it('is no conflict when the other host is another interface of this node', async () => {
    const { announcer, conflicts } = make('withhold');
    announcer.setInterfaces([ETH0, networkInterface('eth1', { index: 3, mac: RIVAL })]);
    announcer.reconcile(everywhere(FOUR));
    await clock.advance(1_000);
    expect(conflicts).toEqual([]);
    expect(await answersTo(FOUR)).toContain(MAC);
    announcer.close();
  });

  it('is over when the address is withdrawn', async () => {
    const { announcer, conflicts } = make('withhold');
    const other = makeAnnouncer(lan.port('eth0').open, ALWAYS, 'keep').announcer;
    rival.close();
    other.setInterfaces([networkInterface('eth0', { mac: RIVAL })]);
    await give(other, everywhere(FOUR));
    announcer.reconcile(everywhere(FOUR));
    await clock.advance(1_000);
    announcer.reconcile(new Map());
    expect(conflicts).toEqual([
      [FOUR, RIVAL],
      [FOUR, undefined],
    ]);
    other.close();
  });
});

describe('interfaces', () => {
  let second: VirtualWire;
  let beyond: AskingHost;
  const ETH1 = networkInterface('eth1', { index: 3, mac: OTHER_MAC });

  beforeEach(() => {
    second = new VirtualWire();
    beyond = new AskingHost(second.port().open);
  });

  /** A node with eth0 on the LAN and eth1 on the second wire. */
  function twoPorts() {
    const ports = { eth0: lan.port('eth0'), eth1: second.port('eth1') };
    const open: OpenPacketSocket = (options) =>
      (options.interfaceName === 'eth1' ? ports.eth1 : ports.eth0).open(options);
    return { ...ports, open };
  }

  it('answer for the addresses that choose them', async () => {
    const { announcer } = makeAnnouncer(twoPorts().open);
    announcer.setInterfaces([ETH0, ETH1]);
    await give(
      announcer,
      new Map<Ip, InterfaceChoice>([
        [FOUR, new Set(['eth1'])],
        [SIX, 'all'],
      ]),
    );
    expect(await answersTo(FOUR)).toEqual([]);
    expect(await answersTo(FOUR, beyond)).toEqual([OTHER_MAC]);
    expect(await answersTo(SIX)).toEqual([MAC]);
    expect(await answersTo(SIX, beyond)).toEqual([OTHER_MAC]);
  });

  it('follow a choice that changes', async () => {
    const { announcer } = makeAnnouncer(twoPorts().open);
    announcer.setInterfaces([ETH0, ETH1]);
    await give(announcer, new Map([[SIX, new Set(['eth0'])]]));
    await clock.advance(10_000);
    const before = second.frames.length;
    await give(announcer, new Map([[SIX, new Set(['eth1'])]]));
    expect(told(second, before)).toHaveLength(2); // announced where it is new
    expect(await answersTo(SIX)).toEqual([]);
    expect(await answersTo(SIX, beyond)).toEqual([OTHER_MAC]);
    await give(announcer, everywhere(SIX));
    expect(await answersTo(SIX)).toEqual([MAC]);
  });

  it("on the address's own subnet are preferred, as long as there are any", async () => {
    const near = { address: ip('192.0.2.7'), prefixLength: 24, scope: 'global' } as const;
    const { announcer } = makeAnnouncer(twoPorts().open);
    announcer.setInterfaces([ETH0, { ...ETH1, addresses: [near] }]);
    await give(announcer, everywhere(FOUR, SIX));
    expect(await answersTo(FOUR)).toEqual([]);
    expect(await answersTo(FOUR, beyond)).toEqual([OTHER_MAC]);
    expect(await answersTo(SIX)).toEqual([MAC]);
    announcer.setInterfaces([{ ...ETH0, addresses: [near] }, ETH1]);
    expect(await answersTo(FOUR)).toEqual([MAC]);
    expect(await answersTo(FOUR, beyond)).toEqual([]);
    announcer.setInterfaces([{ ...ETH0, addresses: [near], carrier: false }, ETH1]);
    expect(await answersTo(FOUR, beyond)).toEqual([OTHER_MAC]);
  });

  it('that are excluded from now on are left alone, and those that no longer are, announced on', async () => {
    const { announcer } = makeAnnouncer(twoPorts().open);
    announcer.setInterfaces([ETH0, ETH1]);
    await give(announcer, everywhere(FOUR));
    announcer.setExcluded(/^eth0$/);
    expect(await answersTo(FOUR)).toEqual([]);
    expect(await answersTo(FOUR, beyond)).toEqual([OTHER_MAC]);
    announcer.setExcluded(/^eth1$/);
    expect(await answersTo(FOUR)).toEqual([MAC]);
    expect(await answersTo(FOUR, beyond)).toEqual([]);
  });

  it('that appear are announced on with all that is there, groups included', async () => {
    const { announcer } = makeAnnouncer(twoPorts().open);
    announcer.setInterfaces([ETH0]);
    await give(announcer, everywhere(FOUR, SIX));
    await clock.advance(10_000);
    announcer.setInterfaces([ETH0, ETH1]);
    expect(told(second)).toHaveLength(4);
    expect(await answersTo(SIX, beyond)).toEqual([OTHER_MAC]);
    expect(await answersTo(FOUR, beyond)).toEqual([OTHER_MAC]);
  });

  it('that disappear, go down or lose their cable are left alone', async () => {
    const { announcer } = makeAnnouncer(twoPorts().open);
    await give(announcer, everywhere(FOUR));
    for (const changed of [[], [{ ...ETH1, up: false }], [{ ...ETH1, carrier: false }]]) {
      announcer.setInterfaces([ETH0, ETH1]);
      expect(await answersTo(FOUR, beyond)).toEqual([OTHER_MAC]);
      announcer.setInterfaces([ETH0, ...changed]);
      expect(await answersTo(FOUR, beyond)).toEqual([]);
      expect(await answersTo(FOUR)).toEqual([MAC]);
    }
  });

  it.each([
    ['another MAC address', { mac: OTHER_MAC }, OTHER_MAC],
    ['another index, made anew under the old name', { index: 9 }, MAC],
  ])('with %s are announced on anew', async (_, changes, expected) => {
    const { announcer } = makeAnnouncer(lan.port('eth0').open);
    announcer.setInterfaces([ETH0]);
    await give(announcer, everywhere(SIX));
    await clock.advance(10_000);
    const before = lan.frames.length;
    announcer.setInterfaces([{ ...ETH0, ...changes }]);
    expect(told(lan, before).map((frame) => macAt(frame, 6))).toEqual([expected, expected]);
    expect(await answersTo(SIX)).toEqual([expected]);
  });

  it('that break do not stop the others, and are opened again after a second', async () => {
    const ports = twoPorts();
    const { announcer, logged } = makeAnnouncer(ports.open);
    announcer.setInterfaces([ETH0, ETH1]);
    await give(announcer, everywhere(FOUR, SIX));
    second.fail('ENETDOWN', ports.eth1);
    expect(await answersTo(FOUR)).toEqual([MAC]);
    expect(await answersTo(FOUR, beyond)).toEqual([]);
    expect(logged.filter(({ msg }) => msg === 'an interface broke')).toMatchObject([{ interface: 'eth1' }]);
    await clock.advance(1_000);
    expect(await answersTo(FOUR, beyond)).toEqual([OTHER_MAC]);
    expect(await answersTo(SIX, beyond)).toEqual([OTHER_MAC]);
  });

  it('that broke and are gone by then are not opened again', async () => {
    const ports = twoPorts();
    const { announcer, logged } = makeAnnouncer(ports.open);
    announcer.setInterfaces([ETH0, ETH1]);
    second.fail('ENETDOWN', ports.eth1);
    announcer.setInterfaces([ETH0]);
    await clock.advance(10_000);
    expect(logged.filter(({ msg }) => msg === 'announcing on an interface')).toHaveLength(2);
  });

  it('that cannot be opened are named once with what is missing, tried again, and do not stop the others', async () => {
    const ports = twoPorts();
    let isAllowed = false;
    const { announcer, logged } = makeAnnouncer((options) => {
      if (options.interfaceName === 'eth0' && !isAllowed)
        throw Object.assign(new Error('opening it needs the capability CAP_NET_RAW'), { code: 'EPERM' });
      return ports.open(options);
    });
    announcer.setInterfaces([ETH0, ETH1]);
    await give(announcer, everywhere(FOUR));
    expect(await answersTo(FOUR, beyond)).toEqual([OTHER_MAC]);
    await clock.advance(5_000);
    expect(logged.filter(({ level }) => level >= 50)).toMatchObject([
      { interface: 'eth0', error: 'opening it needs the capability CAP_NET_RAW' },
    ]);
    isAllowed = true;
    await clock.advance(1_000);
    expect(await answersTo(FOUR)).toEqual([MAC]);
  });

  it('without IPv6 still answer for IPv4 addresses, old and new', async () => {
    const port = lan.port('eth0');
    const { announcer, logged } = makeAnnouncer((options) => ({
      ...port.open(options),
      joinGroup: () => {
        throw Object.assign(new Error('it needs IPv6 on the interface'), { code: 'EINVAL' });
      },
    }));
    await give(announcer, everywhere(SIX, FOUR));
    announcer.setInterfaces([ETH0]);
    expect(await answersTo(FOUR)).toEqual([MAC]);
    const later = ip('192.0.2.12') as Ipv4; // written in IPv4
    await give(announcer, everywhere(ip('2001:db8::2'), SIX, later));
    expect(await answersTo(later)).toEqual([MAC]);
    expect(await answersTo(SIX)).toEqual([]);
    expect(logged.filter(({ level }) => level >= 50)).toMatchObject([{ interface: 'eth0' }]);
  });

  it('are closed at the end: nothing is answered, sent or opened any more', async () => {
    const ports = twoPorts();
    let opened = 0;
    const { announcer } = makeAnnouncer((options) => {
      opened++;
      return ports.open(options);
    });
    announcer.setInterfaces([ETH0, ETH1]);
    await give(announcer, everywhere(FOUR, SIX));
    second.fail('ENETDOWN', ports.eth1);
    announcer.close();
    const before = [lan.frames.length, second.frames.length];
    await clock.advance(1_000_000);
    expect([lan.frames.length, second.frames.length]).toEqual(before);
    expect(opened).toBe(4); // two sockets an interface
    expect(await answersTo(FOUR)).toEqual([]);
    expect(await answersTo(SIX)).toEqual([]);
  });
});

describe('several announcers on one wire', () => {
  const pool = { name: 'pool', labels: {}, ranges: [] };
  const announced = Array.from({ length: 30 }, (_, i) => {
    const address = i % 2 === 0 ? ip(`192.0.2.${i}`) : ip(`2001:db8::${i}`);
    return { address: address as Ipv4 | Ipv6, pool, services: [], serviceLabels: [{}] };
  });
  const names = ['a', 'b', 'c', 'd'];
  const macs = new Map(names.map((name, i) => [name, `02:00:00:00:01:0${i}` as Mac])); // written as one

  function makeNode(name: string) {
    const { announcer } = makeAnnouncer(lan.port('eth0').open);
    const mac = macs.get(name);
    announcer.setInterfaces([networkInterface('eth0', { mac })]);
    const hear = async (alive: ReadonlySet<string>) => {
      const nodes = names.map((each) => ({ metadata: { name: each } }));
      const candidates = candidateNodes(nodes, { isAlive: (each) => alive.has(each) });
      await give(announcer, interfacesOf(elections(announced, [], candidates, name).own));
    };
    return { announcer, hear };
  }

  it('give exactly one answer for each address, of the same node until that node is lost', async () => {
    const nodes = new Map(names.map((name) => [name, makeNode(name)]));
    const answers = async () => {
      const found = new Map<Ip, Mac[]>();
      for (const { address } of announced) found.set(address, await answersTo(address));
      return found;
    };
    for (const { hear } of nodes.values()) await hear(new Set(names));
    const before = await answers();
    for (const macs of before.values()) expect(macs).toHaveLength(1);
    expect(new Set([...before.values()].flat()).size).toBe(names.length);

    nodes.get('b')?.announcer.close();
    const lost = macs.get('b');
    await clock.advance(10_000);
    host.heard.length = 0;
    for (const [name, { hear }] of nodes) if (name !== 'b') await hear(new Set(['a', 'c', 'd']));
    const moved = [...before].filter(([, [mac]]) => mac === lost).map(([address]) => address);
    const spoken = host.heard.map((frame) => (frame.kind === 'arp' ? frame.senderIp : frame.targetIp));
    expect(new Set(spoken.filter((address) => address !== '0.0.0.0'))).toEqual(new Set(moved));
    const after = await answers();
    for (const [address, macs] of after) {
      expect(macs).toHaveLength(1);
      if (moved.includes(address)) expect(macs).not.toEqual([lost]);
      else expect(macs).toEqual(before.get(address));
    }
  });
});
