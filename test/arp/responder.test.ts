// One interface's answers, on a virtual wire.
import { beforeEach, describe, expect, it } from 'vitest';
import { answeringInTypeScript } from '../../src/arp/answering-in-typescript.ts';
import { type Claim, Responder } from '../../src/arp/responder.ts';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import { type Ipv4, type Ipv6, ip } from '../../src/net/address.ts';
import { type Mac, UNSPECIFIED_MAC } from '../../src/net/mac.ts';
import { type VirtualPort, VirtualWire } from '../../src/sockets/virtual-wire.ts';
import { AskingHost, arpRequest, HOST_MAC, solicitation } from './asking-host.ts';

const MAC = '02:00:00:00:00:0a' as Mac; // written as one
const FOUR = ip('192.0.2.10') as Ipv4; // written in IPv4
const SIX = ip('2001:db8::12:3456') as Ipv6; // written in IPv6
const SAME_GROUP = ip('2001:db8:1::12:3456') as Ipv6; // written in IPv6
const EVER = Number.POSITIVE_INFINITY;

let wire: VirtualWire;
let port: VirtualPort;
let host: AskingHost;
let clock: VirtualClock;
let claims: Claim[];
let errors: string[];
let responder: Responder;

beforeEach(() => {
  wire = new VirtualWire();
  port = wire.port('eth0');
  host = new AskingHost(wire.port().open);
  clock = new VirtualClock();
  claims = [];
  errors = [];
  responder = new Responder({
    open: answeringInTypeScript(port.open, clock),
    interface: { index: 2, name: 'eth0', mac: MAC, subnets: [] },
    onClaim: (claim) => void claims.push(claim),
    onError: ({ message }) => void errors.push(message),
  });
  return () => responder.close();
});

/** Frames are carried, and answered, in microtasks. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

const answered = async (address: Ipv4 | Ipv6) => {
  host.ask(address);
  await settled();
  return host.answers.length;
};

describe('a responder', () => {
  it('answers until the right ends, refuses for another interface, and forgets', async () => {
    responder.answer(FOUR, 1_000, 'no right to answer');
    expect(await answered(FOUR)).toBe(1);
    await clock.advance(1_000);
    expect(await answered(FOUR)).toBe(0);
    responder.answer(FOUR, EVER, 'no right to answer');
    expect(await answered(FOUR)).toBe(1);
    responder.answer(FOUR, 0, 'wrong interface');
    expect(await answered(FOUR)).toBe(0);
    responder.answer(FOUR, EVER, 'no right to answer');
    responder.forget(FOUR);
    expect(await answered(FOUR)).toBe(0);
    expect(responder.counts()).toMatchObject({
      'answered arp': 2,
      'no right to answer': 1,
      'wrong interface': 1,
      'not our address': 1,
    });
  });

  it('stays in a group until the last address of it is gone', async () => {
    responder.answer(SIX, EVER, 'no right to answer');
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
    responder.answer(FOUR, EVER, 'no right to answer');
    responder.join(FOUR);
    responder.leave(FOUR);
    host.ask(FOUR);
    await settled();
    expect(host.answers).toEqual([MAC]);
  });

  it('tells of an IPv4 address by both forms of gratuitous ARP', async () => {
    responder.answer(FOUR, EVER, 'no right to answer');
    expect(responder.announce(FOUR)).toBe(2);
    await settled();
    const same = { kind: 'arp', source: MAC, destination: 'ff:ff:ff:ff:ff:ff', senderMac: MAC };
    expect(host.heard).toEqual([
      { ...same, operation: 'request', senderIp: FOUR, targetIp: FOUR, targetMac: UNSPECIFIED_MAC },
      { ...same, operation: 'reply', senderIp: FOUR, targetIp: FOUR, targetMac: MAC },
    ]);
  });

  it('tells of an IPv6 address to all nodes and routers', async () => {
    responder.answer(SIX, EVER, 'no right to answer');
    expect(responder.announce(SIX)).toBe(2);
    await settled();
    expect(host.heard).toMatchObject([
      { targetIp: SIX, targetMac: MAC, destinationIp: 'ff02::1', solicited: false, override: true },
      { targetIp: SIX, targetMac: MAC, destinationIp: 'ff02::2', solicited: false, override: true },
    ]);
  });

  it('announces nothing that it may not answer for', async () => {
    expect(responder.announce(FOUR)).toBe(0);
    responder.answer(FOUR, 0, 'no right to answer');
    expect(responder.announce(FOUR)).toBe(0);
    await settled();
    expect(host.heard).toEqual([]);
  });

  it('tells who claims an address, or checks whether it may have one that is not answered for', async () => {
    const other = '02:00:00:00:00:66' as Mac; // written as one
    responder.answer(FOUR, EVER, 'no right to answer');
    responder.answer(SIX, 0, 'no right to answer');
    responder.join(SIX);
    host.send('arp', arpRequest(FOUR, { senderIp: FOUR, senderMac: other, source: other }));
    host.send('ndp', solicitation(SIX, { senderIp: ip('::') as Ipv6, senderMac: undefined })); // written in IPv6
    await settled();
    expect(claims).toEqual([
      { address: FOUR, mac: other },
      { address: SIX, mac: HOST_MAC },
    ]);
    await clock.advance(100);
    responder.answer(FOUR, 0, 'no right to answer');
    host.send('arp', arpRequest(FOUR, { senderIp: ip('0.0.0.0') as Ipv4 })); // written in IPv4
    await settled();
    expect(claims.at(-1)).toEqual({ address: FOUR, mac: HOST_MAC });
  });

  it('tells once that its interface broke', () => {
    wire.fail('ENETDOWN', port);
    expect(errors).toHaveLength(1);
    expect(errors[0]).toContain('eth0');
  });
});
