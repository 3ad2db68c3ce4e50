// Which addresses nobody has used before.
import { expect, it } from 'vitest';
import { NewAddresses } from '../../src/arp/new-addresses.ts';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import { ip } from '../../src/net/address.ts';

const [A, B] = [ip('192.0.2.1'), ip('192.0.2.2')];

it('an address is new for a while after it was seen first, unless it was there from the beginning', async () => {
  const clock = new VirtualClock();
  const addresses = new NewAddresses(clock);
  expect(addresses.has(A)).toBe(false);
  addresses.see([A]);
  expect(addresses.has(A)).toBe(false);
  addresses.see([A, B]);
  expect([addresses.has(A), addresses.has(B)]).toEqual([false, true]);
  await clock.advance(9_999);
  addresses.see([A, B]);
  expect(addresses.has(B)).toBe(true);
  await clock.advance(1);
  expect(addresses.has(B)).toBe(false);
  addresses.see([B]);
  addresses.see([A, B]); // gone, and back: somebody else may have it now
  expect([addresses.has(A), addresses.has(B)]).toEqual([true, false]);
});
