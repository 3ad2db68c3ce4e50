// How fast addresses are given, in pools of every size and with many Services.
import { readPool } from '../src/api/pool.ts';
import type { ServiceRequest } from '../src/api/service.ts';
import { Allocator } from '../src/ipam/allocator.ts';
import type { BenchRow } from './row.ts';

/** Services in the large runs. */
const MANY = 100_000;
/** Services that each pool size is asked for: what the smallest holds. */
const FEW = 200;

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
  ];
}

/** Allocations per second in many small runs, the setting up of the pool left out. */
function repeated(prefix: string, requests: readonly ServiceRequest[]): number {
  const rates = Array.from({ length: 51 }, () => run(prefix, requests).allocated).sort((a, b) => a - b);
  return rates[25] ?? 0;
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
