// The whole check of a checkout: format and lint, types, dead code, then every test, inside namespaces of
// their own so that real packets and kernel rules touch nothing of the host. Ends with "N passed, N failed".
// Words after the command narrow the tests to the files that they name, and leave the checks out.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildKubernetes, findKubernetes } from '../src/lab/kubernetes-binaries.ts';
import { namespaceAccess, prepareNamespace } from '../src/lab/namespace.ts';
import { hasRedis, REDIS_MISSING } from './find-redis.ts';

const INSIDE = '--inside';

interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

const words = process.argv.slice(2);
if (words[0] === INSIDE) {
  prepareNamespace();
  process.exit(run('vitest', ['run', ...words.slice(1)]));
}

const tally: Tally = { passed: 0, failed: 0, skipped: 0 };
if (words.length === 0) {
  check('format and lint', 'biome', ['check']);
  check('types', 'tsc', []);
  check('dead code', 'knip', []);
}
await provideKubernetes(words.length === 0);
if (!hasRedis()) leaveOut(`the tests of the queue on Redis: ${REDIS_MISSING}`);
runTests(words);
const skipped = tally.skipped > 0 ? `, ${tally.skipped} skipped` : '';
console.log(`${tally.passed} passed, ${tally.failed} failed${skipped}`);
process.exit(tally.failed === 0 ? 0 : 1);

function check(what: string, tool: string, args: readonly string[]): void {
  const passed = run(tool, args) === 0;
  console.log(`${passed ? 'ok' : 'FAILED'}: ${what}`);
  if (passed) tally.passed++;
  else tally.failed++;
}

/** The tests against etcd and kube-apiserver run where these are there, or Go is to build them; in CI they must be. */
async function provideKubernetes(build: boolean): Promise<void> {
  const say = (what: string) => console.log(`fairlead: ${what}`);
  const kubernetes = build ? await buildKubernetes(say) : findKubernetes();
  if (kubernetes.kind === 'found') {
    process.env.KUBEBUILDER_ASSETS = kubernetes.folder;
    return;
  }
  delete process.env.KUBEBUILDER_ASSETS;
  leaveOut(`the tests against a real API server. ${kubernetes.problem}`);
}

/** In CI nothing may be left out. */
function leaveOut(what: string): void {
  console.log(`fairlead: SKIPPED: ${what}`);
  if (process.env.CI) tally.failed++;
  else tally.skipped++;
}

function runTests(filters: readonly string[]): void {
  const access = namespaceAccess();
  if (access.kind !== 'available') {
    console.error(
      `fairlead: the tests need namespaces of their own: ${access.kind === 'missing' ? access.problem : 'already inside'}`,
    );
    tally.failed++;
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-test-'));
  const report = join(folder, 'report.json');
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
  const [command = '', ...prefix] = access.prefix;
  const node = [process.execPath, import.meta.filename, INSIDE, ...reporters, ...filters];
  const { status } = spawnSync(command, [...prefix, ...node], {
    stdio: 'inherit',
    env: { ...process.env, ...access.environment },
  });
  addReport(report, status);
  rmSync(folder, { recursive: true });
}

function addReport(file: string, status: number | null): void {
  const before = tally.failed;
  try {
    const report = JSON.parse(readFileSync(file, 'utf8'));
    tally.passed += report.numPassedTests;
    tally.failed += report.numFailedTests;
    tally.skipped += report.numPendingTests + report.numTodoTests;
    if (report.numTotalTests === 0) tally.failed++;
  } catch (error) {
    console.error(`fairlead: the test runner left no report: ${error}`);
  }
  // A file that does not load, or an unhandled rejection, fails the run without a failed test to its name.
  if (status !== 0 && tally.failed === before) tally.failed++;
}

function run(tool: string, args: readonly string[]): number {
  const bin = join(import.meta.dirname, '../node_modules/.bin');
  const { status } = spawnSync(join(bin, tool), args, {
    stdio: 'inherit',
    env: { ...process.env, PATH: `${bin}:${process.env.PATH}` },
  });
  return status ?? 1;
}
