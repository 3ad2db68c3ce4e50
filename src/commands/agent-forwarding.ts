// The forwarding half of an agent: the kernel's rules follow Services, EndpointSlices and this node.
import { systemClock } from '../clock/clock.ts';
import type { NodeObject, ServiceCidrObject, ServiceObject } from '../kube/objects.ts';
import { ENDPOINT_SLICES, SERVICE_CIDRS } from '../kube/resources.ts';
import type { Ip } from '../net/address.ts';
import { parsePrefix, type Range } from '../net/range.ts';
import { watchInterfaces } from '../netlink/rtnetlink-watch.ts';
import { HealthChecks } from '../proxy/health-checks.ts';
import { LocalhostNodePorts } from '../proxy/localhost-node-ports.ts';
import { proxyMetrics } from '../proxy/metrics.ts';
import { nodeView, type TrafficOptions } from '../proxy/node.ts';
import type { Counting } from '../proxy/rules.ts';
import { serviceMetrics } from '../proxy/service-metrics.ts';
import { ServiceProxy } from '../proxy/service-proxy.ts';
import { openNetlinkSocket } from '../sockets/open-netlink-socket.ts';
import { forwardingEvents } from './agent-forwarding-events.ts';
import type { Followed, Process } from './processes.ts';

export interface ForwardingHalf {
  /** Whether it has done its work once, from whole lists. */
  readonly synced: boolean;
  /** Endpoints on these nodes get nothing new, from the next `sync` on: whether that has something to do. */
  skipNodes(dead: ReadonlySet<string>): boolean;
  /** Brings the kernel up to date. Rejects where it refuses everything. */
  sync(): Promise<void>;
  /** Begins what may come after everything else, and beside it: flows to endpoints that are gone. */
  cleanFlows(): void;
  /** Whether the rules for this load balancer's address are in the kernel. */
  serves(address: Ip): boolean;
  /** The rules stay in the kernel and forward on. */
  close(): void;
}

export interface ForwardingOptions {
  readonly nodeName: string;
  readonly traffic: TrafficOptions;
  readonly counting: Counting;
  readonly resetStaleTcp: boolean;
  /** Whether the rules are up to date, for load balancers that ask. */
  readonly healthy: () => boolean;
}

/** Rejects when this machine cannot forward; the message says what is missing. */
export async function startForwarding(
  agent: Process,
  { services, nodes }: { readonly services: Followed<ServiceObject>; readonly nodes: Followed<NodeObject> },
  { nodeName, traffic, counting, resetStaleTcp, healthy }: ForwardingOptions,
  onChange: () => void,
): Promise<ForwardingHalf> {
  const { log } = agent;
  const tell = forwardingEvents(agent, services, nodes, nodeName);
  const healthChecks = new HealthChecks({
    clock: systemClock,
    log,
    healthy,
    onRefused: tell.healthCheckRefused,
  });
  const { detection } = traffic;
  const proxy = new ServiceProxy({
    open: openNetlinkSocket,
    nodeName,
    clock: systemClock,
    log,
    metrics: proxyMetrics(agent.registry, systemClock),
    rules: {
      podInterface: detection.kind === 'interface' ? detection.pods : undefined,
      masqueradeBit: traffic.masqueradeBit,
      counting,
    },
    resetStaleTcp,
    healthChecks,
    localhost: traffic.nodePortAddresses.localhost
      ? new LocalhostNodePorts({ clock: systemClock, random: Math.random, log })
      : undefined,
    onForeignChange: onChange,
    onComplaints: tell.balancingRefused,
  });
  serviceMetrics(agent.registry, () => proxy.traffic(), log);
  services.store.subscribe((key, service) => {
    proxy.setService(key, service);
    onChange();
  });
  const slices = agent.follow(ENDPOINT_SLICES);
  slices.store.subscribe((key, slice) => {
    proxy.setEndpointSlice(key, slice);
    onChange();
  });
  const cidrs = agent.follow(SERVICE_CIDRS);
  cidrs.store.subscribe(() => {
    proxy.setServiceCidrs(prefixesOf(cidrs.store.values()));
    onChange();
  });
  let machine: readonly Ip[] = [];
  const onNode = () => {
    proxy.setNode(nodeView(nodes.store.get(nodeName), machine, traffic));
    onChange();
  };
  nodes.store.subscribe((key) => key === nodeName && onNode());
  const interfaces = await watchInterfaces({
    open: openNetlinkSocket,
    clock: systemClock,
    onChange(found) {
      machine = found.flatMap(({ addresses }) => addresses.map(({ address }) => address));
      onNode();
    },
    onError: (error) => log.warn({ error: error.message }, 'lost sight of the addresses; will try again'),
  });
  // No rules before the lists are whole: half of them would refuse what the other half serves. ServiceCIDRs only
  // drop what nobody answers, and older API servers have none.
  let listed = false;
  Promise.all([services.synced, slices.synced, nodes.synced]).then(() => {
    listed = true;
    onChange();
  });
  await proxy.start();
  let synced = false;
  return {
    get synced() {
      return synced;
    },
    skipNodes: (dead) => proxy.setDeadNodes(dead),
    async sync() {
      if (!listed) return;
      await proxy.sync();
      synced = true;
    },
    cleanFlows: () => void proxy.cleanFlows(), // it never rejects
    serves: (address) => proxy.serves(address),
    close() {
      interfaces.close();
      proxy.close();
    },
  };
}

function prefixesOf(cidrs: Iterable<ServiceCidrObject>): Range[] {
  return [...cidrs].flatMap(({ spec }) =>
    (spec?.cidrs ?? []).flatMap((text) => {
      const read = parsePrefix(text);
      return read.kind === 'parsed' ? [read.value] : [];
    }),
  );
}
