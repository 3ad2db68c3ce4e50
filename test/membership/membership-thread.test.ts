// Membership threads that talk over real sockets: leases between processes' threads, who else may speak, and keys.
import { createSocket } from 'node:dgram';
import { afterEach, describe, expect, it } from 'vitest';
import { newKeyData, parseKeys } from '../../src/membership/keys.ts';
import { MembershipThread } from '../../src/membership/membership-thread.ts';
import type { Keys } from '../../src/membership/seal.ts';
import { addressTowards } from '../../src/membership/udp.ts';
import { type Ip, ip } from '../../src/net/address.ts';
import { macAt } from '../../src/net/mac.ts';
import { until } from '../lab/running-lab.ts';

const A = ip('192.0.2.200');
const B = ip('2001:db8::200');
const KEYS = keysOf(newKeyData());

function keysOf(data: Readonly<Record<string, string>>): Keys {
  const read = parseKeys(data);
  if (read.kind === 'malformed') throw new Error(read.problem);
  return read.value;
}

interface Running {
  readonly thread: MembershipThread;
  readonly port: number;
  readonly heard: Map<string, number>;
  /** Who had addresses before. */
  readonly former: Map<Ip, string>;
}

const NEAR = ip('192.0.2.9');
const MAC = macAt(Uint8Array.of(2, 0, 0, 0, 0, 9));
const running: MembershipThread[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((thread) => thread.close()));
});

async function start(id: string, keys: Keys, holds = true): Promise<Running> {
  const listening = Promise.withResolvers<number>();
  const heard = new Map<string, number>();
  const former = new Map<Ip, string>();
  const thread = new MembershipThread({
    id,
    port: 0,
    holds,
    keys,
    onChange: () => {},
    onGained: () => {},
    onHeard: (from, epoch) => heard.set(from, epoch),
    onFormer: (told) => {
      for (const [address, node] of told) former.set(address, node);
    },
    onLook: async (address) => ({ near: address === NEAR, macs: address === NEAR ? [MAC] : [] }),
    onListening: listening.resolve,
    onProblem: (message) => listening.reject(new Error(message)),
  });
  running.push(thread);
  return { thread, port: await listening.promise, heard, former };
}

function rosterOf(members: Readonly<Record<string, Running>>, host: Ip) {
  return { epoch: 1, voters: Object.entries(members).map(([id, { port }]) => ({ id, host, port })) };
}

async function holders(members: Readonly<Record<string, Running>>, address: Ip, count: number) {
  return until(
    () => Object.keys(members).filter((id) => members[id]?.thread.holds(address)),
    (ids) => ids.length === count,
  );
}

describe.each([['127.0.0.1'], ['::1']])('threads over %s', (host) => {
  it('agree who holds an address, and the next one has it when that one gives it back', async () => {
    const members = { a: await start('a', KEYS), b: await start('b', KEYS), c: await start('c', KEYS) };
    const roster = rosterOf(members, ip(host));
    for (const { thread } of Object.values(members)) thread.setRoster(roster);
    members.a.thread.want(new Set([A, B]));
    expect(await holders(members, A, 1)).toEqual(['a']);
    expect(await holders(members, B, 1)).toEqual(['a']);
    members.b.thread.want(new Set([A]));
    await until(
      () => members.b.thread.stateOf('a'),
      (state) => state === 'alive',
    );
    members.a.thread.want(new Set([B]));
    expect(members.a.thread.holds(A)).toBe(false);
    expect(await holders(members, A, 1)).toEqual(['b']);
    expect(members.b.former).toEqual(new Map([[A, 'a']]));
    await members.a.thread.close();
    await until(
      () => members.b.thread.stateOf('a'),
      (state) => state === 'dead',
    );
  });
});

describe('a thread', () => {
  it('counts and ignores what strangers say, and goes on', async () => {
    const a = await start('a', KEYS);
    a.thread.setRoster(rosterOf({ a }, ip('127.0.0.1')));
    const stranger = createSocket('udp4');
    const send = (text: string | Uint8Array) =>
      new Promise<void>((resolve) => stranger.send(text, a.port, '127.0.0.1', () => resolve()));
    await send('hello');
    await send(Buffer.alloc(3_000, 0x46));
    const other = await start('b', keysOf(newKeyData()));
    other.thread.probe([{ id: 'a', host: '127.0.0.1', port: a.port }]);
    await until(
      async () => (await a.thread.figures()).counts.refused,
      (refused) => refused['not ours'] === 1 && refused.oversized === 1 && refused['wrong key'] === 1,
    );
    stranger.close();
    a.thread.want(new Set([A]));
    expect(await holders({ a }, A, 1)).toEqual(['a']);
    expect(other.heard.size).toBe(0);
  });

  it('answers probes of its key with its epoch, also while keys are changed', async () => {
    const a = await start('a', KEYS);
    const other = newKeyData();
    const witness = await start('witness/x', keysOf(other), false);
    const probe = () => witness.thread.probe([{ id: 'a', host: '127.0.0.1', port: a.port }]);
    a.thread.setKeys([...KEYS, ...keysOf(other)]);
    witness.thread.setKeys([...keysOf(other), ...KEYS]);
    await until(
      () => {
        probe();
        return witness.heard.get('a');
      },
      (epoch) => epoch === 0,
    );
    a.thread.setRoster(rosterOf({ a }, ip('127.0.0.1')));
    await until(
      () => {
        probe();
        return witness.heard.get('a');
      },
      (epoch) => epoch === 1,
    );
    expect(a.thread.epoch).toBe(1);
  });

  it('resolve an address for each other, and wait for no answer for ever', async () => {
    const members = { a: await start('a', KEYS), b: await start('b', KEYS) };
    const roster = rosterOf(members, ip('127.0.0.1'));
    for (const { thread } of Object.values(members)) thread.setRoster(roster);
    const look = (address: Ip, to = 'b') => members.a.thread.look(to, address);
    expect(await look(NEAR)).toEqual({ near: true, macs: [MAC] });
    expect(await look(A)).toEqual({ near: false, macs: [] });
    expect(await look(A, 'stranger')).toBeUndefined();
    await members.b.thread.close();
    expect(await look(NEAR)).toBeUndefined();
  });

  it('tells how late its timers are', async () => {
    const a = await start('a', KEYS);
    const { thread } = a;
    thread.setRoster(rosterOf({ a }, ip('127.0.0.1')));
    const { delay } = await until(
      () => thread.figures(),
      (figures) => figures.delay.most > 0,
    );
    expect(delay.p50).toBeLessThanOrEqual(delay.p99);
    expect(delay.p99).toBeLessThanOrEqual(delay.most);
  });
});

it('finds the address that this machine is reached at', async () => {
  expect(await addressTowards('127.0.0.1')).toBe('127.0.0.1');
  expect(await addressTowards('::1')).toBe('::1');
});

it.each([
  ['nothing', {}, 'has no "key" of 16 bytes or more'],
  ['a short key', { key: 'c2hvcnQ=' }, 'has no "key" of 16 bytes or more'],
  ['a short second key', { ...newKeyData(), accept: '' }, 'has an "accept" of less than 16 bytes'],
])('takes no key from a Secret with %s', (_, data, problem) => {
  expect(parseKeys(data)).toEqual({ kind: 'malformed', problem });
});
