// What the conditions of a quota say beside whether it is valid: only what is so is there.
import type { QuotaUse } from '../ipam/quotas.ts';
import type { Statement } from './pool-conditions.ts';

/** `use`: none where the quota is not valid. */
export function quotaStatements(use: QuotaUse | undefined): Statement[] {
  const statements: Statement[] = [];
  if (!use) return statements;
  const { reached, exceeded } = use;
  if (reached.length > 0)
    statements.push({
      type: 'LimitReached',
      reason: 'NoMore',
      message: `these namespaces have as many addresses as they may, and get no more: ${reached.join(', ')}`,
    });
  if (exceeded.length > 0)
    statements.push({
      type: 'LimitExceeded',
      reason: 'InUse',
      message: `these namespaces keep more addresses than they may by now: ${exceeded.join(', ')}`,
    });
  return statements;
}
