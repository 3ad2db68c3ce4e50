// Brings a checkout to where its commands run: packages as the lock file says, the pinned Node, the addon.
// Plain JavaScript for Node 20, and quiet when nothing is missing.
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const installed = join(root, 'node_modules/.package-lock.json');
const lock = join(root, 'package-lock.json');
const pinnedNode = join(root, 'node_modules/.bin/node');

const complete =
  existsSync(pinnedNode) && existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs;
if (complete) {
  run(pinnedNode, ['scripts/build.mjs'], 'the build failed');
} else {
  console.error('fairlead: installing packages as package-lock.json says (once, about half a minute) …');
  run('npm', ['ci', '--no-fund', '--no-audit', '--loglevel=error'], 'npm ci failed; its words are above');
}

function run(command, args, problem) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) {
    console.error(`fairlead: ${problem}`);
    process.exit(1);
  }
}
