import { expect, it } from 'vitest';
import { bindAddress, processCommand } from '../../src/commands/options.ts';

function parse(...words: readonly string[]) {
  return processCommand('test', '').exitOverride().parse(words, { from: 'user' }).opts();
}

it('has a default for every flag', () => {
  expect(parse()).toEqual({ lbClass: ['fairlead.dev/l2'], classless: true, logLevel: 'info' });
});

it('takes several classes, in one flag or in several, in place of the default', () => {
  expect(parse('--lb-class', 'a', 'example.com/b', '--lb-class', 'c').lbClass).toEqual([
    'a',
    'example.com/b',
    'c',
  ]);
});

it.each(['127.0.0.1:10249', '[::1]:0', ':9120', 'localhost:65535'])('binds to %s', (text) => {
  expect(bindAddress(text)).toBe(text);
});

it.each([
  '',
  '80',
  '127.0.0.1',
  '127.0.0.1:',
  '127.0.0.1:x',
  '127.0.0.1:65536',
  '::1:80',
  '[::1]',
  '[zz]:80',
])('refuses to bind to "%s"', (text) => {
  expect(() => bindAddress(text)).toThrow('Write host:port');
});
