// Rosters as text: read strictly, because who votes decides who may answer.
import { expect, it } from 'vitest';
import { majorityOf, parseRoster, type Roster } from '../../src/membership/roster.ts';
import { ip } from '../../src/net/address.ts';

const ROSTER: Roster = {
  epoch: 3,
  voters: [
    { id: 'node-1', host: ip('192.0.2.10'), port: 9121 },
    { id: 'witness/controller', host: ip('2001:db8::2'), port: 9121 },
  ],
};

it('is read back from its own text, without what else is in it', () => {
  expect(parseRoster(JSON.stringify(ROSTER))).toEqual({ kind: 'parsed', value: ROSTER });
  expect(parseRoster(JSON.stringify({ ...ROSTER, note: 1 }))).toEqual({ kind: 'parsed', value: ROSTER });
});

const [first, second] = ROSTER.voters;
it.each([
  ['not JSON', '{', 'is not JSON'],
  ['nothing', 'null', 'has no "epoch" from 1 on'],
  ['without an epoch', JSON.stringify({ voters: ROSTER.voters }), 'has no "epoch" from 1 on'],
  ['of epoch 0', JSON.stringify({ ...ROSTER, epoch: 0 }), 'has no "epoch" from 1 on'],
  ['without voters', JSON.stringify({ epoch: 1, voters: [] }), 'has not 1 to 7 "voters"'],
  ['with too many', JSON.stringify({ epoch: 1, voters: Array(8).fill(first) }), 'has not 1 to 7 "voters"'],
  ['with one twice', JSON.stringify({ epoch: 1, voters: [first, second, first] }), 'names a voter twice'],
  [
    'with a host that is a name',
    JSON.stringify({ epoch: 1, voters: [{ ...first, host: 'example.com' }] }),
    'has a voter "node-1" whose "host" is no IP address',
  ],
  [
    'with a port out of range',
    JSON.stringify({ epoch: 1, voters: [{ ...first, port: 0 }] }),
    'has a voter "node-1" whose "port" is not 1 to 65535',
  ],
  [
    'with a voter of no name',
    JSON.stringify({ epoch: 1, voters: [{ ...first, id: '' }] }),
    'has a voter without a proper "id"',
  ],
])('%s is refused, and why is said', (_, text, problem) => {
  expect(parseRoster(text)).toEqual({ kind: 'malformed', problem });
});

it('has a majority of more than half', () => {
  const majorities = [1, 2, 3, 4, 5, 6, 7].map((count) =>
    majorityOf({ epoch: 1, voters: Array(count).fill(ROSTER.voters[0]) }),
  );
  expect(majorities).toEqual([1, 2, 2, 3, 3, 4, 4]);
});
