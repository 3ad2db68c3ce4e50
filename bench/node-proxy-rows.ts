// The whole node proxy, from its start with an API server to what connections see of it, beside kube-proxy where
// FAIRLEAD_KUBE_PROXY names its binary. kube-proxy sends all its rules at once, which are too many for the buffers of a
// user namespace from some hundred Services on: for that, root runs this as `unshare --net --mount --pid --fork
// --mount-proc env FAIRLEAD_INSIDE_NAMESPACE=1 …`.
import { type ChildProcess, fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { TABLES } from '../src/proxy/rules.ts';
import { clusterAddress, endpointAddress } from './addresses.ts';
import { elementsAsCommands, nft } from './nft-text.ts';
import { FAIRLEAD, kubeProxy, NodeProxy, type ProxyKind } from './node-proxy.ts';
import { quantile } from './quantile.ts';
import type { BenchRow } from './row.ts';

/** Services, and endpoints of each, at a start; with the targets for milliseconds. */
const STARTS = [
  { services: 1_000, endpoints: 2, target: '< 800' },
  { services: 1_000, endpoints: 100, target: '< 3000' },
  { services: 10_000, endpoints: 2, target: '< 3000' },
  { services: 50_000, endpoints: 2, target: '< 15000' },
] as const;
/** kube-proxy would take half an hour for more. */
const MOST_FOR_KUBE_PROXY = 10_000;
const CHANGES = { Fairlead: 100, 'kube-proxy': 8 } as const;
/** Milliseconds between changes: kube-proxy works once a second. */
const SPACE = { Fairlead: 50, 'kube-proxy': 1_300 } as const;
const AT_ONCE = 1_000;
const CONNECTS = 5_000;
const REFUSED = 20;
const IDLE = 10_000;
/** Milliseconds: an answer takes a fraction of one. */
const PATIENCE = 20;
/** Milliseconds: kube-proxy's refusals take a second. */
const LONGEST_ANSWER = 3_000;
/** Milliseconds after which something is wrong. */
const LIMIT = 240_000;

/** From the start of a process to rules in force. */
export async function nodeProxyStarts(): Promise<BenchRow[]> {
  prepare();
  const rows: BenchRow[] = [];
  for (const kind of proxies()) {
    const most = kind === FAIRLEAD ? Number.POSITIVE_INFINITY : MOST_FOR_KUBE_PROXY;
    for (const start of STARTS) if (start.services <= most) rows.push(...(await coldStart(kind, start)));
  }
  return rows;
}

/** A process that runs: changes, connections, doing nothing, and a restart. */
export async function nodeProxyChanges(): Promise<BenchRow[]> {
  prepare();
  const rows: BenchRow[] = [];
  for (const kind of proxies())
    for (const services of kind === FAIRLEAD ? [10, 10_000] : [10, 1_000])
      rows.push(...(await changesAt(kind, services)));
  return rows;
}

function proxies(): readonly ProxyKind[] {
  const other = kubeProxy();
  return other ? [FAIRLEAD, other] : [FAIRLEAD];
}

let prepared = false;

/** Every endpoint is this machine, and says by which address it was asked. */
function prepare(): void {
  if (prepared) return;
  prepared = true;
  for (const words of [
    'link set lo up',
    'route add local 10.128.0.0/9 dev lo',
    'addr add 192.0.2.1/32 dev lo',
  ])
    spawnSync('ip', words.split(' '));
  spawnSync('ip', ['route', 'add', '10.96.0.0/16', 'dev', 'lo']);
  createServer((socket) => {
    socket.on('error', () => {});
    socket.end(socket.localAddress ?? '');
  }).listen({ port: 8080, host: '0.0.0.0', backlog: 4096 });
}

/** The endpoint that answers, or the error's code. */
function ask(address: string, port: number, patience: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port });
    socket.setTimeout(patience, () => socket.destroy(Object.assign(new Error(), { code: 'ETIMEDOUT' })));
    socket.on('data', (data) => {
      resolve(data.toString());
      socket.destroy();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
  });
}

