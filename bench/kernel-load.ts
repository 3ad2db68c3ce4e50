// Time from Services and EndpointSlices to rules in the kernel: 10,000 Services at once, then one change among them.
import { spawnSync } from 'node:child_process';
import { Registry } from 'prom-client';
import { systemClock } from '../src/clock/clock.ts';
import { NetlinkConnection } from '../src/netlink/connection.ts';
import { changeElements, type ElementChanges, listElements } from '../src/netlink/nftables.ts';
import { createLogger } from '../src/observe/logger.ts';
import { HealthChecks } from '../src/proxy/health-checks.ts';
import { proxyMetrics } from '../src/proxy/metrics.ts';
import { DEFAULT_RULES, SET_NAMES, TABLES } from '../src/proxy/rules.ts';
import { ServiceProxy } from '../src/proxy/service-proxy.ts';
import { NETLINK_NETFILTER } from '../src/sockets/netlink-socket.ts';
import { openNetlinkSocket } from '../src/sockets/open-netlink-socket.ts';
import { keyOf, service, slice } from './objects.ts';
import type { BenchRow } from './row.ts';

const SERVICES = 10_000;
/** Changes of which the middle one is told. */
const CHANGES = 201;
/** Elements a transaction: as many as a socket in a user namespace takes. */
const AT_ONCE = 3_000;
const [TABLE] = TABLES;
/** Of the same change by the `nft` command: each lasts a hundred times as long. */
const COMMANDS = 11;

export async function kernelLoad(): Promise<BenchRow[]> {
  const log = createLogger({ component: 'bench', level: 'silent' });
  const proxy = new ServiceProxy({
    open: openNetlinkSocket,
    nodeName: 'node',
    rules: DEFAULT_RULES,
    resetStaleTcp: false,
    clock: systemClock,
    log,
    healthChecks: new HealthChecks({ clock: systemClock, log, healthy: () => true, onRefused: () => {} }),
    onForeignChange: () => {},
    onComplaints: () => {},
    metrics: proxyMetrics(new Registry()),
  });
  const objects = Array.from({ length: SERVICES }, (_, i) => ({ service: service(i), slice: slice(i, 1) }));
  const load = await elapsed(async () => {
    await proxy.start();
    for (const [i, { service, slice }] of objects.entries()) {
      proxy.setService(keyOf(i), service);
      proxy.setEndpointSlice(`${keyOf(i)}-1`, slice);
    }
    await proxy.sync();
  });
  const times: number[] = [];
  for (let i = 0; i < CHANGES; i++) {
    proxy.setEndpointSlice(`${keyOf(i)}-1`, slice(i, 2));
    times.push(await elapsed(() => proxy.sync()));
  }
  proxy.close();

  const connection = new NetlinkConnection({
    open: openNetlinkSocket,
    clock: systemClock,
    protocol: NETLINK_NETFILTER,
  });
  const rules = nft(['--terse', 'list', 'table', 'inet', TABLE]);
  const additions = elementsAsCommands(nft(['list', 'table', 'inet', TABLE]));
  const changes: ElementChanges[] = [];
  for (const set of SET_NAMES) {
    const elements = await listElements(connection, TABLE, set);
    for (let i = 0; i < elements.length; i += AT_ONCE)
      changes.push({ set, operation: 'add', elements: elements.slice(i, i + AT_ONCE) });
  }
  const emptied = () => nft(['-f', '-'], `delete table inet ${TABLE}\n${rules}`);
  emptied();
  const elementsByNetlink = await elapsed(async () => {
    for (const change of changes) await changeElements(connection, TABLE, [change]);
  });
  connection.close();
  emptied();
  const elementsByCommand = await elapsed(() => {
    for (const input of additions) nft(['-f', '-'], input);
  });
  const [key = '', place = ''] =
    nft(['list', 'map', 'inet', TABLE, 'tcp-endpoints4']).match(ENDPOINT)?.slice(1) ?? [];
  const map = `element inet ${TABLE} tcp-endpoints4`;
  const change = `delete ${map} { ${key} }\nadd ${map} { ${key} : ${place} }\n`;
  const commandTimes: number[] = [];
  for (let i = 0; i < COMMANDS; i++) commandTimes.push(await elapsed(() => nft(['-f', '-'], change)));
  nft(['delete', 'table', 'inet', TABLE]);

  const size = `${SERVICES.toLocaleString('en')} Services x 2 endpoints`;
  return [
    {
      name: `${size}, from objects to rules in force`,
      value: load,
      unit: 'ms',
    },
    {
      name: `${size}, their elements alone into the kernel`,
      value: elementsByNetlink,
      unit: 'ms',
      alternative: { name: 'by nft -f, as many at a time', value: elementsByCommand },
    },
    {
      name: `one endpoint changed at ${size}, median`,
      value: median(times),
      unit: 'ms',
      alternative: { name: 'the same by nft -f', value: median(commandTimes) },
    },
  ];
}

/** The first element of the endpoints' map, as nft prints it. */
const ENDPOINT = /elements = \{ (\S+ \. \S+) : (\S+ \. \d+)/;

/** What `nft list table` printed as commands. */
function elementsAsCommands(table: string): string[] {
  const commands: string[] = [];
  for (const [, set, text = ''] of table.matchAll(/(?:map|set) ([\w-]+) \{[^}]*?elements = \{([^}]*)\}/g)) {
    const elements = text.split(',');
    for (let i = 0; i < elements.length; i += AT_ONCE)
      commands.push(`add element inet ${TABLE} ${set} { ${elements.slice(i, i + AT_ONCE).join(',')} }\n`);
  }
  return commands;
}

async function elapsed(work: () => unknown): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

function nft(args: readonly string[], input = ''): string {
  const { status, stdout, stderr } = spawnSync('nft', args, { input, encoding: 'utf8', maxBuffer: 1 << 30 });
  if (status !== 0) throw new Error(`nft ${args.join(' ')} failed: ${stderr}`);
  return stdout;
}
