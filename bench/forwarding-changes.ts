// How soon a change of endpoints is in force, alone and among many, and what cleaning up UDP flows costs.
import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import { ip } from '../src/net/address.ts';
import type { ServiceProxy } from '../src/proxy/service-proxy.ts';
import { keyOf, service, slice } from './objects.ts';
import { quantile } from './quantile.ts';
import type { BenchRow } from './row.ts';
import { remove, serviceProxy } from './service-proxy.ts';

const SIZES = [10, 10_000, 50_000];
const CHANGES = 300;
/** Milliseconds between spaced changes. */
const SPACE = 5;
const AT_ONCE = 1_000;
const FLOWS = 100_000;
/** Milliseconds of doing nothing. */
const IDLE = 3_000;

export async function forwardingChanges(): Promise<BenchRow[]> {
  const rows: BenchRow[] = [];
  for (const size of SIZES) rows.push(...(await changesAt(size)));
  rows.push(...(await flowCleaning()));
  return rows;
}

async function changesAt(size: number): Promise<BenchRow[]> {
  const proxy = await proxyWith(size);
  let version = 2;
  const changeOne = async (i: number) => {
    const began = performance.now();
    proxy.setEndpointSlice(`${keyOf(i % size)}-1`, slice(i % size, version++));
    await proxy.sync();
    return performance.now() - began;
  };
  for (let i = 0; i < CHANGES; i++) await changeOne(i);
  const spaced: number[] = [];
  for (let i = 0; i < CHANGES; i++) {
    await wait(SPACE);
    spaced.push(await changeOne(i));
  }
  const packed: number[] = [];
  for (let i = 0; i < CHANGES; i++) packed.push(await changeOne(i));
  const of = `at ${size.toLocaleString('en')} Services`;
  const rows: BenchRow[] = [
    {
      name: `one slice changed ${of}, ${SPACE} ms apart, median`,
      value: quantile(spaced, 0.5),
      unit: 'ms',
      target: '< 10',
    },
    {
      name: `… 99th percentile`,
      value: quantile(spaced, 0.99),
      unit: 'ms',
      target: size > 10 ? '< 50' : '< 20',
    },
    {
      name: `one slice changed ${of}, back to back, median`,
      value: quantile(packed, 0.5),
      unit: 'ms',
      target: '< 10',
    },
    {
      name: `… 99th percentile`,
      value: quantile(packed, 0.99),
      unit: 'ms',
      target: size > 10 ? '< 50' : '< 20',
    },
  ];
  if (size >= AT_ONCE) {
    const began = performance.now();
    for (let i = 0; i < AT_ONCE; i++) proxy.setEndpointSlice(`${keyOf(i)}-1`, slice(i, version));
    await proxy.sync();
    const all = performance.now() - began;
    rows.push({
      name: `${AT_ONCE.toLocaleString('en')} slices changed at once ${of}`,
      value: all,
      unit: 'ms',
      target: '< 100',
    });
    await wait(IDLE / 3);
    const before = process.cpuUsage();
    await wait(IDLE);
    const { user, system } = process.cpuUsage(before);
    const share = ((user + system) / 1000 / IDLE) * 100;
    rows.push({
      name: `processor while nothing changes ${of}`,
      value: share,
      unit: '% of a core',
      target: '< 0.1',
    });
  }
  remove(proxy);
  return rows;
}

/** One UDP Service with an endpoint that answers nothing, and a flow to it from each of many places. */
async function flowCleaning(): Promise<BenchRow[]> {
  const proxy = await proxyWith(1, 'UDP');
  spawnSync('sysctl', ['-qw', `net.netfilter.nf_conntrack_max=${2 * FLOWS}`]);
  const flows = await makeFlows();
  const delay = monitorEventLoopDelay({ resolution: 1 });
  proxy.setEndpointSlice(`${keyOf(0)}-1`, slice(0, 3, 'UDP'));
  await proxy.sync();
  delay.enable();
  const began = performance.now();
  let cleaned = false;
  const cleaning = proxy.cleanFlows().then(() => {
    cleaned = true;
  });
  // Rules change meanwhile.
  const syncs: number[] = [];
  for (let i = 0; !cleaned; i++) {
    const nodePortAddresses = [ip(i % 2 === 0 ? '192.0.2.1' : '192.0.2.2')];
    const asked = performance.now();
    proxy.setNode({ zone: undefined, own: [], nodePortAddresses, ranges: { pods: [], inside: [] } });
    await proxy.sync();
    syncs.push(performance.now() - asked);
    await wait(1);
  }
  await cleaning;
  const value = performance.now() - began;
  delay.disable();
  remove(proxy);
  const name = `UDP flows cleaned up, ${flows.toLocaleString('en')} of them`;
  return [
    { name, value, unit: 'ms', target: '< 500' },
    { name: '… longest wait of anything else in the agent meanwhile', value: delay.max / 1e6, unit: 'ms' },
    { name: '… a change of rules meanwhile, median', value: quantile(syncs, 0.5), unit: 'ms' },
    { name: '… the longest', value: Math.max(...syncs), unit: 'ms' },
  ];
}

/** Sends from as many places as flows are asked for; resolves with how many there are. */
async function makeFlows(): Promise<number> {
  const sources = 2;
  for (let i = 0; i < sources; i++) spawnSync('ip', ['addr', 'add', `10.7.0.${i + 1}/32`, 'dev', 'lo']);
  spawnSync('ip', ['route', 'add', '10.96.0.0/16', 'dev', 'lo']);
  spawnSync('ip', ['route', 'add', '10.244.0.0/14', 'dev', 'lo']);
  for (let i = 0; i < FLOWS; i += 500) {
    const group = Array.from({ length: 500 }, (_, j) => i + j);
    await Promise.all(
      group.map(async (n) => {
        const socket = createSocket('udp4');
        socket.on('error', () => {}); // refused by the endpoint that there is not
        await new Promise<void>((resolve) =>
          socket.bind(10_000 + (n % 50_000), `10.7.0.${Math.floor(n / 50_000) + 1}`, resolve),
        );
        await new Promise<void>((resolve) => socket.send('?', 80, '10.96.0.0', () => resolve()));
        socket.close();
      }),
    );
  }
  const { stdout } = spawnSync('sh', ['-c', 'cat /proc/sys/net/netfilter/nf_conntrack_count'], {
    encoding: 'utf8',
  });
  return Number(stdout);
}

async function proxyWith(services: number, protocol: 'TCP' | 'UDP' = 'TCP'): Promise<ServiceProxy> {
  const proxy = serviceProxy();
  await proxy.start();
  for (let i = 0; i < services; i++) {
    proxy.setService(keyOf(i), service(i, protocol));
    proxy.setEndpointSlice(`${keyOf(i)}-1`, slice(i, 1, protocol));
  }
  await proxy.sync();
  return proxy;
}
