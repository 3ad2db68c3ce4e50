// What a Service is told of a conflict over its address.
import { expect, it } from 'vitest';
import { conflictEvent } from '../../src/status/conflict-event.ts';

const RIVAL = { mac: '02:00:00:00:00:66', interfaceName: 'eth0' };

it('a conflict is a warning that names the address, the host, where it was heard, what follows and the mend', () => {
  expect(conflictEvent('192.0.2.1', 'node-1', RIVAL, 'withhold')).toEqual({
    type: 'Warning',
    reason: 'AddressConflict',
    action: 'Announce',
    note:
      '192.0.2.1 is in use by another host, 02:00:00:00:00:66, heard on eth0 of node-1: it is not announced until that ' +
      'host gives it up. Take the address from that host, or out of the pool',
  });
  expect(conflictEvent('192.0.2.1', 'node-1', RIVAL, 'keep').note).toContain(
    'announced all the same (--on-conflict keep)',
  );
});

it('its end is told, too', () => {
  expect(conflictEvent('192.0.2.1', 'node-1', undefined, 'withhold')).toMatchObject({
    type: 'Normal',
    reason: 'AddressConflictEnded',
    note: '192.0.2.1: no other host has it any more; node node-1 announces it',
  });
});
