// `fairlead agent --cleanup` on a node of its own: every table of ours goes, and nothing else.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { activationText, DEFAULT_RULES, stagingText, TABLES, versionChain } from '../../src/proxy/rules.ts';
import { inNamespace, ipBatch, removeNamespaces } from '../sockets/netns.ts';

const FAIRLEAD = join(import.meta.dirname, '../../bin/fairlead');
const NODE = `cleanup-${process.pid}`;

beforeAll(() => ipBatch([`netns add ${NODE}`]));
afterAll(() => removeNamespaces(NODE));

function nft(input: string): void {
  execFileSync('ip', ['netns', 'exec', NODE, 'nft', '-f', '-'], { input });
}

function tables(): string[] {
  return inNamespace(NODE, 'nft list tables').trim().split('\n');
}

/** Throws where it ends with another status than 0. */
function cleanUp(): string {
  return inNamespace(NODE, `${FAIRLEAD} agent --cleanup`);
}

it('takes both tables out of the kernel, leaves those of others, and ends with status 0', () => {
  const [first, second] = TABLES;
  nft(stagingText(first, DEFAULT_RULES) + activationText(first, [versionChain(DEFAULT_RULES)]));
  nft(stagingText(second, DEFAULT_RULES));
  nft('add table inet other');
  expect(tables()).toEqual(['table inet fairlead', 'table inet fairlead-2', 'table inet other']);
  expect(JSON.parse(cleanUp())).toMatchObject({ msg: 'took our rules out of the kernel' });
  expect(tables()).toEqual(['table inet other']);
});

it('ends with status 0 where there is nothing', () => {
  cleanUp();
  expect(tables()).toEqual(['table inet other']);
});
