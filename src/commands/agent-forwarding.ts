// The forwarding half of an agent: the kernel's rules follow Services and EndpointSlices.
import { systemClock } from '../clock/clock.ts';
import type { ServiceObject } from '../kube/objects.ts';
import { ENDPOINT_SLICES } from '../kube/resources.ts';
import type { Ip } from '../net/address.ts';
import { proxyMetrics } from '../proxy/metrics.ts';
import { ServiceProxy } from '../proxy/service-proxy.ts';
import { openNetlinkSocket } from '../sockets/open-netlink-socket.ts';
import type { Followed, Process } from './processes.ts';

export interface ForwardingHalf {
  /** Whether it has done its work once, from whole lists. */
  readonly synced: boolean;
  /** Brings the kernel up to date. Rejects where it refuses everything. */
  sync(): Promise<void>;
  /** What may come after everything else: flows to endpoints that are gone. */
  cleanFlows(): Promise<void>;
  /** Whether the rules for this load balancer's address are in the kernel. */
  serves(address: Ip): boolean;
  /** The rules stay in the kernel and forward on. */
  close(): void;
}

/** Rejects when this machine cannot forward; the message says what is missing. */
export async function startForwarding(
  agent: Process,
  services: Followed<ServiceObject>,
  nodeName: string,
  onChange: () => void,
): Promise<ForwardingHalf> {
  const proxy = new ServiceProxy({
    open: openNetlinkSocket,
    nodeName,
    clock: systemClock,
    log: agent.log,
    metrics: proxyMetrics(agent.registry),
  });
  services.store.subscribe((key, service) => {
    proxy.setService(key, service);
    onChange();
  });
  const slices = agent.follow(ENDPOINT_SLICES);
  slices.store.subscribe((key, slice) => {
    proxy.setEndpointSlice(key, slice);
    onChange();
  });
  // No rules before both lists are whole: half of them would refuse what the other half serves.
  let listed = false;
  Promise.all([services.synced, slices.synced]).then(() => {
    listed = true;
    onChange();
  });
  await proxy.start();
  let synced = false;
  return {
    get synced() {
      return synced;
    },
    async sync() {
      if (!listed) return;
      await proxy.sync();
      synced = true;
    },
    cleanFlows: () => proxy.cleanFlows(),
    serves: (address) => proxy.serves(address),
    close: () => proxy.close(),
  };
}
