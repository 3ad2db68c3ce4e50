// AWS in a lab: the emulator on a host of its own, with health checks and connections over the lab's LAN. Its parent
// asks over IPC what there is, and has a hand in the console. Called with the host's address, the port of the API,
// and `instance=address` for each node.
import { setTimeout as wait } from 'node:timers/promises';
import { AwsEmulator } from '../aws/emulator.ts';
import { Forwarder } from '../aws/forwarder.ts';
import { HealthChecks } from '../aws/health-checks.ts';
import type { AskedOfAws, AwsLook } from '../aws-host.ts';

/** How much faster health is checked than the target groups say. */
const SPEED = 20;
/** Milliseconds. */
const PROVISIONING = 500;
const RELEASE = 300;

const [host = '', port = '', ...instances] = process.argv.slice(2);
const emulator = await AwsEmulator.start({ host, port: Number(port) });
const { cloud } = emulator;
Object.assign(cloud.behaviour, { provisioning: PROVISIONING, release: RELEASE });
/** The security group of all nodes; no Service's, and not looked at. */
const NODES = 'sg-0a1b2c3d';
cloud.securityGroups.set(NODES, { id: NODES, name: 'nodes', vpc: cloud.vpc, rules: [], tags: {} });
for (const each of instances) {
  const [id = '', address = ''] = each.split('=');
  cloud.addInstance(id, { address, groups: [NODES] });
}
const stop = new AbortController();
const checks = new HealthChecks(cloud, SPEED);
checks.start(stop.signal);
new Forwarder(cloud, host).start(stop.signal);

process.on('message', ({ id, what }: AskedOfAws) => {
  if (what === 'delete listeners') cloud.listeners.clear();
  if (what === 'deregister targets') for (const group of cloud.targetGroups.values()) group.targets.clear();
  process.send?.({ id, look: look() });
});

function look(): AwsLook {
  const { loadBalancers, listeners, targetGroups, securityGroups, behaviour } = cloud;
  const registered = [...targetGroups.values()].flatMap((group) =>
    [...group.targets.values()]
      .filter(({ drainsUntil }) => drainsUntil === undefined)
      .map(({ id, port: to }) => ({ id, healthy: behaviour.isHealthy(id, to, group) ?? null })),
  );
  return {
    loadBalancers: [...loadBalancers.values()].map(({ name }) => name),
    listeners: [...listeners.values()].map(({ port: number }) => number),
    targetGroups: [...targetGroups.values()].map(({ name }) => name),
    securityGroups: [...securityGroups.values()].filter(({ id }) => id !== NODES).map(({ name }) => name),
    nodeRules: securityGroups.get(NODES)?.rules.length ?? 0,
    targets: registered,
    changes: checks.changes,
  };
}

for (const end of ['disconnect', 'SIGTERM'])
  process.on(end, async () => {
    stop.abort();
    await Promise.race([emulator.close(), wait(500)]);
    process.exit(0);
  });
process.send?.('ready');
