// `fairlead queue`: shows what a running controller has to do, and lets a parked Service run again.
import { Command } from 'commander';
import type { QueueView } from '../queue/work-queue.ts';
import { bindAddress } from './options.ts';
import { QUEUE_PAGE, RELEASE_PAGE } from './queue-pages.ts';

/** Milliseconds until a controller that does not answer is given up. */
const PATIENCE = 10_000;
const STATES = ['ready', 'delayed', 'running', 'parked'] as const;

interface QueueOptions {
  readonly controller: string;
  readonly json: boolean;
}

export function queueCommand(): Command {
  const queue = new Command('queue')
    .description('what a controller has to do, and lets a parked Service run again')
    .option('--controller <host:port>', 'where it serves its metrics', bindAddress, '127.0.0.1:9120')
    .option('--json', 'print one JSON object', false)
    .action(async ({ controller, json }: QueueOptions) => {
      const view = await ask(controller, 'GET', QUEUE_PAGE);
      if (view.kind === 'failed') return fail(view.error);
      console.log(json ? JSON.stringify(view.body) : table(view.body as QueueView)); // the page is a view
    });
  queue
    .command('release <service>')
    .description('namespace/name of a parked Service: it is tried again at once')
    .action(async (key: string) => {
      const page = `${RELEASE_PAGE}?key=${encodeURIComponent(key)}`;
      const answer = await ask(queue.opts<QueueOptions>().controller, 'POST', page);
      if (answer.kind === 'failed') return fail(answer.error);
      console.log(`released ${key}`);
    });
  return queue;
}

type Answer =
  | { readonly kind: 'answered'; readonly body: object }
  | { readonly kind: 'failed'; readonly error: string };

async function ask(controller: string, method: string, page: string): Promise<Answer> {
  const host = controller.startsWith(':') ? `127.0.0.1${controller}` : controller;
  try {
    const signal = AbortSignal.timeout(PATIENCE);
    const response = await fetch(`http://${host}${page}`, { method, signal });
    const text = await response.text();
    const body = response.headers.get('content-type') === 'application/json' ? JSON.parse(text) : undefined;
    if (response.ok && body) return { kind: 'answered', body };
    return { kind: 'failed', error: body?.error ?? `--controller "${controller}" is no Fairlead controller` };
  } catch (error) {
    const { cause, message } = error as Error; // fetch and JSON.parse throw nothing else
    const problem = cause instanceof Error ? cause.message || ('code' in cause && cause.code) : message;
    return {
      kind: 'failed',
      error:
        `--controller "${controller}" does not answer: ${problem}; give the address of its metrics, ` +
        'or forward it here by kubectl port-forward',
    };
  }
}

function fail(error: string): void {
  console.error(`fairlead: ${error}`);
  process.exitCode = 1;
}

function table(view: QueueView): string {
  const counts = (name: string, row: Readonly<Record<(typeof STATES)[number], number>>) => [
    name,
    ...STATES.map((state) => String(row[state])),
  ];
  const accounts = Object.entries(view.accounts).sort(([a], [b]) => (a < b ? -1 : 1));
  const lines = aligned([
    ['account', ...STATES],
    ...accounts.map(([name, row]) => counts(name || '(none)', row)),
    counts('all', view),
  ]);
  if (view.ready > 0) lines.push('', `the oldest has been ready for ${(view.oldest / 1000).toFixed(1)} s`);
  if (view.parkedKeys.length > 0) {
    const parked = view.parkedKeys.map(({ key, error }) => [key, error]);
    lines.push('', ...aligned([['parked', 'last error'], ...parked]));
  }
  return lines.join('\n');
}

function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
