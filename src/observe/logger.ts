// Structured logs: one JSON object a line on standard output, the event's name in `msg`, its facts in fields.
import { type DestinationStream, type Logger, pino } from 'pino';

export type { Logger };

export interface LoggerOptions {
  /** The process that speaks: controller, agent, lab. */
  readonly component: string;
  readonly level: string;
  readonly destination?: DestinationStream;
}

export function createLogger({ component, level, destination }: LoggerOptions): Logger {
  // Synchronous writes: the last words before an exit are the ones that matter.
  return pino(
    { level, base: { component }, timestamp: pino.stdTimeFunctions.isoTime },
    destination ?? pino.destination({ sync: true }),
  );
}
