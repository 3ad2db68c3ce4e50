// How fast addresses are given, in pools of every size and with many Services.
import { type AddressPool, checkPools, readPool } from '../src/api/pool.ts';
import type { ServiceRequest } from '../src/api/service.ts';
import { Allocator } from '../src/ipam/allocator.ts';
import { quantile } from './quantile.ts';
import type { BenchRow } from './row.ts';

/** Services in the large runs. */
const MANY = 100_000;
/** Services that each pool size is asked for: what the smallest holds. */
const FEW = 200;
const SAMPLES = 2_000;
const BATCHES = 100;
/** Repetitions of what takes long; the median counts. */
const RUNS = 5;

export async function allocation(): Promise<BenchRow[]> {
  const requests = Array.from({ length: MANY }, (_, i) => requestOf(i));
  run('10.0.0.0/8', requests.slice(0, 20_000)); // so that what is compared is compiled
  const [smallest, ...larger] = ['192.168.0.0/24', '10.0.0.0/16', '10.0.0.0/8', '2001:db8::/32'].map(
    (prefix) => ({
      prefix,
      rate: repeated(prefix, requests.slice(0, FEW)),
    }),
  );
  const many = run('10.0.0.0/8', requests);
  const tenth = run('10.0.0.0/8', requests.slice(0, MANY / 10));
  return [
    {
      name: `allocate, ${FEW} Services of a pool ${smallest?.prefix}`,
      value: smallest?.rate ?? 0,
      unit: 'per second',
    },
    ...larger.map(({ prefix, rate }) => ({
      name: `allocate, ${FEW} Services of a pool ${prefix}`,
      value: rate,
      unit: 'per second',
      alternative: { name: `of ${smallest?.prefix}`, value: smallest?.rate ?? 0 },
    })),
    {
      name: `allocate, ${MANY} Services of a pool 10.0.0.0/8`,
      value: many.allocated,
      unit: 'per second',
      alternative: { name: `${MANY / 10} Services`, value: tenth.allocated },
    },
    {
      name: `release, ${MANY} Services of a pool 10.0.0.0/8`,
      value: many.released,
      unit: 'per second',
      alternative: { name: `${MANY / 10} Services`, value: tenth.released },
    },
    {
      name: `allocate, ${MANY / 5} Services that share addresses under one key`,
      value: run('10.0.0.0/8', sharing(requests.slice(0, MANY / 5))).allocated,
      unit: 'per second',
      alternative: {
        name: `${MANY / 50} Services`,
        value: run('10.0.0.0/8', sharing(requests.slice(0, MANY / 50))).allocated,
      },
    },
    {
      name: `allocate ${MANY} Services of a pool 10.0.0.0/12`,
      value: quantile(
        Array.from({ length: RUNS }, () => (MANY / run('10.0.0.0/12', requests).allocated) * 1000),
        0.5,
      ),
      unit: 'ms',
      target: '< 1000',
    },
    ...atEveryFill(),
    ...besideWaiters(),
    ...reload(),
  ];
}

/** Allocations per second in many small runs, the setting up of the pool left out. */
function repeated(prefix: string, requests: readonly ServiceRequest[]): number {
  return quantile(
    Array.from({ length: 51 }, () => run(prefix, requests).allocated),
    0.5,
  );
}

function run(prefix: string, requests: readonly ServiceRequest[]): { allocated: number; released: number } {
  const family = prefix.includes(':') ? 'IPv6' : 'IPv4';
  const read = readPool({ metadata: { name: 'lan' }, ...{ spec: { addresses: [prefix] } } });
  if (read.kind === 'invalid') throw new Error(`${prefix} is no pool`);
  const allocator = new Allocator();
  allocator.setPools([read.value]);
  const began = performance.now();
  for (const request of requests) allocator.allocate({ ...request, families: [family] });
  const full = performance.now();
  for (const { key } of requests) allocator.release(key);
  const empty = performance.now();
  return {
    allocated: perSecond(requests.length, full - began),
    released: perSecond(requests.length, empty - full),
  };
}

