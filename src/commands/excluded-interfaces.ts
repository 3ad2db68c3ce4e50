// Which interfaces are never announced on, from a file that may change while the agent runs: a ConfigMap that is mounted.
import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import type { Logger } from '../observe/logger.ts';
import { UsageError } from './usage-error.ts';

/** Milliseconds between two looks at the file: a mounted ConfigMap is replaced by a symbolic link. */
const LOOK_AGAIN = 1_000;
const FLAG = '--exclude-interfaces-file';

/** One regular expression a line; empty lines and those that begin with # say nothing. Throws UsageError. */
export function readExcluded(file: string): RegExp {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new UsageError(`${FLAG}: ${(error as Error).message}`);
  }
  const patterns = text.split('\n').flatMap((line, i) => {
    const pattern = line.trim();
    if (pattern === '' || pattern.startsWith('#')) return [];
    try {
      return [`(?:${new RegExp(pattern).source})`];
    } catch (error) {
      throw new UsageError(`${FLAG}: ${file}, line ${i + 1}: ${(error as Error).message}`);
    }
  });
  return patterns.length === 0 ? /(?!)/ : new RegExp(patterns.join('|')); // without a pattern: nothing
}

/** Tells of each change that can be read; of others it logs, and what was read last stays. Returns the way out. */
export function followExcluded(file: string, log: Logger, onChange: (excluded: RegExp) => void): () => void {
  watchFile(file, { interval: LOOK_AGAIN, persistent: false }, () => {
    try {
      const excluded = readExcluded(file);
      log.info({ excluded: excluded.source }, 'interfaces are excluded anew');
      onChange(excluded);
    } catch (error) {
      const { message } = error as UsageError; // readExcluded's words
      log.error({ error: message }, 'the last exclusions stay');
    }
  });
  return () => unwatchFile(file);
}
