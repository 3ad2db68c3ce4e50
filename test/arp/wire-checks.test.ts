// What follows from what other nodes see on the wire.
import { beforeEach, describe, expect, it } from 'vitest';
import { type Sight, WireChecks } from '../../src/arp/wire-checks.ts';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import { type Ip, ip } from '../../src/net/address.ts';
import { type Mac, macAt } from '../../src/net/mac.ts';

const A = ip('192.0.2.1');
const mac = (last: number): Mac => macAt(Uint8Array.of(2, 0, 0, 0, 0, last));
const [OURS, FOREIGN] = [mac(1), mac(9)];
const seen = (...macs: Mac[]): Sight => ({ kind: 'seen', macs });

let clock: VirtualClock;
let sight: Sight;
let looks: Ip[];
let announced: Ip[];
let verdicts: string[];
let checks: WireChecks;

beforeEach(() => {
  clock = new VirtualClock();
  sight = seen(OURS);
  looks = [];
  announced = [];
  verdicts = [];
  checks = new WireChecks({
    clock,
    look: async (address) => {
      looks.push(address);
      return sight;
    },
    ours: () => new Set([OURS]),
    announce: (address) => announced.push(address),
    onVerdict: (_, verdict, before) => verdicts.push(`${verdict} after ${before}`),
  });
});

describe('an address', () => {
  it('that another node resolves to one of our MACs is verified, and left alone', async () => {
    checks.begin(A);
    await clock.advance(600_000);
    expect(looks).toEqual([A]);
    expect(verdicts).toEqual(['verified after undefined']);
    expect(announced).toEqual([]);
  });

  it.each([
    ['nobody answers for', seen(), 'not seen'],
    ['another host answers for', seen(FOREIGN), 'other host'],
    ['another host answers for beside us', seen(OURS, FOREIGN), 'other host'],
  ])(
    'that %s is announced again, then reported, and looked at until it is well',
    async (_, what, verdict) => {
      sight = what;
      checks.begin(A);
      await clock.advance(1_000);
      expect(announced).toEqual([A]);
      expect(verdicts).toEqual([]); // once may be chance
      await clock.advance(2_000);
      expect(announced).toEqual([A, A, A]);
      expect(verdicts).toEqual([`${verdict} after undefined`]);
      sight = seen(OURS);
      await clock.advance(5_000);
      expect(verdicts.at(-1)).toBe(`verified after ${verdict}`);
      const { length } = looks;
      await clock.advance(600_000);
      expect(looks).toHaveLength(length);
    },
  );

  it.each<Sight>([{ kind: 'elsewhere' }, { kind: 'no witness' }])(
    'that nobody is there to look at is not announced again, and asked for seldom: $kind',
    async (what) => {
      sight = what;
      checks.begin(A);
      await clock.advance(60_000);
      expect(announced).toEqual([]);
      expect(verdicts).toEqual(['no witness after undefined']);
      expect(looks).toHaveLength(3);
      sight = seen(OURS);
      await clock.advance(120_000);
      expect(verdicts.at(-1)).toBe('verified after no witness');
    },
  );

  it('that is answered for no more is not looked at, nor is anything said of a look under way', async () => {
    checks.begin(A);
    checks.end(A);
    await clock.advance(60_000);
    expect(looks).toEqual([]);
    const answer = Promise.withResolvers<Sight>();
    const slow = new WireChecks({
      clock,
      look: () => answer.promise,
      ours: () => new Set([OURS]),
      announce: (address) => announced.push(address),
      onVerdict: (_, verdict) => verdicts.push(verdict),
    });
    slow.begin(A);
    await clock.advance(1_000);
    slow.close();
    answer.resolve(seen(FOREIGN));
    await clock.advance(60_000);
    expect([...verdicts, ...announced]).toEqual([]);
  });
});

it('a thousand addresses at once are looked at a few at a time, and all of them', async () => {
  const answers: ((sight: Sight) => void)[] = [];
  const many = new WireChecks({
    clock,
    look: () => new Promise((resolve) => answers.push(resolve)),
    ours: () => new Set([OURS]),
    announce: () => {},
    onVerdict: (_, verdict) => verdicts.push(verdict),
  });
  for (let i = 0; i < 1_000; i++) many.begin(ip(`198.51.${i >> 8}.${i & 255}`));
  await clock.advance(1_000);
  expect(answers).toHaveLength(8);
  for (let next = answers.shift(); next; next = answers.shift()) {
    next(seen(OURS));
    await clock.advance(0);
    expect(answers.length).toBeLessThanOrEqual(8);
  }
  expect(verdicts).toHaveLength(1_000);
});
