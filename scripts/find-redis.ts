// The tests of the queue on Redis run against a redis-server of the distribution's own.
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';

/** Test files that start a redis-server. */
export const REDIS_TESTS = ['test/queue/redis/**/*.test.ts', 'test/commands/*-redis.test.ts'];

export const REDIS_MISSING =
  'there is no redis-server on the PATH; Debian has it in the package redis-server, and .ci/run installs it';

export function hasRedis(): boolean {
  return (process.env.PATH ?? '').split(':').some((folder) => {
    try {
      accessSync(join(folder, 'redis-server'), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
