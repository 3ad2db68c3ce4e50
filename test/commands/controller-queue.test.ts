// What a controller whose queue is in memory is spared.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';

it('costs a controller nothing whose queue is in memory', () => {
  const controller = join(import.meta.dirname, '../../src/commands/controller.ts');
  const program = `
    const { controllerCommand } = await import('${controller}');
    controllerCommand();
    const { createRequire } = await import('node:module');
    console.log(Object.keys(createRequire('${controller}').cache).filter((file) => /bull|ioredis/.test(file)).length);
    await import('ioredis');
    console.log(Object.keys(createRequire('${controller}').cache).filter((file) => /ioredis/.test(file)).length > 0);
  `;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
  });
  expect(stdout).toBe('0\ntrue\n');
});
