// On which interfaces addresses are announced.
import { describe, expect, it } from 'vitest';
import { DEFAULT_EXCLUDED, eligibleInterfaces } from '../../src/arp/eligible-interfaces.ts';
import { networkInterface } from './network-interface.ts';

const EXCLUDED = new RegExp(DEFAULT_EXCLUDED);

describe('an interface is fit', () => {
  it('with its index, name and MAC address when nothing speaks against it', () => {
    const fit = networkInterface('eth0', { index: 7 });
    expect(eligibleInterfaces([fit], EXCLUDED)).toEqual([{ index: 7, name: 'eth0', mac: fit.mac }]);
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
