// Runs a ServiceProxy in a network namespace.
import { Registry } from 'prom-client';
import { systemClock } from '../../src/clock/clock.ts';
import { ip } from '../../src/net/address.ts';
import { parsePrefix, type Range } from '../../src/net/range.ts';
import { createLogger } from '../../src/observe/logger.ts';
import { HealthChecks } from '../../src/proxy/health-checks.ts';
import { removeKubeProxyRules } from '../../src/proxy/kube-proxy-rules.ts';
import { LocalhostNodePorts } from '../../src/proxy/localhost-node-ports.ts';
import { proxyMetrics } from '../../src/proxy/metrics.ts';
import { nodeView } from '../../src/proxy/node.ts';
import { DEFAULT_RULES } from '../../src/proxy/rules.ts';
import { serviceMetrics } from '../../src/proxy/service-metrics.ts';
import { ServiceProxy } from '../../src/proxy/service-proxy.ts';
import type { OpenNetlinkSocket } from '../../src/sockets/netlink-socket.ts';
import { openNetlinkSocket } from '../../src/sockets/open-netlink-socket.ts';
import { answerCalls } from './answer-calls.ts';
import type { Objects } from './objects.ts';

const registry = new Registry();
const path = process.env.PATH;
/** What is sent with these bytes in it, the kernel is to refuse. */
let poison: Buffer | undefined;

/** Comes right before the next datagram. */
let beforeSending: (() => void) | undefined;
/** So many datagrams cannot be sent, after so many that can. */
let broken = 0;
let whole = 0;

const open: OpenNetlinkSocket = (options) => {
  const socket = openNetlinkSocket(options);
  return {
    ...socket,
    send(datagram) {
      beforeSending?.();
      beforeSending = undefined;
      if (whole-- <= 0 && broken-- > 0)
        throw Object.assign(new Error('sending: Message too long'), { code: 'EMSGSIZE' });
      socket.send(poisoned(datagram));
    },
  };
};

/** There is no table of this name. */
function poisoned(datagram: Uint8Array): Uint8Array {
  const bytes = Buffer.from(datagram);
  if (!poison || !bytes.includes(poison)) return bytes;
  for (let at = bytes.indexOf('fairlead'); at >= 0; at = bytes.indexOf('fairlead', at))
    bytes.write('nosuchtb', at);
  return bytes;
}

/** What the node is, in texts. */
export interface NodeText {
  readonly addresses?: readonly string[];
  readonly zone?: string;
  readonly podCidrs?: readonly string[];
  readonly masqueradeAll?: boolean;
  readonly serviceCidrs?: readonly string[];
}

const log = createLogger({ component: 'proxy', level: 'silent' });
const refusals: string[] = [];
const complaints: (readonly string[])[] = [];
/** Changes that others made, and whether they are put right at once, as the agent does. */
let foreign = 0;
let repairing = false;
/** One after the other, as the agent's. */
let last = Promise.resolve();
function sync(): Promise<void> {
  last = last.catch(() => {}).then(() => proxy.sync());
  return last;
}
const podInterface = process.env.POD_INTERFACE;
const proxy = new ServiceProxy({
  open,
  nodeName: 'node',
  clock: systemClock,
  log,
  metrics: proxyMetrics(registry, systemClock),
  healthChecks: new HealthChecks({
    clock: systemClock,
    log,
    healthy: () => true,
    onRefused: (key) => refusals.push(key),
  }),
  onComplaints: (key, said) => complaints.push([key, ...said]),
  onForeignChange() {
    foreign++;
    if (repairing) sync().catch(() => {}); // a test sees that it was not done
  },
  localhost: process.env.LOCALHOST
    ? new LocalhostNodePorts({ clock: systemClock, random: Math.random, log })
    : undefined,
  resetStaleTcp: process.env.RESET_STALE_TCP !== undefined,
  rules: {
    ...DEFAULT_RULES,
    ...(process.env.RULES ? JSON.parse(process.env.RULES) : {}), // what a test wrote
    podInterface: podInterface
      ? { name: podInterface.replace('*', ''), prefix: podInterface.endsWith('*') }
      : undefined,
  },
});

serviceMetrics(registry, () => proxy.traffic(), log);

function ranges(texts: readonly string[]): Range[] {
  return texts.flatMap((text) => {
    const read = parsePrefix(text);
    return read.kind === 'parsed' ? [read.value] : [];
  });
}

function setNode({
  addresses = [],
  zone,
  podCidrs = [],
  masqueradeAll = false,
  serviceCidrs = [],
}: NodeText): void {
  const node = {
    metadata: { name: 'node', labels: zone ? { 'topology.kubernetes.io/zone': zone } : {} },
    status: { addresses: addresses.map((address) => ({ type: 'InternalIP', address })) },
  };
  const detection = podInterface
    ? ({ kind: 'interface', pods: { name: podInterface, prefix: false } } as const)
    : ({ kind: 'cluster-cidr', ranges: ranges(podCidrs) } as const);
  proxy.setNode(
    nodeView(node, [], {
      detection,
      masqueradeAll,
      masqueradeBit: 14,
      nodePortAddresses: { primary: true, localhost: false, ranges: [] },
    }),
  );
  proxy.setServiceCidrs(ranges(serviceCidrs));
}

answerCalls({
  async start(node: NodeText = {}) {
    setNode(node);
    await proxy.start();
  },
  /** Changes objects, undefined ones go, and brings the kernel up to date. */
  async set({ services = {}, slices = {} }: Objects) {
    for (const [key, service] of Object.entries(services)) proxy.setService(key, service ?? undefined);
    for (const [key, slice] of Object.entries(slices)) proxy.setEndpointSlice(key, slice ?? undefined);
    const began = performance.now();
    await sync();
    await proxy.cleanFlows();
    return performance.now() - began;
  },
  async node(node: NodeText) {
    setNode(node);
    await sync();
    await proxy.cleanFlows();
  },
  /** As `node`, but while a change is on its way, and without bringing it to the kernel. */
  nodeMeanwhile(node: NodeText) {
    beforeSending = () => setNode(node);
  },
  async deadNodes(...names: readonly string[]) {
    proxy.setDeadNodes(new Set(names));
    await sync();
    await proxy.cleanFlows();
  },
  serves: (address: string) => proxy.serves(ip(address)),
  poison(bytes: readonly number[]) {
    poison = bytes.length > 0 ? Buffer.from(bytes) : undefined;
  },
  breakSends(count: number, after = 0) {
    broken = count;
    whole = after;
  },
  removeKubeProxyRules,
  repairAtOnce() {
    repairing = true;
  },
  foreignChanges: () => foreign,
  /** Without `nft` from now on, or with it again. */
  hideCommands(hidden: boolean) {
    process.env.PATH = hidden ? '' : path;
  },
  async metric(name: string) {
    return (await registry.getSingleMetric(name)?.get())?.values.map(({ value }) => value);
  },
  /** The figures of a metric with labels. */
  async figures(name: string) {
    return (await registry.getSingleMetric(name)?.get())?.values;
  },
  /** The Services whose health check port could not be served. */
  refusals: () => refusals,
  /** The Services that asked in vain, and for what. */
  complaints: () => complaints.splice(0),
  close: () => proxy.close(),
});
