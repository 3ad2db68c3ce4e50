import { expect, it } from 'vitest';
import { chooseSubnets, type Subnet, type SubnetWish } from '../../../src/providers/aws/subnets.ts';

function subnet(id: string, zone: string, more: Partial<Subnet> = {}): Subnet {
  return { id, zone, freeAddresses: 200, hasIpv6: false, ranges: [], tags: {}, ...more };
}

const WISH: SubnetWish = { named: [], scheme: 'internal', cluster: 'demo', dualstack: false };
const INTERNAL = { 'kubernetes.io/role/internal-elb': '1' };
const OURS = { ...INTERNAL, 'kubernetes.io/cluster/demo': 'shared' };
const THEIRS = { ...INTERNAL, 'kubernetes.io/cluster/other': 'owned' };

it.each<[string, Partial<SubnetWish>, Subnet[], readonly string[]]>([
  [
    'by id and Name, in their order',
    { named: ['b', 'subnet-1'] },
    [subnet('subnet-1', 'a'), subnet('subnet-2', 'b', { tags: { Name: 'b' } })],
    ['subnet-2', 'subnet-1'],
  ],
  ['by their tag', {}, [subnet('s1', 'a', { tags: INTERNAL }), subnet('s2', 'b')], ['s1']],
  ['by an empty tag', {}, [subnet('s1', 'a', { tags: { 'kubernetes.io/role/internal-elb': '' } })], ['s1']],
  [
    'for the public by another tag',
    { scheme: 'internet-facing' },
    [subnet('s1', 'a', { tags: INTERNAL }), subnet('s2', 'a', { tags: { 'kubernetes.io/role/elb': '1' } })],
    ['s2'],
  ],
  [
    'one a zone: our cluster first, then the lowest',
    {},
    [
      subnet('s1', 'a', { tags: INTERNAL }),
      subnet('s2', 'a', { tags: OURS }),
      subnet('s4', 'b', { tags: INTERNAL }),
      subnet('s3', 'b', { tags: INTERNAL }),
    ],
    ['s2', 's3'],
  ],
  [
    'none of other clusters',
    {},
    [subnet('s1', 'a', { tags: THEIRS }), subnet('s2', 'a', { tags: INTERNAL })],
    ['s2'],
  ],
  [
    'none that is full',
    {},
    [subnet('s1', 'a', { tags: INTERNAL, freeAddresses: 7 }), subnet('s2', 'a', { tags: INTERNAL })],
    ['s2'],
  ],
  [
    'with IPv6 for dualstack',
    { dualstack: true },
    [subnet('s1', 'a', { tags: INTERNAL }), subnet('s2', 'a', { tags: INTERNAL, hasIpv6: true })],
    ['s2'],
  ],
  [
    'by routes where none is tagged',
    {},
    [subnet('s1', 'a', { isPublic: true }), subnet('s2', 'a', { isPublic: false })],
    ['s2'],
  ],
])('subnets are chosen %s', (_, wish, subnets, ids) => {
  expect(chooseSubnets({ ...WISH, ...wish }, subnets)).toEqual({ kind: 'chosen', ids });
});

it('asks for routes where no subnet is tagged', () => {
  expect(chooseSubnets(WISH, [subnet('s1', 'a')])).toEqual({ kind: 'needsRoutes' });
});

it.each<[string, Partial<SubnetWish>, Subnet[], RegExp]>([
  ['none at all', {}, [], /tag one for each zone, or name them/],
  [
    'why each does not fit',
    {},
    [subnet('s1', 'a', { tags: THEIRS }), subnet('s2', 'a', { tags: INTERNAL, freeAddresses: 3 })],
    /s1 is tagged for other clusters only; s2 has 3 free addresses of the 8 needed/,
  ],
  ['an unknown name', { named: ['x'] }, [subnet('s1', 'a')], /"x" is neither the id nor the Name/],
  [
    'a Name of two',
    { named: ['n'] },
    [subnet('s1', 'a', { tags: { Name: 'n' } }), subnet('s2', 'b', { tags: { Name: 'n' } })],
    /the Name of 2 subnets/,
  ],
  [
    'two in a zone',
    { named: ['s1', 's2'] },
    [subnet('s1', 'a'), subnet('s2', 'a')],
    /s1 and s2 are both in a/,
  ],
  ['no IPv6', { named: ['s1'], dualstack: true }, [subnet('s1', 'a')], /s1 has no IPv6 range/],
])('says what is wrong: %s', (_, wish, subnets, message) => {
  expect(chooseSubnets({ ...WISH, ...wish }, subnets)).toEqual({
    kind: 'none',
    message: expect.stringMatching(message),
  });
});
