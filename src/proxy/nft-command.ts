// The `nft` command: writes rules that a person reads as text.
import { spawn } from 'node:child_process';

/** Of `nft`: major, minor, patch. */
const OLDEST = [1, 0, 1] as const;

/**
 * Runs `nft`; resolves with what it printed. Rejects with its words, in English, and where it is older than what we
 * need with that too, or with how to install it.
 */
export async function runNft(args: readonly string[], input = ''): Promise<string> {
  const { status, output, errors } = await run(args, input);
  if (status === 0) return output;
  throw new Error(`nft ${args.join(' ')} failed: ${errors.trim()}${await age()}`);
}

interface Outcome {
  readonly status: number | null;
  readonly output: string;
  readonly errors: string;
}

function run(args: readonly string[], input: string): Promise<Outcome> {
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
          ? new Error(
              `there is no "nft" on the PATH; install the package nftables (${OLDEST.join('.')} or newer)`,
            )
          : error,
      );
    });
    child.on('close', (status) => resolve({ status, output, errors }));
    child.stdin.on('error', () => {}); // nft that ends early says why by its status
    child.stdin.end(input);
  });
}

/** Words on a version that is too old; empty where it is not, or does not say. */
async function age(): Promise<string> {
  const { output } = await run(['--version'], '');
  const [version, ...parts] = /v(\d+)\.(\d+)(?:\.(\d+))?/.exec(output) ?? [];
  if (version === undefined) return '';
  const numbers = parts.map((part) => Number(part ?? 0));
  const at = OLDEST.findIndex((oldest, i) => numbers[i] !== oldest);
  const isOlder = at >= 0 && (numbers[at] ?? 0) < (OLDEST[at] ?? 0);
  return isOlder ? `; this is nft ${version.slice(1)}, and ${OLDEST.join('.')} or newer is needed` : '';
}
