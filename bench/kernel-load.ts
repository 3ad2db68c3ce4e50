// Time from Services and EndpointSlices to rules in the kernel: 10,000 Services at once, then one change among them.
import { systemClock } from '../src/clock/clock.ts';
import { NetlinkConnection } from '../src/netlink/connection.ts';
import { changeElements, type ElementChanges, listElements } from '../src/netlink/nftables.ts';
import { SET_NAMES, TABLES } from '../src/proxy/rules.ts';
import { NETLINK_NETFILTER } from '../src/sockets/netlink-socket.ts';
import { openNetlinkSocket } from '../src/sockets/open-netlink-socket.ts';
import { AT_ONCE, elementsAsCommands, nft } from './nft-text.ts';
import { keyOf, service, slice } from './objects.ts';
import { quantile } from './quantile.ts';
import type { BenchRow } from './row.ts';
import { serviceProxy } from './service-proxy.ts';

const SERVICES = 10_000;
/** Changes of which the middle one is told. */
const CHANGES = 201;
const [TABLE] = TABLES;
/** Of the same change by the `nft` command: each lasts a hundred times as long. */
const COMMANDS = 11;

export async function kernelLoad(): Promise<BenchRow[]> {
  const proxy = serviceProxy();
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
      value: quantile(times, 0.5),
      unit: 'ms',
      alternative: { name: 'the same by nft -f', value: quantile(commandTimes, 0.5) },
    },
  ];
}

/** The first element of the endpoints' map, as nft prints it. */
const ENDPOINT = /elements = \{ (\S+ \. \S+) : (\S+ \. \d+)/;

async function elapsed(work: () => unknown): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}