/** One allocation and one release in a /16 that is empty, half full, full but for one; and a refusal where it is full. */
function atEveryFill(): BenchRow[] {
  const size = 2 ** 16;
  const rows: BenchRow[] = [];
  for (const reuse of ['lowest', 'least-recent'] as const) {
    const allocator = filled([{ addresses: ['10.0.0.0/16'], reuse }], 0);
    let held = 0;
    for (const fill of [0, size / 2, size - 1]) {
      for (; held < fill; held++) allocator.allocate(requestOf(held));
      const value = microseconds((i) => {
        allocator.allocate(requestOf(size + i));
        allocator.release(`shop/s${size + i}`);
      });
      rows.push({
        name: `allocate and release one, ${fill} of a /16 in use, reuse: ${reuse}`,
        value,
        unit: 'µs',
        target: '< 40',
      });
    }
    allocator.allocate(requestOf(held));
    const refused = microseconds((i) => allocator.allocate(requestOf(size + i)));
    rows.push({
      name: `refuse one, a /16 in use, reuse: ${reuse}`,
      value: refused,
      unit: 'µs',
      target: '< 20',
    });
    const other = { ...requestOf(3 * size), pool: 'pool-1' };
    allocator.setPools([...poolsOf([{ addresses: ['10.0.0.0/16'], reuse }, { addresses: ['10.1.0.0/16'] }])]);
    rows.push({
      name: `allocate and release one beside ${SAMPLES} that wait for another pool, reuse: ${reuse}`,
      value: microseconds(() => {
        allocator.allocate(other);
        allocator.release(other.key);
      }),
      unit: 'µs',
    });
  }
  return rows;
}

/** A Service of another pool comes and goes beside 10,000 that wait, each with labels of its own. */
function besideWaiters(): BenchRow[] {
  const waiting = MANY / 10;
  const other = { ...requestOf(MANY), pool: 'pool-1' };
  const row = (who: string, first: string, wish: Partial<ServiceRequest>): BenchRow => {
    const allocator = filled([{ addresses: [first] }, { addresses: ['10.9.0.0/16'], autoAssign: false }], 0);
    for (let i = 0; i < waiting; i++)
      allocator.allocate({ ...requestOf(i), labels: { app: `${i}` }, ...wish });
    const value = microseconds(() => {
      allocator.allocate(other);
      allocator.release(other.key);
    });
    return { name: `allocate and release one beside ${waiting} ${who}`, value, unit: 'µs', target: '< 40' };
  };
  return [
    row('that wait for another pool', '10.1.0.0/24', {}),
    row('that have an IPv4 address and wait for an IPv6 one', '10.0.0.0/16', { families: ['IPv4', 'IPv6'] }),
  ];
}

/** 1,000 pools with 100 addresses in use each, one of which changed. */
function reload(): BenchRow[] {
  const specs = Array.from({ length: 1000 }, (_, i) => ({ addresses: [`10.${i >> 8}.${i & 255}.0/24`] }));
  const allocator = filled(specs, MANY);
  const value = quantile(
    Array.from({ length: RUNS }, (_, i) => {
      const pools = poolsOf([...specs.slice(0, -1), { addresses: [`10.${200 + i}.0.0/24`] }]);
      const began = performance.now();
      allocator.setPools(pools);
      const took = performance.now() - began;
      allocator.drainJournal();
      return took;
    }),
    0.5,
  );
  return [{ name: `reload 1000 pools with ${MANY} Services`, value, unit: 'ms', target: '< 500' }];
}

function poolsOf(specs: readonly object[]): readonly AddressPool[] {
  const { pools } = checkPools(specs.map((spec, i) => ({ metadata: { name: `pool-${i}` }, ...{ spec } })));
  return pools;
}

/** Each Service asks for the pool of its number, round and round. */
function filled(specs: readonly object[], count: number): Allocator {
  const allocator = new Allocator();
  allocator.setPools(poolsOf(specs));
  for (let i = 0; i < count; i++) allocator.allocate({ ...requestOf(i), pool: `pool-${i % specs.length}` });
  allocator.drainJournal();
  return allocator;
}

/** A call's mean in the median of many batches: what else the machine does hits few of them. */
function microseconds(call: (i: number) => void): number {
  const means = Array.from({ length: BATCHES }, (_, batch) => {
    const began = performance.now();
    for (let i = 0; i < SAMPLES / BATCHES; i++) call((batch * SAMPLES) / BATCHES + i);
    return ((performance.now() - began) * 1000 * BATCHES) / SAMPLES;
  });
  return quantile(means, 0.5);
}

/** The first half on one port, and the second on another, each beside one of the first. */
function sharing(requests: readonly ServiceRequest[]): ServiceRequest[] {
  return requests.map((request, i) => ({
    ...request,
    sharingKey: 'k',
    ports: [i < requests.length / 2 ? 'TCP/80' : 'TCP/443'],
  }));
}

function perSecond(count: number, milliseconds: number): number {
  return Math.round((count * 1000) / milliseconds);
}

function requestOf(i: number): ServiceRequest {
  return {
    key: `shop/s${i}`,
    namespace: 'shop',
    labels: {},
    namespaceLabels: {},
    createdAt: '2026-01-01T00:00:00Z',
    families: ['IPv4'],
    bothRequired: false,
    addresses: [],
    ports: ['TCP/80'],
    backend: '',
    held: [],
    heldFrom: [],
  };
}
