import { expect, it } from 'vitest';
import { lint } from '../../src/api/lint.ts';
import { describe as sentence } from '../../src/api/problem.ts';
import type { KubeObject } from '../../src/kube/objects.ts';

function object(kind: string, name: string, spec: unknown, more: object = {}): KubeObject {
  return { apiVersion: 'fairlead.dev/v1alpha1', kind, metadata: { name }, spec, ...more } as KubeObject;
}

function said(...objects: readonly KubeObject[]): string[] {
  return lint(objects).problems.map(sentence);
}

it('has nothing against good objects, and passes over those of others', () => {
  const objects = [
    object('IPAddressPool', 'lan', { addresses: ['192.0.2.0/24'] }),
    object('L2Advertisement', 'lan', { ipAddressPools: ['lan'] }),
    object('AddressReservation', 'web', { addresses: ['192.0.2.7'] }),
    object('AddressQuota', 'shop', { maxIPv4: 5, namespaces: ['shop'] }),
    { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web' } },
  ];
  expect(lint(objects)).toEqual({ problems: [], checked: 4 });
});

it('says of each kind what its reader says, and what they are to each other', () => {
  expect(
    said(
      object('IPAddressPool', 'a', { addresses: ['192.0.2.300'] }),
      object('IPAddressPool', 'b', { addresses: ['192.0.2.0/25'] }),
      object('IPAddressPool', 'c', { addresses: ['192.0.2.127-192.0.2.130'] }),
      object('L2Advertisement', 'd', { ipAddressPools: ['b', 'gone'] }),
      object('AddressReservation', 'e', { addresses: [] }),
      object('AddressQuota', 'q', {
        maxIPv4: -1,
        namespaceSelectors: [{ matchExpressions: [{ key: 'a' }] }],
      }),
      object('CloudAccount', 'f', {
        provider: 'gcp',
        clusterName: 'x',
        aws: { region: 'eu-central-1', vpcID: 'vpc-0a1b2c3d4e5f60718' },
      }),
    ),
  ).toEqual([
    'IPAddressPool/a: spec.addresses[0] "192.0.2.300" is not an IP address: "300" is not 0 to 255',
    'IPAddressPool/c: spec.addresses "192.0.2.127" belongs to the older pool "b"; take it out of one of the two',
    'AddressReservation/e: spec.addresses "[]" names no address; write at least one, such as 192.0.2.7',
    'AddressQuota/q: spec.maxIPv4 "-1" is no whole number from 0 to 2147483647; write one',
    expect.stringContaining('AddressQuota/q: spec.namespaceSelectors[0].matchExpressions[0].operator'),
    expect.stringContaining('CloudAccount/f: spec.provider "gcp"'),
    'L2Advertisement/d: spec.ipAddressPools "gone" is no IPAddressPool; create it, or correct the name',
  ]);
});

it('knows its kinds and their version, and that none has a namespace or is there twice', () => {
  const good = object('IPAddressPool', 'lan', { addresses: ['192.0.2.1'] });
  expect(
    said(
      good,
      good,
      object('IPPool', 'x', {}),
      object('IPAddressPool', 'y', {}, { apiVersion: 'fairlead.dev/v1' }),
      object('IPAddressPool', 'z', {}, { metadata: { name: 'z', namespace: 'metallb-system' } }),
    ),
  ).toEqual(
    expect.arrayContaining([
      'IPPool/x: kind "IPPool" is no kind of fairlead.dev; there are IPAddressPool, L2Advertisement, AddressReservation, AddressQuota, CloudAccount',
      'IPAddressPool/y: apiVersion "fairlead.dev/v1" is not known; write fairlead.dev/v1alpha1',
      'IPAddressPool/z: metadata.namespace "metallb-system" has no meaning: IPAddressPool is cluster-scoped; leave it out',
      'IPAddressPool/lan: metadata.name "lan" is there twice; keep one of the two',
    ]),
  );
});
