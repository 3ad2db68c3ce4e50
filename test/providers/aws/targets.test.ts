import { describe, expect, it } from 'vitest';
import type { EndpointSliceObject, NodeObject } from '../../../src/kube/objects.ts';
import { nodeTargets, podTargets } from '../../../src/providers/aws/targets.ts';

interface Wishes {
  readonly ready?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly taints?: readonly { key: string; effect: string }[];
  readonly providerID?: string;
}

function node(name: string, { ready = 'True', labels = {}, taints = [], ...rest }: Wishes = {}): NodeObject {
  return {
    metadata: { name, labels },
    spec: { providerID: rest.providerID ?? `aws:///eu-central-1a/i-0000000${name}`, taints },
    status: { conditions: [{ type: 'Ready', status: ready }] },
  };
}

describe('node targets', () => {
  it.each<[string, Wishes]>([
    ['is excluded', { labels: { 'node.kubernetes.io/exclude-from-external-load-balancers': '' } }],
    ['is a master', { labels: { 'node-role.kubernetes.io/master': '' } }],
    ['is Fargate', { labels: { 'eks.amazonaws.com/compute-type': 'fargate' } }],
    ['is about to be deleted', { taints: [{ key: 'ToBeDeletedByClusterAutoscaler', effect: 'NoSchedule' }] }],
    ['is disrupted', { taints: [{ key: 'karpenter.sh/disrupted', effect: 'NoSchedule' }] }],
    ['is not ready', { ready: 'False' }],
    ['is unknown while others are ready', { ready: 'Unknown' }],
    ['lacks the label', { labels: { tier: 'back' } }],
  ])('are without a node that %s', (_, wishes) => {
    const good = node('a', { labels: { tier: 'edge' } });
    const bad = node('b', { ...wishes, labels: { tier: 'edge', ...wishes.labels } });
    expect(nodeTargets([bad, good], { tier: 'edge' })).toEqual({ instances: ['i-0000000a'], unusable: [] });
  });

  it('keep a cordoned node, and one with an effect that says nothing', () => {
    const taints = [
      { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' },
      { key: 'karpenter.sh/disrupted', effect: 'PreferNoSchedule' },
    ];
    expect(nodeTargets([node('a', { taints })], {}).instances).toEqual(['i-0000000a']);
  });

  it('fall back to the unknown where none is ready', () => {
    const nodes = [node('a', { ready: 'Unknown' }), node('b', { ready: 'False' })];
    expect(nodeTargets(nodes, {}).instances).toEqual(['i-0000000a']);
  });

  it('go on without a node of another cloud, and name it', () => {
    const nodes = [node('a'), node('b', { providerID: 'kind://x/y' }), node('c', { providerID: '' })];
    expect(nodeTargets(nodes, {})).toEqual({ instances: ['i-0000000a'], unusable: ['b', 'c'] });
  });
});

describe('pod targets', () => {
  const slices: EndpointSliceObject[] = [
    {
      metadata: { name: 'web-1' },
      addressType: 'IPv4',
      ports: [
        { name: 'web', port: 8080 },
        { name: 'metrics', port: 9090 },
      ],
      endpoints: [
        { addresses: ['10.0.0.2', '10.0.0.3'], conditions: { ready: true } },
        { addresses: ['10.0.0.1'] },
        { addresses: ['10.0.0.4'], conditions: { ready: false, serving: true, terminating: true } },
      ],
    },
    {
      metadata: { name: 'web-2' },
      addressType: 'IPv4',
      ports: [{ name: 'web', port: 8081 }],
      endpoints: [{ addresses: ['10.0.0.1'], conditions: { ready: true } }],
    },
    {
      metadata: { name: 'web-6' },
      addressType: 'IPv6',
      ports: [{ name: 'web', port: 8080 }],
      endpoints: [{ addresses: ['2001:db8::1'], conditions: { ready: true } }],
    },
    { metadata: { name: 'empty' }, addressType: 'IPv4', ports: null, endpoints: null },
  ];

  it('are the ready ones of the family, with the port that each slice names', () => {
    expect(podTargets({ portNames: ['web'] }, 'ipv4', slices)).toEqual([
      { id: '10.0.0.1', port: 8080 },
      { id: '10.0.0.1', port: 8081 },
      { id: '10.0.0.2', port: 8080 },
    ]);
    expect(podTargets({ portNames: ['web'] }, 'ipv6', slices)).toEqual([{ id: '2001:db8::1', port: 8080 }]);
    expect(podTargets({ portNames: ['other'] }, 'ipv4', slices)).toEqual([]);
  });
});
