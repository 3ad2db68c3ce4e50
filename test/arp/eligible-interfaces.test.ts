// On which interfaces addresses are announced.
import { describe, expect, it } from 'vitest';
import {
  closestInterfaces,
  DEFAULT_EXCLUDED,
  eligibleInterfaces,
} from '../../src/arp/eligible-interfaces.ts';
import { ip } from '../../src/net/address.ts';
import { networkInterface } from './network-interface.ts';

const EXCLUDED = new RegExp(DEFAULT_EXCLUDED);

describe('an interface is fit', () => {
  it('with its index, name and MAC address when nothing speaks against it', () => {
    const fit = networkInterface('eth0', { index: 7 });
    expect(eligibleInterfaces([fit], EXCLUDED)).toEqual([
      { index: 7, name: 'eth0', mac: fit.mac, subnets: [] },
    ]);
  });

  it.each([
    ['down', { up: false }],
    ['without carrier', { carrier: false }],
    ['unable to resolve addresses', { noArp: true }],
    ['the loopback', { loopback: true }],
    ['a port of a bridge or bond', { master: 5 }],
    ['without a MAC address', { mac: undefined }],
  ])('not when it is %s', (_, changes) => {
    expect(eligibleInterfaces([networkInterface('eth0', changes)], EXCLUDED)).toEqual([]);
  });

  it('not when its name is excluded', () => {
    const names = [
      'docker0',
      'br-0a1b2c',
      'cni0',
      'veth12ab',
      'cali0',
      'flannel.1',
      'kube-ipvs0',
      'virbr0',
      'dummy0',
    ];
    const fit = ['eth0', 'ens3', 'enp1s0f0np0', 'bond0', 'br0', 'eth0.100', 'lan'];
    const found = eligibleInterfaces(
      [...names, ...fit].map((name) => networkInterface(name)),
      EXCLUDED,
    );
    expect(found.map(({ name }) => name)).toEqual(fit);
    expect(eligibleInterfaces([networkInterface('lan')], /^lan$/)).toEqual([]);
  });
});

describe('the closest interfaces to an address', () => {
  const having = (name: string, ...addresses: string[]) =>
    networkInterface(name, {
      addresses: addresses.map((each) => {
        const [address = '', length] = each.split('/');
        return { address: ip(address), prefixLength: Number(length), scope: 'global' as const };
      }),
    });
  const eligible = eligibleInterfaces(
    [
      having('eth0', '192.0.2.7/24', '2001:db8::7/64'),
      having('eth1', '198.51.100.7/25', '203.0.113.9/32'),
      having('eth2', '192.0.2.8/24'),
      having('eth3'),
    ],
    /^$/,
  );

  it.each([
    ['192.0.2.200', ['eth0', 'eth2']],
    ['2001:db8::ffff', ['eth0']],
    ['198.51.100.127', ['eth1']],
  ])('%s are those on its subnet', (address, expected) => {
    expect(closestInterfaces(ip(address), eligible)).toEqual(new Set(expected));
  });

  it.each(['198.51.100.128', '2001:db8:0:1::1', '203.0.113.9'])(
    '%s are all where none is on its subnet',
    (address) => {
      expect(closestInterfaces(ip(address), eligible)).toBe('all');
    },
  );
});
