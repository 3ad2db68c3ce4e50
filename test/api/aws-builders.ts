// Services and accounts for tests of the AWS rooms, with everything defaulted that the case does not speak of.
import type { AwsAccount } from '../../src/api/cloud-account.ts';
import type { ServiceObject, ServicePort } from '../../src/kube/objects.ts';

export const P = 'service.beta.kubernetes.io/aws-load-balancer-';

export const ACCOUNT: AwsAccount = {
  region: 'eu-central-1',
  vpcId: 'vpc-0a1b2c3d4e5f60718',
  scheme: 'internal',
  targetType: 'instance',
  tags: {},
  subnets: [],
  securityGroupPolicy: 'Managed',
  rateLimits: {
    read: { perSecond: 1000, burst: 1000 },
    write: { perSecond: 1000, burst: 1000 },
    register: { perSecond: 1000, burst: 1000 },
  },
};

export const CERTIFICATE = 'arn:aws:acm:eu-central-1:111122223333:certificate/one';

/** `annotations`: names behind the AWS prefix, or whole ones where they have a slash. */
export function service(
  annotations: Readonly<Record<string, string>> = {},
  spec: Partial<ServiceObject['spec']> = {},
  meta: Partial<ServiceObject['metadata']> = {},
): ServiceObject {
  const ports: ServicePort[] = [
    { name: 'web', protocol: 'TCP', port: 80, targetPort: 8080, nodePort: 30080 },
  ];
  return {
    metadata: {
      namespace: 'default',
      name: 'web',
      uid: '11111111-2222-3333-4444-555555555555',
      annotations: Object.fromEntries(
        Object.entries(annotations).map(([key, value]) => [key.includes('/') ? key : `${P}${key}`, value]),
      ),
      ...meta,
    },
    spec: {
      type: 'LoadBalancer',
      loadBalancerClass: 'fairlead.dev/aws-nlb',
      ipFamilies: ['IPv4'],
      ports,
      ...spec,
    },
  };
}
