// Where etcd and kube-apiserver are: brought along (KUBEBUILDER_ASSETS), or built from their Go modules once and kept.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';

/** The module that pins them: `go.mod`, `go.sum`, and a main for each. */
const MODULE = join(import.meta.dirname, '../../test/cluster/binaries');
const PROGRAMS = ['etcd', 'kube-apiserver'] as const;
const SOURCES = ['go.mod', 'go.sum', ...PROGRAMS.map((name) => `${name}/main.go`)];
const VERSION_PACKAGE = 'k8s.io/component-base/version';
/** The first Go that fetches the newer toolchain which go.mod asks for. */
const OLDEST_GO = 21;
/** Milliseconds between words on how far the build is. */
const PROGRESS = 5_000;

export type KubernetesBinaries =
  | { readonly kind: 'found'; readonly folder: string }
  /** What is missing, and the mend. */
  | { readonly kind: 'missing'; readonly problem: string };

/** Looks; builds nothing. */
export function findKubernetes(): KubernetesBinaries {
  const brought = process.env.KUBEBUILDER_ASSETS;
  if (brought) {
    const absent = PROGRAMS.filter((name) => !existsSync(join(brought, name)));
    if (absent.length === 0) return { kind: 'found', folder: brought };
    return { kind: 'missing', problem: `KUBEBUILDER_ASSETS "${brought}" is without ${absent.join(' and ')}` };
  }
  const folder = cacheFolder();
  if (existsSync(folder)) return { kind: 'found', folder };
  return {
    kind: 'missing',
    problem:
      'etcd and kube-apiserver are not there; build them with "npm run kubernetes" (Go 1.21 or newer, about 6 minutes, once), or name a folder with both: KUBEBUILDER_ASSETS=…',
  };
}

/** Finds them, or builds them where Go is there: minutes, of which `onProgress` hears. */
export async function buildKubernetes(onProgress: (what: string) => void): Promise<KubernetesBinaries> {
  const found = findKubernetes();
  if (found.kind === 'found' || process.env.KUBEBUILDER_ASSETS) return found;
  const go = findGo();
  if (go.kind === 'missing') return go;
  const folder = cacheFolder();
  mkdirSync(dirname(folder), { recursive: true });
  const partial = mkdtempSync(`${folder}.`);
  onProgress('building etcd and kube-apiserver from their Go modules (once, about 6 minutes on 2 cores) …');
  const problem = await compile(go.command, partial, onProgress);
  if (problem) return { kind: 'missing', problem };
  // Another build of the same may have come first.
  if (!existsSync(folder)) renameSync(partial, folder);
  return { kind: 'found', folder };
}

function cacheFolder(): string {
  const hash = createHash('sha256');
  for (const file of SOURCES) hash.update(readFileSync(join(MODULE, file)));
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  return join(cache, 'fairlead', `kubernetes-${hash.digest('hex').slice(0, 16)}`);
}

function findGo(): { kind: 'found'; command: string } | { kind: 'missing'; problem: string } {
  const version = (command: string) => {
    const { stdout } = spawnSync(command, ['version'], { encoding: 'utf8' });
    return /go1\.(\d+)/.exec(stdout ?? '')?.[1];
  };
  // Where the Go project's own archive is unpacked, which is often on nobody's PATH.
  for (const command of ['go', '/usr/local/go/bin/go']) {
    const minor = version(command);
    if (minor !== undefined && Number(minor) >= OLDEST_GO) return { kind: 'found', command };
  }
  const had = version('go');
  const problem = had === undefined ? 'there is no Go' : `Go 1.${had} is too old`;
  return {
    kind: 'missing',
    problem: `${problem}: etcd and kube-apiserver are built with Go 1.${OLDEST_GO} or newer (https://go.dev/dl), or brought along: KUBEBUILDER_ASSETS=<a folder with both>`,
  };
}

/** Returns what went wrong, if anything did. */
async function compile(
  go: string,
  into: string,
  onProgress: (what: string) => void,
): Promise<string | undefined> {
  const version = /k8s\.io\/kubernetes (v1\.(\d+)\.\d+)/.exec(readFileSync(join(MODULE, 'go.mod'), 'utf8'));
  const [, full = '', minor = ''] = version ?? [];
  const stamp = { gitVersion: full, gitMajor: '1', gitMinor: minor };
  const flags = Object.entries(stamp).map(([name, value]) => `-X ${VERSION_PACKAGE}.${name}=${value}`);
  const packages = PROGRAMS.map((name) => `./${name}`);
  const args = ['build', '-v', '-buildvcs=false', '-ldflags', `-s -w ${flags.join(' ')}`, '-o', `${into}/`];
  const child = spawn(go, [...args, ...packages], {
    cwd: MODULE,
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, CGO_ENABLED: '0', GOTOOLCHAIN: 'auto', GOWORK: 'off' },
  });
  let compiled = 0;
  const words: string[] = [];
  const timer = setInterval(() => onProgress(`… ${compiled} packages compiled`), PROGRESS);
  createInterface({ input: child.stderr }).on('line', (line) => {
    if (/^[\w./~-]+$/.test(line)) compiled++;
    else words.push(line);
  });
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  child.once('error', (error) => resolve(error.message));
  child.once('close', (status) =>
    resolve(status === 0 ? undefined : `the build failed:\n${words.slice(-10).join('\n')}`),
  );
  const problem = await promise;
  clearInterval(timer);
  return problem;
}
