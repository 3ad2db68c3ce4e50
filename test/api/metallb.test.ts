import { describe, expect, it } from 'vitest';
import { annotationsFromMetallb, fromMetallb } from '../../src/api/metallb.ts';
import type { KubeObject } from '../../src/kube/objects.ts';

function theirs(kind: string, name: string, spec: object, namespace = 'metallb-system'): KubeObject {
  return {
    apiVersion: 'metallb.io/v1beta1',
    kind,
    metadata: { name, namespace, uid: 'x' },
    spec,
  } as KubeObject;
}

describe('MetalLB’s objects as ours', () => {
  it('have every field that they had, no namespace, and nothing that the server wrote', () => {
    const spec = {
      addresses: ['192.0.2.7/24', '198.51.100.1 - 198.51.100.9', '2001:db8::5/64', '203.0.113.9/32'],
      autoAssign: false,
      avoidBuggyIPs: true,
      serviceAllocation: { priority: 5, namespaces: ['shop'] },
    };
    const advertisement = {
      ipAddressPools: ['lan'],
      interfaces: ['eth1'],
      nodeSelectors: [{ matchLabels: { rack: 'a' } }],
    };
    const { objects, notes } = fromMetallb([
      theirs('L2Advertisement', 'lan', advertisement),
      theirs('IPAddressPool', 'lan', spec),
      { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web' } },
    ]);
    expect(notes).toEqual([]);
    expect(objects).toEqual([
      {
        apiVersion: 'fairlead.dev/v1alpha1',
        kind: 'IPAddressPool',
        metadata: { name: 'lan' },
        spec: {
          ...spec,
          addresses: ['192.0.2.0/24', '198.51.100.1 - 198.51.100.9', '2001:db8::/64', '203.0.113.9/32'],
        },
      },
      {
        apiVersion: 'fairlead.dev/v1alpha1',
        kind: 'L2Advertisement',
        metadata: { name: 'lan' },
        spec: advertisement,
      },
    ]);
  });

  it('are told where they have no counterpart', () => {
    const { objects, notes } = fromMetallb([
      theirs('IPAddressPool', 'lan', { addresses: ['192.0.2.0/24'], colour: 'red' }),
      theirs('IPAddressPool', 'lan', { addresses: ['198.51.100.0/24'] }, 'other'),
      theirs('IPAddressPool', 'silent', { addresses: ['203.0.113.0/24'] }),
      theirs('L2Advertisement', 'lan', { ipAddressPools: ['lan'] }),
      theirs('BGPPeer', 'router', {}),
      theirs('ServiceL2Status', 'l2-x', {}),
      theirs('Novelty', 'x', {}),
    ]);
    expect(objects.map(({ kind, metadata }) => `${kind}/${metadata.name}`)).toEqual([
      'IPAddressPool/lan',
      'IPAddressPool/silent',
      'L2Advertisement/lan',
    ]);
    expect(notes).toEqual([
      'BGPPeer/metallb-system/router has no counterpart: Fairlead does not speak BGP',
      'IPAddressPool/metallb-system/lan spec.colour has no counterpart',
      'IPAddressPool/other/lan is left out: our kinds have no namespace, and IPAddressPool/lan is there already',
      'Novelty/metallb-system/x has no counterpart: the kind is not known',
      'IPAddressPool/silent is in no L2Advertisement: MetalLB does not announce it, and Fairlead will, by ARP and NDP from every node; add an L2Advertisement that selects no node to keep it silent',
    ]);
  });
});

describe('annotations', () => {
  it('of MetalLB are found under both prefixes, the newer one first', () => {
    expect(
      annotationsFromMetallb({
        'metallb.universe.tf/loadBalancerIPs': '192.0.2.1',
        'metallb.universe.tf/address-pool': 'old',
        'metallb.io/address-pool': 'lan',
        'metallb.io/allow-shared-ip': 'k',
        'metallb.io/ip-allocated-from-pool': 'lan',
        other: 'x',
      }),
    ).toEqual({
      'fairlead.dev/load-balancer-ips': '192.0.2.1',
      'fairlead.dev/address-pool': 'lan',
      'fairlead.dev/allow-shared-ip': 'k',
    });
    expect(annotationsFromMetallb(undefined)).toEqual({});
  });
});
