// The life of a long-running command: it works until SIGTERM or SIGINT, then stops within two seconds.

import { MachineError } from './machine-error.ts';
import { UsageError } from './usage-error.ts';

/** Longest time that a clean stop may take, in milliseconds; a supervisor that asked for the stop waits for us. */
const STOP_DEADLINE = 2_000;

/** Runs `work` until it ends or a signal asks it to; its AbortSignal says when. Sets the exit status: 0, or 1 if it threw. */
export async function runUntilSignal(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const stop = new AbortController();
  const onSignal = () => {
    stop.abort();
    // Unreferenced: it only cuts short what would hang.
    setTimeout(() => process.exit(1), STOP_DEADLINE - 200).unref();
  };
  process.once('SIGTERM', onSignal);
  process.once('SIGINT', onSignal);
  try {
    await work(stop.signal);
    process.exit(0);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    console.error(error instanceof MachineError ? `fairlead: ${error.message}` : error);
    process.exit(1);
  }
}
