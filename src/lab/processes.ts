// Processes of the lab: each in the network namespace of its host, with a log of its own.
import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const CHECKOUT = join(import.meta.dirname, '../..');
/** Milliseconds that a process has to say that it is ready, and to stop when asked. */
const START_DEADLINE = 60_000;
const STOP_DEADLINE = 4_000;

export interface LabProcess {
  readonly name: string;
  readonly child: ChildProcess;
  /** Of standard output and error. */
  readonly logFile: string;
  /** Sends the signal (SIGTERM), and SIGKILL where that does not end it. Resolves with how it ended. */
  stop(signal?: NodeJS.Signals): Promise<Ended>;
}

export interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
}

interface Place {
  readonly namespace: string;
  readonly logFolder: string;
}

/** Runs `bin/fairlead` with these words. Resolves when it logs the event `ready`, or rejects with the log's end. */
export async function startFairlead(
  name: string,
  {
    namespace,
    logFolder,
    args,
    ready,
    environment = {},
  }: Place & {
    args: readonly string[];
    ready: string;
    /** Beside that of the lab. */
    environment?: Readonly<Record<string, string>>;
  },
): Promise<LabProcess> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const onLine = (line: string) => line.includes(`"msg":"${ready}"`) && resolve();
  const command = [join(CHECKOUT, 'bin/fairlead'), ...args];
  const started = start(name, { namespace, logFolder }, command, { onLine, environment });
  await untilReady(started, promise);
  return started;
}

/** Runs a script of src/lab/hosts. Resolves when it has sent "ready", or rejects with the log's end. */
export async function startScript(
  name: string,
  { namespace, logFolder, script, args }: Place & { script: string; args: readonly string[] },
): Promise<LabProcess> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const command = [process.execPath, join(import.meta.dirname, 'hosts', script), ...args];
  const started = start(name, { namespace, logFolder }, command, { ipc: true });
  started.child.once('message', () => resolve());
  await untilReady(started, promise);
  return started;
}

function start(
  name: string,
  { namespace, logFolder }: Place,
  command: readonly string[],
  {
    ipc = false,
    onLine,
    environment = {},
  }: {
    ipc?: boolean;
    onLine?: (line: string) => void;
    environment?: Readonly<Record<string, string>>;
  },
): LabProcess {
  const logFile = join(logFolder, `${name}.log`);
  const child = spawn('ip', ['netns', 'exec', namespace, ...command], {
    stdio: ['ignore', 'pipe', 'pipe', ...(ipc ? (['ipc'] as const) : [])],
    env: { ...process.env, ...environment },
  });
  const log = createWriteStream(logFile, { flags: 'a' });
  for (const output of [child.stdout, child.stderr]) {
    if (!output) continue;
    output.pipe(log, { end: false });
    if (onLine) createInterface({ input: output }).on('line', onLine);
  }
  const ended = new Promise<Ended>((resolve) => {
    child.once('close', (status, signal) => log.end(() => resolve({ status, signal })));
  });
  return {
    name,
    child,
    logFile,
    async stop(signal = 'SIGTERM') {
      child.kill(signal);
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_DEADLINE);
      const how = await ended;
      clearTimeout(timer);
      return how;
    },
  };
}

async function untilReady({ name, child, logFile }: LabProcess, isReady: Promise<void>): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const fail = (why: string) => reject(new Error(`${name} ${why}:\n${logEnd(logFile)}`));
  const onClose = () => fail('ended before it was ready');
  const timer = setTimeout(() => fail(`was not ready after ${START_DEADLINE} ms`), START_DEADLINE);
  child.once('close', onClose);
  child.once('error', reject);
  try {
    await Promise.race([isReady, promise]);
  } finally {
    clearTimeout(timer);
    child.off('close', onClose);
  }
}

/** The last lines that a process wrote. */
function logEnd(logFile: string): string {
  return readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-15).join('\n');
}
