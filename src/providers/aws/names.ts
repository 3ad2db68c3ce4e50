// Names of cloud objects, made as the AWS Load Balancer Controller makes them, so that its dashboards, alarms and
// load balancers fit: `k8s-<namespace>-<name>-<hash>`, at most 32 characters.
import { createHash } from 'node:crypto';
import type { ListenerRequest } from '../../api/aws-ports.ts';
import type { AwsRequest } from '../../api/aws-request.ts';
import type { Scheme } from '../../api/cloud-account.ts';

type Named = Pick<AwsRequest, 'namespace' | 'name' | 'uid'>;

export function loadBalancerName(cluster: string, service: Named, scheme: Scheme): string {
  return named(service, cluster + service.uid + scheme);
}

/** `attempt` 0 is the AWS controller's name; the others serve while that one still hangs on an older load balancer. */
export function targetGroupName(
  cluster: string,
  { targetType, ...service }: Named & Pick<AwsRequest, 'targetType'>,
  { port, targetProtocol, healthCheck, ...listener }: ListenerRequest,
  attempt: number,
): string {
  const inputs = [
    cluster,
    service.uid,
    targetGroupPort(listener, targetType),
    port,
    targetType,
    targetProtocol,
    healthCheck.protocol,
    healthCheck.interval,
    attempt === 0 ? '' : `#${attempt}`,
  ];
  return named(service, inputs.join(''));
}

/** Node port, numeric target port, or 1 where the pods decide; targets carry ports of their own. */
export function targetGroupPort(
  { nodePort, targetPort }: Pick<ListenerRequest, 'nodePort' | 'targetPort'>,
  targetType: AwsRequest['targetType'],
): number {
  if (targetType === 'instance') return nodePort ?? 1;
  return typeof targetPort === 'number' ? targetPort : 1;
}

export function securityGroupName(cluster: string, service: Named): string {
  return named(service, cluster + service.name + service.namespace + service.uid);
}

/** Of the group that all load balancers of a cluster bear. */
export function backendGroupName(cluster: string): string {
  const hash = createHash('sha256').update(cluster).digest('hex').slice(0, 10);
  return `k8s-traffic-${cluster.replaceAll(/[^A-Za-z0-9]/g, '').slice(0, 232)}-${hash}`;
}

/** What all names of a Service begin with; other Services may share it. */
export function namePrefix({ namespace, name }: Pick<Named, 'namespace' | 'name'>): string {
  return `k8s-${short(namespace)}-${short(name)}-`;
}

/** The in-tree provider's and cloud-provider-aws's name of a Service's load balancer. */
export function inTreeName({ uid }: Pick<Named, 'uid'>): string {
  return `a${uid.replaceAll('-', '')}`.slice(0, 32);
}

function named(service: Named, hashed: string): string {
  return namePrefix(service) + createHash('sha256').update(hashed).digest('hex').slice(0, 10);
}

function short(text: string): string {
  return text.replaceAll(/[^A-Za-z0-9]/g, '').slice(0, 8);
}
