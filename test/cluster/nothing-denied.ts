// After each file of tests against the real API server: our accounts were never denied anything.
import { afterAll, expect } from 'vitest';
import { userOf } from '../../src/lab/accounts.ts';
import { auditLog } from './shared-kubernetes.ts';

afterAll(() => {
  expect(auditLog().deniedTo([userOf('controller'), userOf('agent')])).toEqual([]);
});