/** Asks until it is answered so; a question from before there were rules is lost, and TCP repeats it after a second. */
async function until(address: string, wanted: (answer: string) => boolean): Promise<void> {
  const limit = performance.now() + LIMIT;
  const once = () => ask(address, 80, PATIENCE);
  for (let answer = await once(); !wanted(answer); answer = await once()) {
    if (performance.now() > limit) throw new Error(`${address} still gives "${answer}" after ${LIMIT} ms`);
    await wait(1);
  }
}

class ApiServer {
  readonly #process: ChildProcess;
  #last = 0;

  constructor() {
    this.#process = fork(new URL('api-process.ts', import.meta.url));
  }

  async start(services: number, endpoints: number, ready = services): Promise<string> {
    return (await this.#call('start', services, endpoints, ready)) as string; // its URL
  }

  change(numbers: readonly number[], version: number): Promise<unknown> {
    return this.#call('change', numbers, version);
  }

  async end(): Promise<void> {
    const exit = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await exit;
  }

  /** One at a time. */
  async #call(name: string, ...args: readonly unknown[]): Promise<unknown> {
    this.#process.send({ id: ++this.#last, name, args });
    const [answer] = await once(this.#process, 'message');
    if ('error' in answer) throw new Error(answer.error);
    return answer.value;
  }
}

async function coldStart(
  kind: ProxyKind,
  { services, endpoints, target }: (typeof STARTS)[number],
): Promise<BenchRow[]> {
  const api = new ApiServer();
  const url = await api.start(services, endpoints);
  const began = performance.now();
  const proxy = new NodeProxy(kind, url);
  await until(clusterAddress(services - 1), (answer) => answer.startsWith('10.'));
  // Each in its turn: what a connection finds in force by then.
  for (let i = 0; i < services; i += Math.ceil(services / 200))
    await until(clusterAddress(i), (answer) => answer.startsWith('10.'));
  const value = performance.now() - began;
  const { processor, peak } = proxy.usage();
  const size = `${services.toLocaleString('en')} x ${endpoints}`;
  const connects = services > MOST_FOR_KUBE_PROXY ? [await connected(`${kind.name}, ${size}`, services)] : [];
  await proxy.kill();
  const alternative =
    kind === FAIRLEAD ? { alternative: { name: 'the same table by nft -f', value: byText() } } : {};
  clear(kind);
  await api.end();
  return [
    {
      name: `${kind.name}: start to rules in force, API lists included, ${size}`,
      value,
      unit: 'ms',
      target,
      ...alternative,
    },
    {
      name: '… processor',
      value: processor * 1_000,
      unit: 'ms',
      ...(size === '10,000 x 2' ? { target: '< 3000' } : {}),
    },
    {
      name: '… peak resident memory',
      value: peak,
      unit: 'MiB',
      ...(size === '10,000 x 2' ? { target: '< 250' } : {}),
    },
    ...connects,
  ];
}

/** Milliseconds in which `nft` loads what is there. */
function byText(): number {
  const table = `inet ${TABLES[0]}`;
  const rules = nft(['--terse', 'list', 'table', ...table.split(' ')]);
  const additions = elementsAsCommands(nft(['list', 'table', ...table.split(' ')]));
  const began = performance.now();
  nft(['-f', '-'], `delete table ${table}\n${rules}`);
  for (const input of additions) nft(['-f', '-'], input);
  return performance.now() - began;
}

async function changesAt(kind: ProxyKind, services: number): Promise<BenchRow[]> {
  // The last Service has no endpoint.
  const api = new ApiServer();
  const url = await api.start(services, 1, services - 1);
  let proxy = new NodeProxy(kind, url);
  await until(clusterAddress(services - 2), (answer) => answer.startsWith('10.'));
  const name = kind.name as keyof typeof CHANGES;
  const at = `${kind.name}, ${services.toLocaleString('en')} Services`;
  let version = 1;
  const change = async (): Promise<number> => {
    const i = version % Math.min(services - 1, 100);
    const began = performance.now();
    await api.change([i], ++version);
    await until(clusterAddress(i), (answer) => answer === endpointAddress(i, version));
    return performance.now() - began;
  };
  const rows: BenchRow[] = [];
  for (const [how, pause] of [
    ['spaced', SPACE[name]],
    ['back to back', 0],
  ] as const) {
    const times: number[] = [];
    for (let n = 0; n < CHANGES[name]; n++) {
      if (pause > 0) await wait(pause);
      times.push(await change());
    }
    const [median, high] = [quantile(times, 0.5), quantile(times, 0.99)];
    rows.push(
      {
        name: `${at}: slice changed to connections follow, ${how}, median`,
        value: median,
        unit: 'ms',
        target: '< 10',
      },
      { name: '… 99th percentile', value: high, unit: 'ms', target: services > 10 ? '< 50' : '< 20' },
    );
  }
  rows.push(await connected(at, services), await refused(at, services));
  if (services >= AT_ONCE) {
    const numbers = Array.from({ length: AT_ONCE }, (_, i) => i);
    await api.change(numbers, ++version);
    const began = performance.now();
    for (const i of numbers.toReversed().filter((each) => each % 20 === 0))
      await until(clusterAddress(i), (answer) => answer === endpointAddress(i, version));
    const value = performance.now() - began;
    rows.push({
      name: `${at}: ${AT_ONCE} slices changed, last write to all in force`,
      value,
      unit: 'ms',
      target: '< 100',
    });
    await wait(3_000);
    const before = proxy.usage().processor;
    await wait(IDLE);
    const share = ((proxy.usage().processor - before) / (IDLE / 1_000)) * 100;
    rows.push({
      name: `${at}: processor while nothing changes`,
      value: share,
      unit: '% of a core',
      target: '< 0.1',
    });
    await proxy.kill();
    await api.change([0], ++version);
    const restarted = performance.now();
    proxy = new NodeProxy(kind, url);
    await until(clusterAddress(0), (answer) => answer === endpointAddress(0, version));
    rows.push({
      name: `${at}: restart to a change meanwhile in force`,
      value: performance.now() - restarted,
      unit: 'ms',
      target: '< 1500',
    });
  }
  await proxy.kill();
  clear(kind);
  await api.end();
  return rows;
}

/** Connections through a cluster address and, in turn with them, directly. */
async function connected(at: string, services: number): Promise<BenchRow> {
  const [through, direct]: [number[], number[]] = [[], []];
  const target = Math.floor(services / 2);
  for (let n = 0; n < CONNECTS; n++) {
    through.push(await timed(clusterAddress(target), 80));
    direct.push(await timed(endpointAddress(target, 0), 8080));
  }
  return {
    name: `${at}: connect, question and answer, median of ${CONNECTS}`,
    value: quantile(through, 0.5) * 1_000,
    unit: 'µs',
    alternative: { name: 'past the proxy, in turn', value: quantile(direct, 0.5) * 1_000 },
  };
}

/** The last Service has no endpoints. */
async function refused(at: string, services: number): Promise<BenchRow> {
  const times: number[] = [];
  for (let n = 0; n < REFUSED; n++) times.push(await timed(clusterAddress(services - 1), 80));
  return {
    name: `${at}: a connection is refused, median`,
    value: quantile(times, 0.5),
    unit: 'ms',
    target: '< 1',
  };
}

async function timed(address: string, port: number): Promise<number> {
  const began = performance.now();
  await ask(address, port, LONGEST_ANSWER);
  return performance.now() - began;
}

function clear({ tables }: ProxyKind): void {
  for (const table of tables) spawnSync('nft', ['delete', 'table', ...table.split(' ')]);
}
