// Tells on advertisements that this node has an interface that they name, where no other node has told so.
import { readAdvertisement } from '../api/advertisement.ts';
import { interfacesToTell, type NodeInterfaces, toldInterfaces } from '../api/advertisement-interfaces.ts';
import { systemClock, type Timer } from '../clock/clock.ts';
import { tellingDenials } from '../kube/denials.ts';
import { KubeError } from '../kube/kube-api.ts';
import type { KubeObject, NodeObject } from '../kube/objects.ts';
import { L2_ADVERTISEMENTS } from '../kube/resources.ts';
import type { Followed, Process } from './processes.ts';

/** Milliseconds over which the nodes spread their looks: the first that tells saves the others from it. */
const SPREAD = 1_000;
/** Milliseconds until what could not be told is told again. */
const RETRY = 5_000;

export interface InterfaceTeller {
  /** By name. */
  setInterfaces(names: readonly string[]): void;
  close(): void;
}

/** Begins when both stores are whole. */
export function interfaceTeller(
  agent: Process,
  nodeName: string,
  nodes: Followed<NodeObject>,
  advertisements: Followed<KubeObject>,
): InterfaceTeller {
  const { log } = agent;
  const api = tellingDenials(agent.api, log);
  let interfaces: ReadonlySet<string> = new Set();
  let whole = false;
  let looking: Timer | undefined;
  const lookIn = (delay: number) => {
    if (whole) looking ??= systemClock.setTimer(delay, look);
  };
  const look = () => {
    looking = undefined;
    const node = nodes.store.get(nodeName);
    if (!node) return;
    const { labels = {} } = node.metadata;
    for (const object of advertisements.store.values())
      tell(object, { node: nodeName, labels, interfaces }).catch((error: Error) => {
        // Another node was faster, or the advertisement is gone: the store hears of that.
        if (error instanceof KubeError && [404, 409].includes(error.status)) return;
        lookIn(RETRY);
        log.debug({ error: error.message }, 'could not tell of interfaces; will try again');
      });
  };
  const tell = async (object: KubeObject, here: NodeInterfaces) => {
    const read = readAdvertisement(object);
    if (read.kind === 'invalid') return;
    const isNode = (name: string) => nodes.store.get(name) !== undefined;
    const news = interfacesToTell(read.value, toldInterfaces(object), here, isNode);
    if (Object.keys(news).length === 0) return;
    const { name, resourceVersion } = object.metadata;
    const patch = { metadata: { resourceVersion }, status: { interfaces: news } };
    const options = { type: 'merge', subresource: 'status', fieldManager: 'fairlead-agent' } as const;
    await api.patch(L2_ADVERTISEMENTS, { name }, patch, options);
  };
  const onChange = () => lookIn(Math.random() * SPREAD);
  const unsubscribe = [nodes, advertisements].map(({ store }) => store.subscribe(onChange));
  Promise.all([nodes.synced, advertisements.synced]).then(() => {
    whole = true;
    onChange();
  });
  return {
    setInterfaces(names) {
      interfaces = new Set(names);
      onChange();
    },
    close() {
      looking?.cancel();
      for (const stop of unsubscribe) stop();
    },
  };
}
