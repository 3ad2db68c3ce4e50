// The house rule on imports: a room stands above all that it imports. Reads the imports of every source.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const SRC = resolve(import.meta.dirname, '../src');

/** From the top down; rooms on one floor do not know each other. */
const FLOORS = [
  ['main'],
  ['commands'],
  ['reconciler', 'demo'],
  ['status'],
  ['providers'],
  ['ipam', 'proxy', 'arp'],
  ['api', 'netlink', 'lab'],
  ['kube', 'queue', 'membership'],
  ['sockets', 'observe'],
  ['clock', 'net'],
];

/** Rooms and files that decide: no Node modules, no sockets, no API server, no clock of their own. */
const PURE = ['api/', 'ipam/', 'net/', 'arp/election.ts', 'proxy/table.ts'];
const PURE_MAY_IMPORT = /^(api|ipam|net|arp|proxy|kube\/objects\.ts)/;

interface Import {
  readonly from: string;
  readonly to: string;
}

const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
const imports = files.flatMap(importsOf);

function importsOf(file: string): Import[] {
  const text = readFileSync(join(SRC, file), 'utf8');
  const specifiers = text.matchAll(
    /(?:^|\n)\s*(?:import|export)\s[^;]*?from\s+'([^']+)'|import\(\s*'([^']+)'/g,
  );
  return [...specifiers].map((match) => {
    const specifier = match[1] ?? match[2] ?? '';
    return {
      from: file,
      to: specifier.startsWith('.') ? relative(SRC, resolve(SRC, dirname(file), specifier)) : specifier,
    };
  });
}

function room(file: string): string {
  return file.includes('/') ? file.slice(0, file.indexOf('/')) : file.replace('.ts', '');
}

function floor(file: string): number {
  return FLOORS.findIndex((rooms) => rooms.includes(room(file)));
}

describe('imports', () => {
  it('are found at all', () => {
    expect(imports.length).toBeGreaterThan(50);
  });

  it('come from rooms that have a floor', () => {
    expect(files.filter((file) => floor(file) < 0)).toEqual([]);
  });

  it('run down, or stay in their room', () => {
    const upward = imports.filter(
      ({ from, to }) => files.includes(to) && room(from) !== room(to) && floor(to) <= floor(from),
    );
    expect(upward).toEqual([]);
  });

  it('of pure files reach pure files only', () => {
    const impure = imports.filter(
      ({ from, to }) => PURE.some((pure) => from.startsWith(pure)) && !PURE_MAY_IMPORT.test(to),
    );
    expect(impure).toEqual([]);
  });
});
