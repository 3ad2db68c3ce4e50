import { expect, it } from 'vitest';
import {
  addLeaderOptions,
  LEASE_TIMES,
  type LeaderOptions,
  leaseTimes,
} from '../../src/commands/leader-options.ts';
import { bindAddress, duration, processCommand } from '../../src/commands/options.ts';

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

it.each([
  ['15s', 15_000],
  ['1m30s', 90_000],
  ['500ms', 500],
  ['0.5s', 500],
  ['1h', 3_600_000],
])('reads %s as a duration', (text, milliseconds) => {
  expect(duration(text)).toBe(milliseconds);
});

it.each(['', '15', 's', '15 s', '-1s', '15sec', '1d'])('refuses "%s" as a duration', (text) => {
  expect(() => duration(text)).toThrow('Write a number and a unit');
});

function times(...words: readonly string[]) {
  const command = addLeaderOptions(processCommand('test', '').exitOverride());
  return leaseTimes(command.parse(words, { from: 'user' }).opts<LeaderOptions>());
}

it('has times for the lease that fit each other', () => {
  expect(times()).toEqual(LEASE_TIMES);
});

it.each([
  [['--leader-elect-lease-duration', '500ms'], '--leader-elect-lease-duration 500ms: write whole seconds'],
  [['--leader-elect-lease-duration', '1500ms'], '--leader-elect-lease-duration 1500ms: write whole seconds'],
  [['--leader-elect-renew-deadline', '15s'], 'write less than the lease duration, 4000ms'],
  [['--leader-elect-retry-period', '9s'], 'less than the renew deadline (3000ms) divided by 1.2'],
  [['--leader-elect-retry-period', '0s'], 'write more than 0'],
])('refuses times that do not fit each other: %j', (words, message) => {
  expect(() => times(...words)).toThrow(message);
});
