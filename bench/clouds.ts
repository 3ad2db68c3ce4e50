// How soon several controllers on one Redis work off a backlog of Services of a cloud whose answers take time, and how
// soon another leads when the one that leads is killed.
import { join } from 'node:path';
import type { ServiceObject } from '../src/kube/objects.ts';
import { SERVICES } from '../src/kube/resources.ts';
import type { CloudControllerOptions } from '../test/commands/cloud-controller-process.ts';
import { Cluster } from '../test/commands/cluster.ts';
import { ControllerProcess } from '../test/commands/controller-process.ts';
import { startEmbeddedServer, type TestServer } from '../test/lab/apiserver/running-server.ts';
import { CLOUD_CLASS } from '../test/providers/scripted-cloud.ts';
import { RedisServer } from '../test/queue/redis/redis-server.ts';
import type { BenchRow } from './row.ts';

const BACKLOG = 5_000;
/** Milliseconds that the cloud takes for one Service; each controller works on 32 at a time. */
const TAKES = 400;
/** A second, for all controllers of the account; fewer Services, so that it takes as long. */
const LIMIT = { perSecond: 50, burst: 10 };
const LIMITED_BACKLOG = 1_000;
/** Creations under way at once. */
const CONCURRENCY = 16;
const PROGRAM = join(import.meta.dirname, '../test/commands/cloud-controller-process.ts');

type Options = Omit<CloudControllerOptions, 'kubeconfig' | 'queue'>;

export async function clouds(): Promise<BenchRow[]> {
  const one = await backlog(1, BACKLOG, { takes: TAKES });
  const three = await backlog(3, BACKLOG, { takes: TAKES });
  const limited = await backlog(3, LIMITED_BACKLOG, { limit: LIMIT });
  return [
    {
      name: `${BACKLOG} Services of a cloud that takes ${TAKES} ms for each, three controllers on one Redis`,
      value: three.rate,
      unit: 'per second',
      target: '>= 2.5 x one',
      alternative: { name: `one controller; ${(three.rate / one.rate).toFixed(2)} x`, value: one.rate },
    },
    {
      name: `${LIMITED_BACKLOG} Services, three controllers, a limit of ${LIMIT.perSecond} calls a second after the first ${LIMIT.burst}`,
      value: limited.rate,
      unit: 'per second',
      target: `${LIMIT.perSecond}`,
    },
    {
      name: 'the controller that leads is killed: until another leads',
      value: three.followed ?? 0,
      unit: 'ms',
      target: '< 5000',
    },
  ];
}

interface Worked {
  /** Services a second, from the first that was served to the last. */
  readonly rate: number;
  /** Milliseconds from the death of the leader until another leads, where there is one. */
  readonly followed?: number;
}

async function backlog(controllers: number, count: number, options: Options): Promise<Worked> {
  const redis = await RedisServer.start();
  const server = await startEmbeddedServer();
  const cluster = new Cluster(server.api);
  const running: ControllerProcess[] = [];
  const start = () => {
    const queue = `redis://127.0.0.1:${redis.port}`;
    const all: CloudControllerOptions = { kubeconfig: server.kubeconfig, queue, ...options };
    const made = new ControllerProcess('', [], [process.execPath, PROGRAM, JSON.stringify(all)]);
    running.push(made);
    return made;
  };
  try {
    // A new Redis imposes the wait of one lease before the first key.
    await create(server, 1, 'warm');
    const warm = start();
    await cluster.service('warm0', isServed);
    await warm.stop();
    await create(server, count, 's');
    let [served, first] = [0, 0];
    const all = new Promise<void>((resolve) => {
      const seen = new Set<string>(['default/warm0']);
      cluster.services.subscribe((key, service) => {
        if (!service || seen.has(key) || !isServed(service)) return;
        seen.add(key);
        if (served++ === 0) first = performance.now();
        if (served === count) resolve();
      });
    });
    const began = Array.from({ length: controllers }, start);
    await all;
    const rate = Math.round((count - 1) / ((performance.now() - first) / 1000));
    return controllers > 1 ? { rate, followed: await follow(began) } : { rate };
  } finally {
    await Promise.all(running.map((each) => each.stop('SIGKILL')));
    await cluster.close();
    await server.close();
    await redis.close();
  }
}

async function follow(controllers: readonly ControllerProcess[]): Promise<number> {
  const leader = await Promise.any(controllers.map((each) => each.logged('leading').then(() => each)));
  const others = controllers.filter((each) => each !== leader);
  await leader.stop('SIGKILL');
  const died = performance.now();
  await Promise.any(others.map((each) => each.logged('leading')));
  return performance.now() - died;
}

async function create({ api }: TestServer, count: number, prefix: string): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const metadata = { name: `${prefix}${next++}`, namespace: 'default' };
      const spec: ServiceObject['spec'] = {
        type: 'LoadBalancer',
        loadBalancerClass: CLOUD_CLASS,
        allocateLoadBalancerNodePorts: false,
        ports: [{ port: 80 }],
      };
      await api.create(SERVICES, { apiVersion: 'v1', kind: 'Service', metadata, spec });
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
}

function isServed({ status }: ServiceObject): boolean {
  return status?.loadBalancer?.ingress?.[0]?.hostname !== undefined;
}
