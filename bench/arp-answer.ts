// How long a host on the link waits for the answer to an ARP request: from the announcer, whose answers leave from a
// thread of the addon; beside it from the same announcer that answers in TypeScript, and from the kernel. And what an
// announcer costs that is asked nothing. Announcers and storms run in processes of their own: arp-answer-process.ts.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { buildArp, parseArp } from '../src/arp/arp-frame.ts';
import { type Ipv4, ip } from '../src/net/address.ts';
import { BROADCAST, type Mac, UNSPECIFIED_MAC } from '../src/net/mac.ts';
import { openPacketSocket } from '../src/sockets/open-packet-socket.ts';
import { inNamespace, makePair, namespacePath, removeNamespaces } from '../test/sockets/netns.ts';
import { quantile } from './quantile.ts';
import type { BenchRow } from './row.ts';

const REQUESTS = 2_000;
/** Of those who answer in TypeScript while it is busy: each takes as long as the other work. */
const FEW_REQUESTS = 100;
const WARM_UP = 50;
/** Milliseconds after which a host asks again (Linux: RETRANS_TIMER); a storm can fill the buffer that frames wait in. */
const ASK_AGAIN = 1_000;
/** Milliseconds: no answer by then means that something is broken. */
const PATIENCE = 15_000;
const IDLE_FOR = 5_000;
const [ASKER, ANSWERER] = ['bench-asker', 'bench-answerer'];
const ASKER_ADDRESS = ip('198.51.100.1') as Ipv4; // written in IPv4
const OF_THE_KERNEL = ip('198.51.100.3') as Ipv4; // written in IPv4
/** The first that the announcer has. */
const ANNOUNCED = ip('10.0.0.0') as Ipv4; // written in IPv4

interface Scenario {
  readonly name: string;
  readonly addresses: number;
  readonly busy?: boolean;
  readonly storm?: boolean;
  readonly targets: readonly [median: string, last: string];
}

const SCENARIOS: readonly Scenario[] = [
  { name: '1 address', addresses: 1, targets: ['< 0.1', '< 1'] },
  { name: '10,000 addresses', addresses: 10_000, targets: ['< 0.1', '< 1'] },
  {
    name: '10,000 addresses, JavaScript busy parsing lists of 10,000 objects',
    addresses: 10_000,
    busy: true,
    targets: ['< 0.1', '< 1'],
  },
  {
    name: '10,000 addresses, 50,000 foreign ARP frames a second',
    addresses: 10_000,
    storm: true,
    targets: ['', '< 5'],
  },
];

export async function arpAnswer(): Promise<BenchRow[]> {
  makePair(ASKER, ANSWERER);
  inNamespace(ANSWERER, `ip addr add ${OF_THE_KERNEL}/24 dev eth0`);
  try {
    const kernel = await ask(OF_THE_KERNEL, REQUESTS);
    const rows: BenchRow[] = [];
    for (const [i, scenario] of SCENARIOS.entries()) {
      const ours = await answersOf('addon', scenario);
      const beside =
        i === 0
          ? { name: 'the kernel, for an address of its own', times: kernel }
          : { name: 'answered in TypeScript', times: await answersOf('typescript', scenario) };
      for (const [part, what, target] of [
        [0.5, 'median', scenario.targets[0]],
        [0.99, '99th percentile', scenario.targets[1]],
      ] as const) {
        rows.push({
          name: `ARP answer, ${scenario.name}, ${what}`,
          value: quantile(ours, part),
          unit: 'ms',
          ...(target === '' ? {} : { target }),
          alternative: { name: beside.name, value: quantile(beside.times, part) },
        });
      }
    }
    return [...rows, await idleCost()];
  } finally {
    removeNamespaces(ASKER, ANSWERER);
  }
}

async function answersOf(how: 'addon' | 'typescript', scenario: Scenario): Promise<number[]> {
  const { addresses, busy = false, storm = false } = scenario;
  const helpers = [await start('answer', ANSWERER, how, String(addresses), busy ? 'busy' : 'free')];
  if (storm) helpers.push(await start('storm', ASKER));
  try {
    return await ask(ANNOUNCED, how === 'typescript' && (busy || storm) ? FEW_REQUESTS : REQUESTS);
  } finally {
    for (const each of helpers) each.kill();
    await Promise.all(helpers.map((each) => once(each, 'exit')));
  }
}

/** Of a core, with 1,000 addresses whose rights are renewed ten times a second, as leases are. */
async function idleCost(): Promise<BenchRow> {
  const answerer = await start('answer', ANSWERER, 'addon', '1000', 'leased');
  await wait(2_000); // for the start, and the most of the first announcements, to be over
  const used = () => {
    const tasks = `/proc/${answerer.pid}/task`;
    const nanoseconds = readdirSync(tasks).map((task) =>
      Number(readFileSync(join(tasks, task, 'schedstat'), 'utf8').split(' ')[0]),
    );
    return nanoseconds.reduce((a, b) => a + b, 0) / 1e6;
  };
  await wait(5_000); // the announcements last 4.4 s
  const before = used();
  await wait(IDLE_FOR);
  const value = (100 * (used() - before)) / IDLE_FOR;
  answerer.kill();
  await once(answerer, 'exit');
  const name = 'announcer with 1,000 addresses, asked nothing, rights renewed every 100 ms';
  return { name, value, unit: '% of a core', target: '< 1' };
}

/** A helper that has said that it is ready. */
async function start(...words: readonly string[]): Promise<ChildProcess> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'arp-answer-process.ts'), ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const died = once(child, 'exit').then(() => {
    throw new Error(`the helper "${words.join(' ')}" ended before it was ready`);
  });
  died.catch(() => {});
  await Promise.race([once(child.stdout, 'data'), died]);
  return child;
}

/** Milliseconds from each request to its answer, ascending. */
async function ask(address: Ipv4, requests: number): Promise<number[]> {
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
    for (let i = 0; i < WARM_UP + requests; i++) {
      waiting = Promise.withResolvers();
      const tooLong = setTimeout(() => waiting.reject(new Error(`nobody answers for ${address}`)), PATIENCE);
      const began = performance.now();
      const again = setInterval(() => socket.send(request), ASK_AGAIN);
      socket.send(request);
      await waiting.promise;
      times.push(performance.now() - began);
      clearTimeout(tooLong);
      clearInterval(again);
    }
  } finally {
    socket.close();
  }
  return times.slice(WARM_UP);
}
