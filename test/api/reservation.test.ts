import { describe, expect, it } from 'vitest';
import { describe as sentence } from '../../src/api/problem.ts';
import { checkReservations, readReservation } from '../../src/api/reservation.ts';
import type { KubeObject } from '../../src/kube/objects.ts';

function object(name: string, spec: unknown, created = '2026-01-01T00:00:00Z'): KubeObject {
  return { metadata: { name, creationTimestamp: created }, spec } as KubeObject; // `spec` is what users write
}

describe('an AddressReservation', () => {
  it('needs addresses alone, and holds them back from everybody for ever', () => {
    expect(readReservation(object('printer', { addresses: ['192.0.2.7'] }))).toEqual({
      kind: 'valid',
      value: { name: 'printer', addresses: ['192.0.2.7'] },
    });
  });

  it('may name a Service, an owner and an end', () => {
    const spec = {
      addresses: ['192.0.2.7', '2001:DB8::7'],
      service: { namespace: 'shop', name: 'web' },
      owner: 'team red',
      expires: '2027-01-31T12:00:00+01:00',
    };
    expect(readReservation(object('web', spec))).toEqual({
      kind: 'valid',
      value: {
        name: 'web',
        addresses: ['192.0.2.7', '2001:db8::7'],
        service: 'shop/web',
        owner: 'team red',
        expires: Date.UTC(2027, 0, 31, 11),
      },
    });
  });

  it('is told everything that is wrong with it at once', () => {
    const spec = {
      addresses: ['192.0.2.0/30', 7],
      service: { namespace: 'shop', pod: 'x' },
      owner: 1,
      expires: 'tomorrow',
    };
    const read = readReservation(object('bad', spec));
    expect(read.kind === 'invalid' && read.problems.map(sentence)).toEqual([
      'AddressReservation/bad: spec.addresses[0] "192.0.2.0/30" is not an IP address: "0/30" is not 0 to 255',
      'AddressReservation/bad: spec.addresses[1] "7" is not an IP address; write four numbers with dots, such as 192.0.2.1',
      'AddressReservation/bad: spec.service.pod "pod" is no field here; there are namespace, name',
      'AddressReservation/bad: spec.owner "1" is not a text with at least one character',
      'AddressReservation/bad: spec.expires "tomorrow" is no point in time; write one such as 2027-01-31T12:00:00Z',
    ]);
  });

  it.each([
    [{ addresses: [] }, 'names no address'],
    [{ addresses: ['192.0.2.7'], service: { name: 'web' } }, 'write both its namespace and its name'],
    [{ addresses: ['192.0.2.7'], expires: '2027-13-01T00:00:00Z' }, 'is no point in time'],
  ])('is refused as %j', (spec, why) => {
    const read = readReservation(object('bad', spec));
    expect(read.kind === 'invalid' && read.problems.map(sentence)).toEqual([expect.stringContaining(why)]);
  });
});

it('of two reservations of one address the older has it', () => {
  const { reservations, problems } = checkReservations([
    object('young', { addresses: ['192.0.2.7'] }, '2026-01-02T00:00:00Z'),
    object('old', { addresses: ['192.0.2.7', '192.0.2.8'] }),
  ]);
  expect(reservations.map(({ name }) => name)).toEqual(['old']);
  expect((problems.get('young') ?? []).map(sentence)).toEqual([
    'AddressReservation/young: spec.addresses "192.0.2.7" is reserved by the older AddressReservation "old"; take it out of one of the two',
  ]);
});
