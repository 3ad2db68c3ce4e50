import { expect, it } from 'vitest';
import { ip } from '../../src/net/address.ts';
import { macAt, macBytes, multicastMac, solicitedNodeGroup } from '../../src/net/mac.ts';

it('reads a MAC address at any offset and gives its bytes back', () => {
  const mac = macAt(Uint8Array.of(9, 0x02, 0, 0xab, 0xcd, 0xef, 1), 1);
  expect(mac).toBe('02:00:ab:cd:ef:01');
  expect([...macBytes(mac)]).toEqual([0x02, 0, 0xab, 0xcd, 0xef, 1]);
});

it('maps an IPv6 address to its solicited-node group and Ethernet address (RFC 4291 §2.7.1, RFC 2464 §7)', () => {
  const group = solicitedNodeGroup(ip('4037::1:800:200e:8c6c'));
  expect(group).toBe('ff02::1:ff0e:8c6c');
  expect(multicastMac(group)).toBe('33:33:ff:0e:8c:6c');
});
