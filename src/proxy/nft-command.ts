// The `nft` command: writes rules that a person reads as text.
import { spawn } from 'node:child_process';

/** Runs `nft`; resolves with what it printed. Rejects with its words, in English, or with how to install it. */
export function runNft(args: readonly string[], input = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, LC_ALL: 'C' };
    const child = spawn('nft', args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
    let output = '';
    let errors = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (errors += chunk));
    child.on('error', (error: NodeJS.ErrnoException) => {
      const missing = error.code === 'ENOENT';
      reject(
        missing
          ? new Error('there is no "nft" on the PATH; install the package nftables (1.0.1 or newer)')
          : error,
      );
    });
    child.on('close', (status) => {
      if (status === 0) resolve(output);
      else reject(new Error(`nft ${args.join(' ')} failed: ${errors.trim()}`));
    });
    child.stdin.on('error', () => {}); // nft that ends early says why by its status
    child.stdin.end(input);
  });
}
