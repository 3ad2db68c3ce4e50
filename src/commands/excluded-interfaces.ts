// Which interfaces are never announced on, from a file that may change while the agent runs: a ConfigMap that is mounted.
import { readFileSync } from 'node:fs';
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

/**
 * `current`: what was read last. Tells of each change that can be read; of others it logs, once each, and what was read
 * last stays. Returns the way out.
 */
export function followExcluded(
  file: string,
  current: RegExp,
  log: Logger,
  onChange: (excluded: RegExp) => void,
): () => void {
  let { source } = current;
  let problem = '';
  const look = () => {
    try {
      const excluded = readExcluded(file);
      problem = '';
      if (excluded.source === source) return;
      source = excluded.source;
      log.info({ excluded: source }, 'interfaces are excluded anew');
      onChange(excluded);
    } catch (error) {
      const { message } = error as UsageError; // readExcluded's words
      if (message !== problem) log.error({ error: message }, 'the last exclusions stay');
      problem = message;
    }
  };
  const looking = setInterval(look, LOOK_AGAIN);
  return () => clearInterval(looking);
}
