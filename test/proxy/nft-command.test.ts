// What the `nft` command says when it fails, with one of our own on the PATH.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, it } from 'vitest';
import { runNft } from '../../src/proxy/nft-command.ts';

const path = process.env.PATH;
const folder = mkdtempSync(join(tmpdir(), 'fairlead-nft-'));
afterEach(() => {
  process.env.PATH = path;
});
afterAll(() => rmSync(folder, { recursive: true }));

/** An `nft` that refuses everything, and says that it is of this version. */
function nftOf(version: string): void {
  const script = `#!/bin/sh
if [ "$1" = --version ]; then echo '${version}'; else echo 'Error: syntax error, unexpected typeof' >&2; exit 1; fi
`;
  writeFileSync(join(folder, 'nft'), script);
  chmodSync(join(folder, 'nft'), 0o755);
  process.env.PATH = `${folder}:${path}`;
}

it.each([
  ['nftables v0.9.8 (E.D.S.)', '; this is nft 0.9.8, and 1.0.1 or newer is needed'],
  ['nftables v1.0.0 (Fearless Fosdick)', '; this is nft 1.0.0, and 1.0.1 or newer is needed'],
  ['nftables v1.0.1 (Fearless Fosdick #3)', ''],
  ['nftables v1.1 (Commodore Bullmoose)', ''],
  ['something else', ''],
])('of %s', async (version, words) => {
  nftOf(version);
  await expect(runNft(['-f', '-'], 'table inet fairlead {}')).rejects.toThrow(
    new Error(`nft -f - failed: Error: syntax error, unexpected typeof${words}`),
  );
});
