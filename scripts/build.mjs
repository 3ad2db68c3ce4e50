// Makes what the sources need beside them, in build/: the C addon, and the one part of the Kubernetes
// client library that Fairlead runs, bundled. Plain JavaScript for Node 20: it runs before the pinned Node is there.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const at = (...parts) => join(root, ...parts);

mkdirSync(at('build'), { recursive: true });
buildAddon();
await bundleKubeConfig();

/** Links against nothing: Node itself exports the N-API and libuv symbols. */
function buildAddon() {
  const source = at('native/sockets.c');
  const target = at('build/sockets.node');
  if (isFresh(target, [source])) return;
  const compiler = process.env.CC ?? 'cc';
  const headers = at('node_modules/node-api-headers/include');
  const partial = `${target}.${process.pid}`;
  const flags = ['-std=c11', '-O2', '-Wall', '-Wextra', '-Werror', '-fPIC', '-shared', '-fvisibility=hidden'];
  try {
    execFileSync(compiler, [...flags, '-I', headers, source, '-o', partial], {
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
 * import but never call for us (generated API classes, the fetch dispatcher) becomes empty.
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
      onResolve({ filter: /^(undici|\.\/gen\/index\.js)$/ }, ({ path }) => ({ path, namespace: 'left-out' }));
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

function isFresh(target, sources) {
  if (!existsSync(target)) return false;
  const made = statSync(target).mtimeMs;
  return sources.every((source) => statSync(source).mtimeMs <= made);
}
