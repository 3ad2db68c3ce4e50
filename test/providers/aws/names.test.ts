// Vectors from the AWS Load Balancer Controller v3: cluster `demo`, Service default/web.
import { expect, it } from 'vitest';
import {
  backendGroupName,
  inTreeName,
  loadBalancerName,
  securityGroupName,
  targetGroupName,
} from '../../../src/providers/aws/names.ts';
import { desired } from './desired.ts';

const SERVICE = { namespace: 'default', name: 'web', uid: '11111111-2222-3333-4444-555555555555' };

it('names load balancers and security groups as the AWS controller does', () => {
  expect(loadBalancerName('demo', SERVICE, 'internal')).toBe('k8s-default-web-43a9c8fa8e');
  expect(loadBalancerName('demo', SERVICE, 'internet-facing')).toBe('k8s-default-web-ca51eec268');
  expect(securityGroupName('demo', SERVICE)).toBe('k8s-default-web-fd5eebb4f6');
  expect(backendGroupName('demo')).toBe('k8s-traffic-demo-2a97516c35');
  expect(inTreeName(SERVICE)).toBe('a1111111122223333444455555555555');
});

it.each([
  ['instance, TCP', {}, { port: 80, nodePort: 30080 }, '63d7b032b9'],
  ['instance, HTTP checks', { 'healthcheck-protocol': 'http' }, { port: 80, nodePort: 30080 }, '88e583274c'],
  [
    'ip, TLS',
    {
      'nlb-target-type': 'ip',
      'ssl-cert': 'arn:aws:acm:eu-central-1:111122223333:certificate/one',
      'backend-protocol': 'ssl',
    },
    { port: 443, targetPort: 8443 },
    '056c947a43',
  ],
])('names target groups as the AWS controller does: %s', (_, annotations, port, hash) => {
  const [group] = desired({ annotations, spec: { ports: [port] } }).targetGroups;
  expect(group?.names[0]).toBe(`k8s-default-web-${hash}`);
  expect(new Set(group?.names).size).toBe(4);
});

it('cuts long names and strips what is no letter or digit', () => {
  const name = targetGroupName(
    'demo',
    { ...SERVICE, namespace: 'my-long-namespace', name: 'a.b-c', targetType: 'ip' },
    {
      port: 80,
      targetPort: 'http',
      targetProtocol: 'TCP',
      protocol: 'TCP',
      portNames: [''],
      certificates: [],
      attributes: {},
      targetAttributes: {},
      healthCheck: {
        protocol: 'TCP',
        port: '80',
        interval: 10,
        timeout: 10,
        healthyThreshold: 3,
        unhealthyThreshold: 3,
      },
    },
    0,
  );
  expect(name).toMatch(/^k8s-mylongna-abc-[0-9a-f]{10}$/);
});
