// The steps of the demonstration on AWS: from an account and a Service to a load balancer whose targets are nodes,
// through what goes wrong, to nothing at all.
import { setTimeout as wait } from 'node:timers/promises';
import type { Condition, ServiceObject } from '../kube/objects.ts';
import { CLOUD_ACCOUNTS, SERVICES } from '../kube/resources.ts';
import type { AwsHost, AwsLook } from '../lab/aws-host.ts';
import type { Cluster } from '../lab/cluster.ts';
import { cutOff, plugIn } from '../lab/network.ts';
import { APP } from '../lab/objects.ts';
import type { LabNode } from '../lab/plan.ts';
import type { Requester } from '../lab/requester.ts';
import { whenStored, within } from '../lab/waiting.ts';
import { createUntil } from './create-until.ts';
import type { Reporter } from './report.ts';
import { http, told, untilAnswered, untilSteady } from './traffic.ts';

export interface AwsStage {
  readonly cluster: Cluster;
  readonly aws: AwsHost;
  /** The LAN's address at which load balancers answer. */
  readonly front: string;
  readonly client: Requester;
  readonly reporter: Reporter;
}

/** So that nobody waits for the 45 seconds that are usual. */
export const AWS_CONTROLLER = {
  args: ['--drift-check', '2s'],
  environment: { AWS_ACCESS_KEY_ID: 'lab', AWS_SECRET_ACCESS_KEY: 'lab' },
} as const;

const ACCOUNT = 'lab';
const SERVICE = { namespace: 'default', name: 'web' } as const;
const SERVICE_KEY = 'default/web';
const LIMIT = 30_000;
const POLL = 20;

export async function createAccount({ cluster, aws, reporter }: AwsStage): Promise<void> {
  const spec = {
    provider: 'aws',
    clusterName: ACCOUNT,
    default: true,
    aws: { region: 'eu-central-1', vpcID: 'vpc-0a1b2c3d4e5f60718', endpoint: aws.endpoint },
  };
  const milliseconds = await createUntil(cluster.api, CLOUD_ACCOUNTS, ACCOUNT, spec, 'Works', LIMIT);
  reporter.step({
    name: 'account',
    what: `CloudAccount "${ACCOUNT}" works: AWS answers at ${aws.endpoint}`,
    observed: { account: ACCOUNT, endpoint: aws.endpoint },
    milliseconds,
  });
}

/** Returns its host name. */
export async function createCloudService({ cluster, aws, reporter }: AwsStage): Promise<string> {
  const created = performance.now();
  await cluster.api.create(SERVICES, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: SERVICE,
    spec: {
      type: 'LoadBalancer',
      loadBalancerClass: 'fairlead.dev/aws-nlb',
      selector: { app: APP },
      ports: [{ name: 'http', protocol: 'TCP', port: 80, targetPort: 'http' }],
    },
  });
  const active = ({ status }: ServiceObject) =>
    status?.conditions?.some(
      ({ type, reason }) => type === 'fairlead.dev/Allocated' && reason === 'Active',
    ) ?? false;
  const service = await within(
    LIMIT,
    'an active load balancer',
    whenStored(cluster.standIns.services, SERVICE_KEY, active),
  );
  const hostname = service.status?.loadBalancer?.ingress?.[0]?.hostname ?? '';
  const { loadBalancers, targets } = await aws.do('look');
  reporter.step({
    name: 'active',
    what: `Service ${SERVICE_KEY} has ${hostname}, which AWS says is active, after its creation`,
    observed: { hostname, loadBalancers, targets: targets.map(({ id }) => id) },
    milliseconds: performance.now() - created,
  });
  return hostname;
}

/** Every node answers the checks that come over the LAN to its node port, and the client through the load balancer. */
export async function healthyTargets(stage: AwsStage): Promise<void> {
  const { cluster, client, front, reporter } = stage;
  const began = performance.now();
  const all = cluster.plan.nodes.length;
  await untilAws(stage, `${all} healthy targets`, ({ targets }) => {
    return targets.length === all && targets.every(({ healthy }) => healthy === true);
  });
  await within(LIMIT, 'healthy targets in the status', targetsHealthy(cluster, 'True'));
  reporter.step({
    name: 'healthy',
    what: `${all} nodes pass the health checks of their node port, and the Service says TargetsHealthy`,
    observed: { targets: all },
    milliseconds: performance.now() - began,
  });
  const asked = performance.now();
  const { answer } = await within(LIMIT, `an answer from ${front}`, untilAnswered(client, http(front)));
  reporter.step({
    name: 'http',
    what: `HTTP through the load balancer: ${told(answer)} answers`,
    observed: { ...answer },
    milliseconds: performance.now() - asked,
  });
}

