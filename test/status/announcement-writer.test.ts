// When announcements are written: on change, by who speaks for the address, and never otherwise.
import { beforeEach, describe, expect, it } from 'vitest';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import { type KubeApi, KubeError } from '../../src/kube/kube-api.ts';
import { type Ip, ip } from '../../src/net/address.ts';
import { createLogger } from '../../src/observe/logger.ts';
import type { Announced } from '../../src/status/announcement.ts';
import { AnnouncementWriter } from '../../src/status/announcement-writer.ts';

const [A, B] = [ip('192.0.2.1'), ip('192.0.2.2')];

function announced(address: Ip, changes: Partial<Announced> = {}): Announced {
  return {
    address,
    services: ['default/web'],
    pool: 'lan',
    node: 'a',
    since: new Date(0),
    interfaces: ['eth0'],
    reason: 'no other node may announce it',
    standbys: [],
    losers: new Map(),
    conflict: undefined,
    keeps: false,
    verdict: undefined,
    ...changes,
  };
}

let clock: VirtualClock;
let written: string[];
let fails: boolean;
let speaks: (announced: Announced) => boolean;
let writer: AnnouncementWriter;

beforeEach(() => {
  clock = new VirtualClock();
  written = [];
  fails = false;
  speaks = () => true;
  const api = {
    async patch(_: unknown, { name }: { name: string }) {
      if (fails) throw new KubeError(0, 'ECONNREFUSED', 'connect ECONNREFUSED');
      written.push(name);
    },
  };
  writer = new AnnouncementWriter({
    api: api as unknown as KubeApi, // it only patches
    clock,
    log: createLogger({ component: 'test', level: 'silent' }),
    speaksFor: (each) => speaks(each),
  });
});

async function settled(): Promise<string[]> {
  await new Promise((resolve) => setImmediate(resolve));
  return written.splice(0);
}

describe('what is told', () => {
  it('is written once, and again only when it changes', async () => {
    writer.tell([announced(A), announced(B)]);
    expect(await settled()).toEqual([A, B]);
    writer.tell([announced(A), announced(B)]);
    await clock.advance(3_600_000);
    writer.tell([announced(A), announced(B)]);
    expect(await settled()).toEqual([]);
    const conflict = { mac: '02:00:00:00:00:01', interfaceName: 'eth0' };
    writer.tell([announced(A, { conflict }), announced(B)]);
    expect(await settled()).toEqual([A]);
  });

  it('of other nodes waits a while, so that one node that goes is one write an address', async () => {
    writer.tell([announced(A)]);
    await settled();
    writer.tell([announced(A, { losers: new Map([['b', 'it is not Ready']]) })]);
    writer.tell([announced(A, { losers: new Map([['b', 'it is cordoned']]) })]);
    expect(await settled()).toEqual([]);
    await clock.advance(3_000);
    expect(await settled()).toEqual([A]);
    writer.tell([announced(A, { losers: new Map([['b', 'it is not Ready']]) })]);
    writer.tell([announced(A, { losers: new Map([['b', 'it is cordoned']]) })]); // as it is written already
    await clock.advance(3_000);
    expect(await settled()).toEqual([]);
  });

  it('of what other nodes see is written at once where it is wrong, and with the rest where it is well', async () => {
    writer.tell([announced(A)]);
    await settled();
    writer.tell([announced(A, { verdict: 'verified' })]);
    expect(await settled()).toEqual([]);
    await clock.advance(3_000);
    expect(await settled()).toEqual([A]);
    writer.tell([announced(A, { verdict: 'not seen' })]);
    expect(await settled()).toEqual([A]);
  });

  it('is not written by a node that has lost the address by the time of the write', async () => {
    speaks = ({ address }) => address !== A;
    writer.tell([announced(A), announced(B)]);
    expect(await settled()).toEqual([B]);
  });

  it('of an address that comes back is written anew: another node wrote meanwhile', async () => {
    writer.tell([announced(A)]);
    await settled();
    writer.tell([]);
    writer.tell([announced(A)]);
    expect(await settled()).toEqual([A]);
  });

  it('is tried again while the API server is away, and then says what is so by then', async () => {
    fails = true;
    writer.tell([announced(A), announced(B)]);
    expect(await settled()).toEqual([]);
    writer.tell([announced(B)]);
    await clock.advance(5_000);
    expect(await settled()).toEqual([]);
    fails = false;
    await clock.advance(5_000);
    expect(await settled()).toEqual([B]);
  });

  it('is not written any more once it is closed', async () => {
    fails = true;
    writer.tell([announced(A)]);
    await settled();
    fails = false;
    writer.close();
    await clock.advance(60_000);
    expect(await settled()).toEqual([]);
  });
});
