// How long a host on the link waits for the answer to an ARP request, from the announcer and from the kernel.
// The announcer runs in a process of its own, which is this file started by itself.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Registry } from 'prom-client';
import { Announcer } from '../src/arp/announcer.ts';
import { buildArp, parseArp } from '../src/arp/arp-frame.ts';
import { arpMetrics } from '../src/arp/metrics.ts';
import { systemClock } from '../src/clock/clock.ts';
import { type Ipv4, ip } from '../src/net/address.ts';
import { BROADCAST, type Mac, UNSPECIFIED_MAC } from '../src/net/mac.ts';
import { watchInterfaces } from '../src/netlink/rtnetlink-watch.ts';
import { createLogger } from '../src/observe/logger.ts';
import { openNetlinkSocket } from '../src/sockets/open-netlink-socket.ts';
import { openPacketSocket } from '../src/sockets/open-packet-socket.ts';
import { inNamespace, makePair, namespacePath, removeNamespaces } from '../test/sockets/netns.ts';
import type { BenchRow } from './row.ts';

const REQUESTS = 2_000;
const WARM_UP = 200;
/** Milliseconds: no answer by then means that something is broken. */
const PATIENCE = 2_000;
const [ASKER, ANSWERER] = ['bench-asker', 'bench-answerer'];
const ASKER_ADDRESS = ip('192.0.2.1') as Ipv4; // written in IPv4
const ANNOUNCED = ip('192.0.2.2') as Ipv4; // written in IPv4
const OF_THE_KERNEL = ip('192.0.2.3') as Ipv4; // written in IPv4

export async function arpAnswer(): Promise<BenchRow[]> {
  makePair(ASKER, ANSWERER);
  inNamespace(ANSWERER, `ip addr add ${OF_THE_KERNEL}/24 dev eth0`);
  const answerer = spawn(process.execPath, [import.meta.filename], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const died = once(answerer, 'exit').then(() => {
      throw new Error('the announcer ended before it was ready');
    });
    await Promise.race([once(answerer.stdout, 'data'), died]);
    const kernel = await ask(OF_THE_KERNEL);
    const ours = await ask(ANNOUNCED);
    const row = (what: string, part: number) => ({
      name: `ARP answer, ${what} of ${REQUESTS} requests one by one`,
      value: quantile(ours, part),
      unit: 'ms',
      target: '< 1',
      alternative: { name: 'the kernel, for an address of its own', value: quantile(kernel, part) },
    });
    return [row('median', 0.5), row('99th percentile', 0.99)];
  } finally {
    answerer.kill();
    removeNamespaces(ASKER, ANSWERER);
  }
}

/** Milliseconds from each request to its answer, ascending. */
async function ask(address: Ipv4): Promise<number[]> {
  const mac = inNamespace(ASKER, 'cat /sys/class/net/eth0/address').trim() as Mac; // the kernel's own spelling
  let waiting = Promise.withResolvers<void>();
  const socket = openPacketSocket({
    interfaceName: 'eth0',
    protocol: 'arp',
    networkNamespace: namespacePath(ASKER),
    onFrame: (bytes) => {
      const frame = parseArp(bytes);
      const isAnswer = frame.kind === 'arp' && frame.operation === 'reply' && frame.destination === mac;
      if (isAnswer && frame.senderIp === address) waiting.resolve();
    },
    onError: (error) => waiting.reject(error),
  });
  const request = buildArp({
    operation: 'request',
    source: mac,
    destination: BROADCAST,
    senderMac: mac,
    senderIp: ASKER_ADDRESS,
    targetMac: UNSPECIFIED_MAC,
    targetIp: address,
  });
  const times: number[] = [];
  try {
    for (let i = 0; i < WARM_UP + REQUESTS; i++) {
      waiting = Promise.withResolvers();
      const tooLong = setTimeout(() => waiting.reject(new Error(`nobody answers for ${address}`)), PATIENCE);
      const start = performance.now();
      socket.send(request);
      await waiting.promise;
      times.push(performance.now() - start);
      clearTimeout(tooLong);
    }
  } finally {
    socket.close();
  }
  return times.slice(WARM_UP).sort((a, b) => a - b);
}

function quantile(ascending: readonly number[], part: number): number {
  return ascending[Math.floor(part * ascending.length)] ?? Number.NaN;
}

/** Announces until it is killed, and prints a line when it is ready. */
async function answer(): Promise<void> {
  const networkNamespace = namespacePath(ANSWERER);
  const announcer = new Announcer({
    open: (options) => openPacketSocket({ ...options, networkNamespace }),
    clock: systemClock,
    random: Math.random,
    log: createLogger({ component: 'bench', level: 'silent' }),
    metrics: arpMetrics(new Registry()),
    right: { holds: () => true },
    excluded: /^lo$/,
  });
  await watchInterfaces({
    open: openNetlinkSocket,
    clock: systemClock,
    networkNamespace,
    onChange: (interfaces) => announcer.setInterfaces(interfaces),
    onError: (error) => {
      throw error;
    },
  });
  announcer.reconcile(new Map([[ANNOUNCED, 'all']]));
  console.log('ready');
}

if (import.meta.main) await answer();
