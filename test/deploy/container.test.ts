// The Containerfile's steps, as far as they need no container: what it takes into the image runs on its own.
import { execFileSync, execSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const STEPS = readFileSync(join(ROOT, 'Containerfile'), 'utf8').split('\n');
const IGNORED = readFileSync(join(ROOT, '.containerignore'), 'utf8').trim().split('\n');
/** Milliseconds: npm looks through all packages. */
const DEADLINE = 120_000;

let folder: string;
/** The build stage's folder, and the image's. */
let stage: string;
let image: string;

beforeAll(() => {
  folder = mkdtempSync(join(ROOT, 'build/image-')); // hard links need one file system
  [stage, image] = [join(folder, 'stage'), join(folder, 'image')];
  mkdirSync(stage);
  mkdirSync(image);
  for (const name of readdirSync(ROOT)) {
    if (!IGNORED.includes(name)) cpSync(join(ROOT, name), join(stage, name), { recursive: true });
  }
  // As after `npm ci`, whose packages and build are those that this test runs with.
  expect(STEPS).toContain('RUN npm ci --no-audit --no-fund');
  execSync(`cp -al ${ROOT}/node_modules . && mkdir build && cp -r ${ROOT}/build/[!i]* build/`, {
    cwd: stage,
  });
  const prune = STEPS.find((step) => step.startsWith('RUN npm prune'))?.slice('RUN '.length) ?? '';
  execSync(`${prune} --offline`, { cwd: stage, stdio: 'pipe' });
  for (const step of STEPS) {
    const [, from = '', to = ''] = /^COPY --from=build \/fairlead\/(\S+) (\S+)$/.exec(step) ?? [];
    if (from === '') continue;
    const target = to === './' ? join(image, from) : join(image, to);
    execFileSync('cp', ['-al', join(stage, from), target]);
  }
  rmSync(stage, { recursive: true });
}, DEADLINE);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('takes along no tool that only the build needs', () => {
  for (const name of ['esbuild', 'typescript', 'vitest', '@biomejs/biome', 'node-api-headers', 'knip'])
    expect(existsSync(join(image, 'node_modules', name))).toBe(false);
});

it('runs both commands on the Node that it brings, read-only, with nothing else beside it', () => {
  const readOnly = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$0/bin/fairlead" "$@"';
  const run = (...words: string[]) =>
    execFileSync('unshare', ['--mount', 'sh', '-c', readOnly, image, ...words], {
      encoding: 'utf8',
      cwd: '/',
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    });
  expect(run('--version')).toBe('0.1.0\n');
  expect(run('controller', '--help')).toContain('--leader-elect');
  expect(run('agent', '--help')).toContain('--node-name');
});

it('starts neither as root nor through a shell', () => {
  expect(STEPS).toContain('USER 65532:65532');
  expect(STEPS).toContain('ENTRYPOINT ["/fairlead/bin/fairlead"]');
});
