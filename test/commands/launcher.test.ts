// bin/fairlead in checkouts that it cannot run from.
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';

const FAIRLEAD = join(import.meta.dirname, '../../bin/fairlead');

let checkout: string;
beforeEach(() => {
  checkout = mkdtempSync(join(tmpdir(), 'fairlead-checkout-'));
  file('native/addon.c');
  file('bin/fairlead');
  copyFileSync(FAIRLEAD, join(checkout, 'bin/fairlead'));
});
afterEach(() => rmSync(checkout, { recursive: true }));

/** With `seconds` for its time of change. */
function file(name: string, text = '', seconds = 1): void {
  const path = join(checkout, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  utimesSync(path, seconds, seconds);
}

function built(seconds: number): void {
  mkdirSync(join(checkout, 'node_modules/.bin'), { recursive: true });
  symlinkSync(process.execPath, join(checkout, 'node_modules/.bin/node'));
  file('build/sockets.node', '', seconds);
  file('src/main.ts', "console.log('it runs');");
}

function run(): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(join(checkout, 'bin/fairlead'), { encoding: 'utf8' });
}

it('says how a checkout is set up', () => {
  expect(run()).toMatchObject({
    status: 2,
    stderr: expect.stringContaining("not set up; run 'npm ci' in /"),
  });
});

it('says how a build that is older than its sources is made anew', () => {
  built(0);
  expect(run()).toMatchObject({ status: 2, stderr: expect.stringContaining("run 'npm run prepare' in /") });
});

it('runs what is built', () => {
  built(2);
  expect(run()).toMatchObject({ status: 0, stdout: 'it runs\n' });
});
