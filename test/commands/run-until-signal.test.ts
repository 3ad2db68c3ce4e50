// The life of a long-running command, as a real process that gets real signals.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const MODULE = join(import.meta.dirname, '../../src/commands/run-until-signal.ts');

/** Runs `body` as the work of a command; it has `signal` and says 'ready' first. */
async function run(body: string): Promise<ChildProcess> {
  const script = `
    const { runUntilSignal } = await import('${MODULE}');
    await runUntilSignal(async (signal) => { console.log('ready'); ${body} });`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  await once(child.stdout, 'data');
  return child;
}

it.each(['SIGTERM', 'SIGINT'] as const)(
  'ends with status 0 once its work has ended after %s',
  async (name) => {
    const child = await run(
      `await new Promise((resolve) => { signal.addEventListener('abort', resolve); setInterval(() => {}, 1000); });`,
    );
    child.kill(name);
    expect(await once(child, 'exit')).toEqual([0, null]);
  },
);

it('is ended where its work does not end, with status 1', async () => {
  const child = await run('await new Promise(() => setInterval(() => {}, 1000));');
  child.kill('SIGTERM');
  expect(await once(child, 'exit')).toEqual([1, null]);
});

it('ends with status 1 and the error when its work fails', async () => {
  const child = await run(`throw new Error('the work failed');`);
  let words = '';
  child.stderr?.on('data', (data) => (words += data));
  expect(await once(child, 'close')).toEqual([1, null]);
  expect(words).toContain('the work failed');
});
