// The audit trail: a log line and a count for each address that is given, moved or given up, with what set it off.
// (A refusal is told by the Reconciler, where its reason first shows on the Service.)
import type { JournalEntry } from '../ipam/journal.ts';
import type { Logger } from '../observe/logger.ts';
import type { ReconcilerMetrics } from './metrics.ts';

export function auditTrail(
  log: Logger,
  metrics: Pick<ReconcilerMetrics, 'changes'>,
): (entry: JournalEntry) => void {
  return ({ kind, cause, ...rest }) => {
    metrics.changes.inc({ kind, cause });
    // What a Service had before the start is no news: after a restart that would be a line for each.
    if (cause !== 'kept') log.info({ kind, cause, ...rest }, 'addresses changed');
  };
}
