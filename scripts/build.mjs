// Makes what the sources need beside them, in build/: the C addon, the one part of the Kubernetes client library
// that Fairlead runs, bundled, and the sources without their types, as Node caches them. Plain JavaScript for Node 20: it runs before the pinned Node is there.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, statSync, utimesSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const at = (...parts) => join(root, ...parts);

mkdirSync(at('build'), { recursive: true });
buildAddon();
await bundleKubeConfig();
fillCompileCache();

/** Links against nothing: Node itself exports the N-API and libuv symbols. */
function buildAddon() {
  const files = readdirSync(at('native')).map((file) => at('native', file));
  const sources = files.filter((file) => file.endsWith('.c'));
  const target = at('build/sockets.node');
  if (isFresh(target, files)) return;
  const compiler = process.env.CC ?? 'cc';
  const headers = at('node_modules/node-api-headers/include');
  const partial = `${target}.${process.pid}`;
  const flags = [
    '-std=c11',
    '-O2',
    '-Wall',
    '-Wextra',
    '-Werror',
    '-fPIC',
    '-shared',
    '-fvisibility=hidden',
    '-pthread',
  ];
  try {
    execFileSync(compiler, [...flags, '-I', headers, ...sources, '-o', partial], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
  } catch (error) {
    const cause = error.code === 'ENOENT' ? `there is no "${compiler}"` : 'the compiler failed';
    console.error(
      `fairlead: cannot build the socket addon: ${cause}. It needs a C compiler: apt-get install gcc libc6-dev`,
    );
    process.exit(1);
  }
  renameSync(partial, target);
}

/**
 * The library loaded whole costs ~600 ms and ~90 MB. Fairlead runs its connection settings alone; what they
 * import but never call for us (generated API classes, the fetch dispatcher, the YAML parser) becomes empty.
 */
async function bundleKubeConfig() {
  const source = at('node_modules/@kubernetes/client-node/dist/config.js');
  const target = at('build/kubeconfig.cjs');
  if (isFresh(target, [source, fileURLToPath(import.meta.url)])) return;
  const { build } = await import('esbuild');
  const partial = `${target}.${process.pid}`;
  const leaveOut = {
    name: 'leave-out',
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^(undici|js-yaml|\.\/gen\/index\.js)$/ }, ({ path }) => ({
        path,
        namespace: 'left-out',
      }));
      onLoad({ filter: /.*/, namespace: 'left-out' }, () => ({ contents: 'module.exports = {};' }));
    },
  };
  await build({
    entryPoints: [source],
    bundle: true,
    platform: 'node',
    format: 'cjs',
    outfile: partial,
    logLevel: 'error',
    plugins: [leaveOut],
  });
  renameSync(partial, target);
}

/**
 * A process that strips types itself holds 30 MB more and starts 0.25 s later. bin/fairlead names the cache; it is
 * filled here so that the first process has it too. Only a cache: that it is missing is no failure.
 */
function fillCompileCache() {
  const cache = at('build/compile-cache');
  const sources = readdirSync(at('src'), { recursive: true }).map((file) => at('src', file));
  if (isFresh(cache, sources)) return;
  for (const command of ['controller', 'agent', 'lab'])
    spawnSync(at('bin/fairlead'), [command, '--help'], { stdio: 'ignore' });
  if (existsSync(cache)) utimesSync(cache, new Date(), new Date());
}

function isFresh(target, sources) {
  if (!existsSync(target)) return false;
  const made = statSync(target).mtimeMs;
  return sources.every((source) => statSync(source).mtimeMs <= made);
}
