// The Helm chart as Helm itself renders it: by a small program with Helm's engine, built from its Go module once.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { loadAll } from 'js-yaml';
import type { KubeObject } from '../../src/kube/objects.ts';

const SOURCES = join(import.meta.dirname, 'render');
const CHART = join(import.meta.dirname, '../../deploy/helm/fairlead');
export const NAMESPACE = 'fairlead-system';

/** The Go command, also where the Go project's own archive is unpacked, which is often on nobody's PATH. */
export function findGo(): string | undefined {
  return ['go', '/usr/local/go/bin/go'].find((go) => spawnSync(go, ['version']).status === 0);
}

/** Path of the program; builds it where it is not there yet: a minute on two cores. */
export function buildRenderer(go: string): string {
  const hash = createHash('sha256');
  for (const file of ['go.mod', 'go.sum', 'main.go']) hash.update(readFileSync(join(SOURCES, file)));
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  const program = join(cache, 'fairlead', `chart-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(program)) return program;
  mkdirSync(dirname(program), { recursive: true });
  const partial = `${program}.${process.pid}`;
  execFileSync(go, ['build', '-buildvcs=false', '-o', partial, '.'], {
    cwd: SOURCES,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, CGO_ENABLED: '0', GOWORK: 'off' },
  });
  renameSync(partial, program);
  return program;
}

/** The chart's objects. Throws with Helm's words where it refuses the values. */
export function render(program: string, values: object = {}): KubeObject[] {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-chart-'));
  try {
    const file = join(folder, 'values.yaml');
    writeFileSync(file, JSON.stringify(values)); // JSON is YAML
    const { status, stdout, stderr } = spawnSync(program, [CHART, NAMESPACE, file], { encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
    return objectsIn(stdout);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The objects in a stream of YAML documents. */
export function objectsIn(text: string): KubeObject[] {
  return loadAll(text).filter((each): each is KubeObject => each !== null && each !== undefined);
}
