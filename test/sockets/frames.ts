// Frames for socket tests: right in what filters look at, free in the rest.
import { type Mac, macBytes } from '../../src/net/mac.ts';

/** An ARP frame of 60 bytes that ends in `mark`. */
export function arpFrame(to: Mac, from: Mac, mark: number): Uint8Array {
  return ethernet(to, from, 0x0806, 60, [[59, mark]]);
}

/** An IPv6 frame of 86 bytes with an ICMPv6 message of this type, or of another next header, that ends in `mark`. */
export function ipv6Frame(to: Mac, from: Mac, type: number, mark: number, nextHeader = 58): Uint8Array {
  return ethernet(to, from, 0x86dd, 86, [
    [14, 0x60],
    [19, 32],
    [20, nextHeader],
    [21, 255],
    [54, type],
    [85, mark],
  ]);
}

/** The same frame behind an 802.1Q tag. */
export function tagged(frame: Uint8Array, vlan: number): Uint8Array {
  const tag = [0x81, 0x00, vlan >> 8, vlan & 0xff];
  return Uint8Array.from([...frame.subarray(0, 12), ...tag, ...frame.subarray(12)]);
}

export function markOf(frame: Uint8Array): number {
  return frame.at(-1) ?? 0;
}

function ethernet(
  to: Mac,
  from: Mac,
  etherType: number,
  length: number,
  bytes: readonly (readonly [number, number])[],
): Uint8Array {
  const frame = new Uint8Array(length);
  frame.set(macBytes(to));
  frame.set(macBytes(from), 6);
  frame[12] = etherType >> 8;
  frame[13] = etherType & 0xff;
  for (const [at, byte] of bytes) frame[at] = byte;
  return frame;
}
