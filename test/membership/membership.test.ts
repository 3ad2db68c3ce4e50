// Which nodes live, by the API server's word.
import { expect, it } from 'vitest';
import type { NodeObject } from '../../src/kube/objects.ts';
import { NodeReadiness } from '../../src/membership/membership.ts';

function node(...conditions: [type: string, status: string][]): NodeObject {
  const told = conditions.map(([type, status]) => ({ type, status }));
  return { metadata: { name: 'n' }, status: { conditions: told } };
}

const isAlive = (found: NodeObject | undefined) => new NodeReadiness({ get: () => found }).isAlive('n');

it('takes a node that is Ready for alive, whatever its other conditions', () => {
  expect(isAlive(node(['MemoryPressure', 'True'], ['Ready', 'True']))).toBe(true);
});

it.each([
  ['not Ready', node(['Ready', 'False'])],
  ['silent', node(['Ready', 'Unknown'])],
  ['without a condition', node(['DiskPressure', 'True'])],
  ['without a status', { metadata: { name: 'n' } }],
  ['not there', undefined],
])('does not take a node that is %s for alive', (_, found) => {
  expect(isAlive(found)).toBe(false);
});

it('looks again each time', () => {
  const nodes = new Map<string, NodeObject>();
  const membership = new NodeReadiness(nodes);
  expect(membership.isAlive('n')).toBe(false);
  nodes.set('n', node(['Ready', 'True']));
  expect(membership.isAlive('n')).toBe(true);
});
