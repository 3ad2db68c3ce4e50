// Mistakes in a call, made with the real command: exit status 2 and a message with flag, value and mend.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';

const FAIRLEAD = join(import.meta.dirname, '../../bin/fairlead');

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function fairlead(...words: readonly string[]): Promise<Ended> {
  return fairleadWith({}, ...words);
}

function fairleadWith(extra: Record<string, string>, ...words: readonly string[]): Promise<Ended> {
  const { KUBERNETES_SERVICE_HOST: _, NODE_NAME: __, ...inherited } = process.env;
  const env = { ...inherited, ...extra };
  const child = spawn(FAIRLEAD, words, { env });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (data) => (stdout += data));
  child.stderr.on('data', (data) => (stderr += data));
  return new Promise((resolve) => child.once('close', (status) => resolve({ status, stdout, stderr })));
}

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'fairlead-usage-'));
  writeFileSync(join(folder, 'broken'), 'current-context: home\n');
});
afterAll(() => rmSync(folder, { recursive: true }));

it.each([
  ['no command', [], 'Usage: fairlead'],
  ['an unknown command', ['contoller'], "unknown command 'contoller'\n(Did you mean controller?)"],
  [
    'an unknown flag',
    ['controller', '--kubeconfg', 'x'],
    "unknown option '--kubeconfg'\n(Did you mean --kubeconfig?)",
  ],
  ['a word too many', ['controller', 'now'], "too many arguments for 'controller'"],
  [
    'a flag without its value',
    ['controller', '--kubeconfig'],
    "option '--kubeconfig <file>' argument missing",
  ],
  ['a flag before the command', ['--kubeconfig', 'x', 'controller'], "unknown option '--kubeconfig'"],
  [
    'a level that is none',
    ['controller', '--log-level', 'loud'],
    "'--log-level <level>' argument 'loud' is invalid. Write one of trace, debug, info, warn, error.",
  ],
  [
    'a queue that is none',
    ['controller', '--queue', 'redis://'],
    "'--queue <memory|redis://...>' argument 'redis://' is invalid. \"\" is no host[:port]",
  ],
  [
    'a queue that is none, without its password',
    ['controller', '--queue', 'redis://me:secret@r/x'],
    'fairlead: --queue redis://…@r/x: "/x" is no number of a database.',
  ],
  [
    'an address without a port',
    ['controller', '--metrics-bind-address', '0.0.0.0'],
    "'--metrics-bind-address <host:port>' argument '0.0.0.0' is invalid. Write host:port, such as",
  ],
  [
    'a port that is too high',
    ['controller', '--metrics-bind-address', ':70000'],
    "argument ':70000' is invalid",
  ],
  ['IPv6 without brackets', ['controller', '--metrics-bind-address', '::1:80'], 'or [::1]:10249'],
  [
    'a class that no Service can have',
    ['controller', '--lb-class', 'a/b/c'],
    "'--lb-class <name...>' argument 'a/b/c' is invalid. Write a name as in spec.loadBalancerClass",
  ],
  [
    'an agent that does not know its node',
    ['agent'],
    'fairlead: --node-name (or NODE_NAME) is missing; write the name of',
  ],
  [
    'an expression that is none',
    ['agent', '--node-name', 'n', '--exclude-interfaces', '('],
    "'--exclude-interfaces <regex>' argument '(' is invalid. Write a regular expression",
  ],
  [
    'an agent without a kubeconfig outside of a Pod',
    ['agent', '--node-name', 'n'],
    'name a kubeconfig: --kubeconfig FILE',
  ],
  ['a number of nodes that is too small', ['lab', 'demo', '--nodes', '1'], 'whole number from 2 to 50'],
  ['an unknown demonstration', ['lab', 'show'], "unknown command 'show'"],
  [
    'lease times that do not fit each other',
    ['controller', '--leader-elect-renew-deadline', '20s'],
    'fairlead: --leader-elect-renew-deadline 20000ms: write less than the lease duration, 4000ms',
  ],
  ['no kubeconfig outside of a Pod', ['controller'], 'name a kubeconfig: --kubeconfig FILE'],
  [
    'a kubeconfig that is not there',
    ['controller', '--kubeconfig', '/nowhere/config'],
    'fairlead: --kubeconfig: "/nowhere/config" cannot be read (ENOENT); name a kubeconfig that exists',
  ],
])('%s ends with status 2 and says what is wrong', async (_, words, message) => {
  const { status, stdout, stderr } = await fairlead(...words);
  expect(stderr).toContain(message);
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
});

it('a lab with a real API server whose programs are missing ends with status 2 and says what to do', async () => {
  const words = ['lab', 'demo', '--apiserver', 'real'];
  const empty = await fairleadWith({ KUBEBUILDER_ASSETS: folder }, ...words);
  expect(empty).toEqual({
    status: 2,
    stdout: '',
    stderr: `fairlead: --apiserver real: KUBEBUILDER_ASSETS "${folder}" is without etcd and kube-apiserver\n`,
  });
  const unbuilt = await fairleadWith({ KUBEBUILDER_ASSETS: '', XDG_CACHE_HOME: folder }, ...words);
  expect(unbuilt).toMatchObject({ status: 2, stderr: expect.stringContaining('"npm run kubernetes"') });
});

it('a kubeconfig with a mistake ends with status 2 and names file, field and mend', async () => {
  const { status, stderr } = await fairlead('controller', '--kubeconfig', join(folder, 'broken'));
  expect(stderr).toBe(
    `fairlead: --kubeconfig: "${folder}/broken": current-context is "home", which contexts lacks; add it to contexts\n`,
  );
  expect(status).toBe(2);
});

it.each([
  [['--help'], 'Usage: fairlead'],
  [['help', 'controller'], '--metrics-bind-address'],
  [['controller', '--help'], '--kubeconfig <file>'],
  [['--version'], '0.1.0'],
])('%j is answered on standard output, with status 0', async (words, message) => {
  const { status, stdout, stderr } = await fairlead(...words);
  expect(stdout).toContain(message);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
});
