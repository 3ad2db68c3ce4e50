// The example of an IAM policy allows what the provider calls, and nothing else.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { EC2_ACTIONS, ELB_ACTIONS, permissionOf } from '../../src/providers/aws/aws-api.ts';

interface Policy {
  readonly Statement: readonly { readonly Effect: string; readonly Action: string | readonly string[] }[];
}

it('allows every call, and the role that AWS makes with the first load balancer of an account', () => {
  const file = join(import.meta.dirname, '../../examples/aws/iam-policy.json');
  const policy: Policy = JSON.parse(readFileSync(file, 'utf8'));
  const allowed = policy.Statement.flatMap(({ Action }) => Action).toSorted();
  const needed = [...ELB_ACTIONS, ...EC2_ACTIONS].map(permissionOf);
  expect(allowed).toEqual([...needed, 'iam:CreateServiceLinkedRole'].toSorted());
});
