import { describe, expect, it } from 'vitest';
import type { Problem } from '../../src/api/problem.ts';
import type { PoolCounts } from '../../src/ipam/allocator.ts';
import type { KubeObject } from '../../src/kube/objects.ts';
import { configPatch } from '../../src/status/config-status.ts';

const NOW = new Date('2026-01-02T03:04:05.678Z');
const LATER = new Date('2026-01-02T04:00:00Z');
const COUNTS: PoolCounts = {
  assigned: { IPv4: 2n, IPv6: 0n },
  available: { IPv4: 8n, IPv6: 2n ** 64n },
  waiting: 0,
  beyondLimit: [],
};
const PROBLEMS: Problem[] = [
  { object: 'IPAddressPool/lan', field: 'spec.addresses[0]', value: 'x', mend: 'is no address; write one' },
  { object: 'IPAddressPool/lan', field: 'spec.exclude[0]', value: 'y', mend: 'is no address; write one' },
];

function pool(status: object = {}, generation = 3): KubeObject {
  return { metadata: { name: 'lan', generation }, status } as KubeObject; // what the API server answers
}

describe('the status of a pool', () => {
  const patch = configPatch(pool(), { problems: [], counts: COUNTS }, NOW);

  it('says that it is valid, and counts its addresses up to the largest exact number', () => {
    expect(patch).toEqual({
      status: {
        totalIPv4: 10,
        totalIPv6: Number.MAX_SAFE_INTEGER,
        assignedIPv4: 2,
        assignedIPv6: 0,
        availableIPv4: 8,
        availableIPv6: Number.MAX_SAFE_INTEGER,
        conditions: [
          {
            type: 'Valid',
            status: 'True',
            reason: 'Valid',
            message: '',
            lastTransitionTime: '2026-01-02T03:04:05Z',
            observedGeneration: 3,
          },
        ],
      },
    });
  });

  it('is written only where it differs', () => {
    expect(configPatch(pool(patch?.status), { problems: [], counts: COUNTS }, LATER)).toBeUndefined();
    expect(configPatch(pool(patch?.status, 4), { problems: [], counts: COUNTS }, LATER)).toBeDefined();
    const fewer = { ...COUNTS, available: { ...COUNTS.available, IPv4: 7n } };
    expect(configPatch(pool(patch?.status), { problems: [], counts: fewer }, LATER)?.status).toMatchObject({
      availableIPv4: 7,
      conditions: [{ lastTransitionTime: '2026-01-02T03:04:05Z' }],
    });
  });

  it('has beside it the conditions that are so, each with the time since which it is, and drops them then', () => {
    const full = {
      type: 'Exhausted',
      reason: 'NoFreeIPv4',
      message: 'no IPv4 address is free; 1 Service waits',
    };
    const state = { problems: [], counts: COUNTS, statements: [full] };
    const first = configPatch(pool(patch?.status), state, NOW)?.status;
    expect(first?.conditions.map(({ type, status }) => `${type} ${status}`)).toEqual([
      'Valid True',
      'Exhausted True',
    ]);
    const more = { ...full, message: 'no IPv4 address is free; 2 Services wait' };
    const second = configPatch(pool(first), { ...state, statements: [more] }, LATER)?.status.conditions[1];
    expect(second).toMatchObject({ message: more.message, lastTransitionTime: '2026-01-02T03:04:05Z' });
    const third = configPatch(pool(first), { problems: [], counts: COUNTS }, LATER)?.status;
    expect(third?.conditions.map(({ type }) => type)).toEqual(['Valid']);
  });

  it('names everything that is wrong, counts nothing then, and leaves the conditions of others', () => {
    const other = { type: 'Other', status: 'True', reason: 'R', message: '', lastTransitionTime: 'T' };
    const before = pool({ ...patch?.status, conditions: [other, ...(patch?.status.conditions ?? [])] });
    expect(configPatch(before, { problems: PROBLEMS }, LATER)).toEqual({
      status: {
        totalIPv4: null,
        totalIPv6: null,
        assignedIPv4: null,
        assignedIPv6: null,
        availableIPv4: null,
        availableIPv6: null,
        conditions: [
          other,
          {
            type: 'Valid',
            status: 'False',
            reason: 'Invalid',
            message:
              'IPAddressPool/lan: spec.addresses[0] "x" is no address; write one; ' +
              'IPAddressPool/lan: spec.exclude[0] "y" is no address; write one',
            lastTransitionTime: '2026-01-02T04:00:00Z',
            observedGeneration: 3,
          },
        ],
      },
    });
  });
});
