// What the conditions of a reservation say beside whether it is valid: only what is so is there.
import type { Reservation } from '../api/reservation.ts';
import type { Ip } from '../net/address.ts';
import type { Statement } from './pool-conditions.ts';

/** `reservation`: none where it is not valid. `now`: milliseconds since 1970. `holderOf`: who has an address. */
export function reservationStatements(
  reservation: Reservation | undefined,
  now: number,
  holderOf: (address: Ip) => string | undefined,
): Statement[] {
  if (!reservation) return [];
  const { addresses, service, expires = Number.POSITIVE_INFINITY } = reservation;
  if (expires <= now)
    return [{ type: 'Expired', reason: 'TimePassed', message: 'holds nothing back any more; delete it' }];
  const held = addresses.flatMap((address) => {
    const holder = holderOf(address);
    return holder === undefined ? [] : [{ address, holder }];
  });
  if (held.length === 0) return [];
  const foreign = held.some(({ holder }) => holder !== service);
  return [
    {
      type: 'Held',
      reason: foreign ? 'ByAnother' : 'ByItsService',
      message: held.map(({ address, holder }) => `${address} is with the Service ${holder}`).join('; '),
    },
  ];
}