/** A node that is cut off fails its checks, and then is no target any more; connections go to the others. */
export async function lostNode(stage: AwsStage): Promise<void> {
  const { cluster, client, front, reporter } = stage;
  const node = cluster.plan.nodes.at(-1) as LabNode; // there are two at least
  const before = (await stage.aws.do('look')).changes.length;
  cutOff(node);
  const cut = performance.now();
  reporter.progress(`cut ${node.name} off the LAN`);
  const has = ({ changes }: AwsLook, healthy: boolean) =>
    changes.slice(before).some((each) => each.target === node.instance && each.healthy === healthy);
  await untilAws(stage, `${node.name} unhealthy`, (look) => has(look, false));
  reporter.step({
    name: 'unhealthy',
    what: `${node.name} is cut off the LAN: AWS finds it unhealthy`,
    observed: { node: node.name, instance: node.instance },
    milliseconds: performance.now() - cut,
  });
  await untilAws(stage, `${node.name} deregistered`, ({ targets }) => !registered(targets, node));
  const steady = await within(
    LIMIT,
    `answers in a row from ${front}`,
    untilSteady(client, http(front), node),
  );
  reporter.step({
    name: 'deregistered',
    what: `${node.name} is not Ready, and no target any more; the others answer through the load balancer, after the cut`,
    observed: { node: node.name, pods: steady.pods },
    milliseconds: performance.now() - cut,
  });
  plugIn(node);
  const back = performance.now();
  await untilAws(stage, `${node.name} healthy again`, ({ targets }) =>
    targets.some(({ id, healthy }) => id === node.instance && healthy === true),
  );
  reporter.step({
    name: 'returned',
    what: `${node.name} is back on the LAN: a target again, and healthy`,
    observed: { node: node.name },
    milliseconds: performance.now() - back,
  });
}

/** What somebody does in AWS's console is put right, whether lists tell it or not. */
export async function repairedDrift(stage: AwsStage): Promise<void> {
  const all = stage.cluster.plan.nodes.length;
  const deeds = [
    {
      name: 'listener-repaired',
      deed: 'delete listeners',
      what: 'somebody deletes the listener in the console: it is back',
      isRight: ({ listeners }: AwsLook) => listeners.length === 1,
    },
    {
      name: 'targets-repaired',
      deed: 'deregister targets',
      what: 'somebody deregisters all targets: they are back',
      isRight: ({ targets }: AwsLook) => targets.length === all,
    },
  ] as const;
  for (const { name, deed, what, isRight } of deeds) {
    const began = performance.now();
    await stage.aws.do(deed);
    const { listeners, targets } = await untilAws(stage, what, isRight);
    stage.reporter.step({
      name,
      what,
      observed: { listeners, targets: targets.length },
      milliseconds: performance.now() - began,
    });
  }
}

/** Deletes the Service: AWS has nothing of it any more, and then the Service is gone too. */
export async function releaseCloud(stage: AwsStage): Promise<void> {
  const { cluster, reporter } = stage;
  const began = performance.now();
  await cluster.api.delete(SERVICES, SERVICE);
  const gone = async () => {
    while (cluster.standIns.services.get(SERVICE_KEY)) await wait(POLL);
  };
  await within(LIMIT, 'the end of the Service', gone());
  const { loadBalancers, listeners, targetGroups, securityGroups, nodeRules } = await stage.aws.do('look');
  const left = [...loadBalancers, ...listeners, ...targetGroups, ...securityGroups];
  if (left.length + nodeRules > 0)
    throw new Error(
      `the Service is gone, and AWS still has ${left.join(', ')} and ${nodeRules} rules of the nodes`,
    );
  reporter.step({
    name: 'released',
    what: 'the Service is deleted: no load balancer, listener, target group, security group or rule is left in AWS',
    observed: { left },
    milliseconds: performance.now() - began,
  });
}

function registered(targets: AwsLook['targets'], { instance }: LabNode): boolean {
  return targets.some(({ id }) => id === instance);
}

async function untilAws({ aws }: AwsStage, what: string, isSo: (look: AwsLook) => boolean): Promise<AwsLook> {
  const watch = async () => {
    for (;;) {
      const look = await aws.do('look');
      if (isSo(look)) return look;
      await wait(POLL);
    }
  };
  return within(LIMIT, what, watch());
}

function targetsHealthy({ standIns }: Cluster, status: Condition['status']): Promise<ServiceObject> {
  return whenStored(standIns.services, SERVICE_KEY, (service) =>
    (service.status?.conditions ?? []).some(
      (each) => each.type === 'fairlead.dev/TargetsHealthy' && each.status === status,
    ),
  );
}
