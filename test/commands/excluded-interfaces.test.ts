// The file that says which interfaces are not announced on.
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { followExcluded, readExcluded } from '../../src/commands/excluded-interfaces.ts';
import { createLogger } from '../../src/observe/logger.ts';

const log = createLogger({ component: 'test', level: 'silent' });
let folder: string;
let file: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fairlead-excluded-'));
  file = join(folder, 'interfaces');
});
afterEach(() => rmSync(folder, { recursive: true }));

it('has a pattern a line, and nothing excluded where there is none', () => {
  writeFileSync(file, '# of containers\n^veth\n\n^docker0$\n');
  const excluded = readExcluded(file);
  expect(['veth1', 'docker0', 'eth0', 'docker1'].filter((name) => excluded.test(name))).toEqual([
    'veth1',
    'docker0',
  ]);
  writeFileSync(file, '');
  expect(readExcluded(file).test('eth0')).toBe(false);
});

it('is refused with its name and the line where it cannot be read', () => {
  expect(() => readExcluded(file)).toThrow(/^--exclude-interfaces-file: ENOENT/);
  writeFileSync(file, '^veth\n(\n');
  expect(() => readExcluded(file)).toThrow(
    `--exclude-interfaces-file: ${file}, line 2: Invalid regular expression`,
  );
});

it('is read again when it is replaced; what cannot be read changes nothing', async () => {
  writeFileSync(file, '^veth\n');
  const seen: string[] = [];
  const errors = vi.spyOn(log, 'error');
  const stop = followExcluded(file, readExcluded(file), log, ({ source }) => seen.push(source));
  try {
    writeFileSync(`${file}.new`, '(');
    renameSync(`${file}.new`, file);
    await vi.waitFor(() => expect(errors).toHaveBeenCalledOnce(), { timeout: 10_000 });
    expect(seen).toEqual([]);
    writeFileSync(`${file}.new`, '^eth1\n# and nothing else\n');
    renameSync(`${file}.new`, file);
    await vi.waitFor(() => expect(seen).toEqual(['(?:^eth1)']), { timeout: 10_000 });
  } finally {
    stop();
  }
});
