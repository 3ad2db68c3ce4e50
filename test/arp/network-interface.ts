// Interfaces for tests: fit for announcing unless told otherwise.
import type { Mac } from '../../src/net/mac.ts';
import type { NetworkInterface } from '../../src/netlink/rtnetlink.ts';

export function networkInterface(name: string, changes: Partial<NetworkInterface> = {}): NetworkInterface {
  return {
    index: 2,
    name,
    mac: '02:00:00:00:00:0a' as Mac, // written as one
    up: true,
    carrier: true,
    noArp: false,
    loopback: false,
    master: undefined,
    kind: undefined,
    addresses: [],
    ...changes,
  };
}
