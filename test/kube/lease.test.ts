import { describe, expect, it } from 'vitest';
import { type LeaseObject, type Move, nextMove, specAfter, specReleased } from '../../src/kube/lease.ts';

const NOW = new Date('2026-01-02T03:04:05.678Z');

function lease(spec: LeaseObject['spec']): LeaseObject {
  return { metadata: { name: 'x', namespace: 'y' }, ...(spec ? { spec } : {}) };
}

describe('a candidate', () => {
  it.each<[string, LeaseObject | undefined, number, Move]>([
    ['makes the lease where there is none', undefined, 0, 'create'],
    ['takes one without a spec', lease(undefined), 0, 'take'],
    ['takes one that was given back', lease({ holderIdentity: '', leaseDurationSeconds: 1 }), 0, 'take'],
    [
      'renews its own, however old',
      lease({ holderIdentity: 'me', leaseDurationSeconds: 15 }),
      99_999,
      'renew',
    ],
    ['leaves another its time', lease({ holderIdentity: 'you', leaseDurationSeconds: 15 }), 15_000, 'wait'],
    [
      'takes over from who is silent',
      lease({ holderIdentity: 'you', leaseDurationSeconds: 15 }),
      15_001,
      'take',
    ],
  ])('%s', (_, object, unchangedFor, move) => {
    expect(nextMove(object, 'me', unchangedFor)).toBe(move);
  });
});

describe('the lease', () => {
  const options = { identity: 'me', leaseDuration: 15_000, now: NOW };
  const renewed = { renewTime: '2026-01-02T03:04:05.678000Z', leaseDurationSeconds: 15 };
  const taken = { ...renewed, holderIdentity: 'me', acquireTime: renewed.renewTime };

  it('names its holder and counts its changes of hands', () => {
    expect(specAfter('create', undefined, options)).toEqual({ ...taken, leaseTransitions: 0 });
    const before = lease({ holderIdentity: 'you', leaseTransitions: 4 });
    expect(specAfter('take', before, options)).toEqual({ ...taken, leaseTransitions: 5 });
    expect(specAfter('renew', before, options)).toEqual(renewed);
  });

  it('has no holder once it is given back', () => {
    expect(specReleased(NOW)).toEqual({ ...renewed, holderIdentity: null, leaseDurationSeconds: 1 });
  });
});
