// `npm run demo` as a user runs it: real processes in namespaces of their own, watched from outside.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { Report } from '../../src/demo/report.ts';

const FAIRLEAD = join(import.meta.dirname, '../../bin/fairlead');
/** Every process of a demonstration inherits it, and no other has it. */
const MARK = `FAIRLEAD_DEMO_TEST=${process.pid}`;
/** The demonstration enters namespaces of its own, as it does on a host. */
const { FAIRLEAD_INSIDE_NAMESPACE: _, ...INHERITED } = process.env;
const ENVIRONMENT = { ...INHERITED, FAIRLEAD_DEMO_TEST: String(process.pid) };
const LONG = 60_000;
/** In a mount namespace of its own, in which nft is no program. */
const WITHOUT_NFT = `mount --bind /dev/null "$(command -v nft)" && exec ${FAIRLEAD} lab demo`;

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

describe('the demonstration', () => {
  it(
    'shows every step on the wire, as one JSON object on the last line',
    async () => {
      const { status, stdout } = await run(start(['--json']));
      const report: Report = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
      expect(report.failed).toBeUndefined();
      expect(status).toBe(0);
      expect(report.ok).toBe(true);
      const step = (name: string) => report.steps.find((each) => each.name === name)?.observed ?? {};
      expect(step('assigned').addresses).toEqual(['192.0.2.200', '2001:db8::200']);
      expect(step('arp')).toMatchObject({ address: '192.0.2.200', node: expect.stringMatching(/^node-/) });
      expect(step('http')).toMatchObject({ pod: expect.stringMatching(/^web-/) });
      expect(step('ipv6')).toMatchObject({ address: '2001:db8::200' });
      expect(Object.keys(step('spread').answers as object).length).toBeGreaterThan(1);
      expect(step('moved').from).toBe(step('arp').node);
      expect(step('moved').to).not.toBe(step('arp').node);
      expect(report.steps.map(({ name }) => name)).toEqual(
        expect.arrayContaining(['udp', 'cluster-ip', 'node-port', 'resumed', 'released']),
      );
      expect(report.steps.every(({ milliseconds }) => milliseconds > 0)).toBe(true);
      expect(leftovers()).toEqual([]);
    },
    LONG,
  );

  it(
    'on AWS shows a load balancer, nodes as healthy targets, one that dies, a hand in the console, and nothing left',
    async () => {
      const { status, stdout } = await run(start(['--json', '--provider', 'aws']));
      const report: Report = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
      expect(report.failed).toBeUndefined();
      expect(status).toBe(0);
      const step = (name: string) => report.steps.find((each) => each.name === name)?.observed ?? {};
      expect(step('active')).toMatchObject({
        hostname: expect.stringMatching(/^k8s-default-web-.*amazonaws/),
      });
      expect(step('healthy')).toEqual({ targets: 3 });
      expect(step('http')).toMatchObject({ pod: expect.stringMatching(/^web-/) });
      expect(step('unhealthy')).toMatchObject({ node: 'node-3' });
      expect(step('deregistered').pods).not.toEqual(
        expect.arrayContaining([expect.stringMatching(/^web-3-/)]),
      );
      expect(report.steps.map(({ name }) => name)).toEqual(
        expect.arrayContaining(['account', 'returned', 'listener-repaired', 'targets-repaired']),
      );
      expect(step('released')).toEqual({ left: [] });
      expect(leftovers()).toEqual([]);
    },
    2 * LONG,
  );

  it(
    'leaves the lab up with --keep, says how to reach it, and nothing is left after Ctrl-C',
    async () => {
      const demo = start(['--keep', '--nodes', '2']);
      const help = await said(demo, 'stderr', /nsenter.*\n/);
      const enter = /nsenter (.*)\n/.exec(help)?.[1]?.split(' ') ?? [];
      const kubeconfig = /KUBECONFIG=(\S+);/.exec(help)?.[1] ?? '';
      const inLab = (...command: string[]) => run(spawn('nsenter', [...enter, ...command]));
      expect((await inLab('ip', 'netns', 'list')).stdout).toContain('node-2');
      expect((await inLab('cat', kubeconfig)).stdout).toContain('current-context');
      const rules = await inLab('ip', 'netns', 'exec', 'node-1', 'nft', 'list', 'ruleset');
      expect(rules).toMatchObject({ status: 0, stdout: expect.stringContaining('table inet fairlead') });
      process.kill(-(demo.pid ?? 0), 'SIGINT');
      await once(demo, 'close');
      expect(leftovers()).toEqual([]);
    },
    LONG,
  );

  it(
    'cleans up when it is interrupted half-way, or killed',
    async () => {
      for (const [signal, status] of [
        ['SIGINT', 130],
        ['SIGTERM', 130],
        ['SIGKILL', null],
      ] as const) {
        const demo = start([]);
        await said(demo, 'stderr', /starting the nodes/);
        // A terminal's Ctrl-C reaches every process in front; the others are sent to one.
        process.kill(signal === 'SIGINT' ? -(demo.pid ?? 0) : (demo.pid ?? 0), signal);
        const [code] = await once(demo, 'close');
        expect({ signal, code }).toEqual({ signal, code: status });
        await gone();
      }
    },
    LONG,
  );

  it(
    'ends with status 1, names the step and shows the log where something breaks half-way',
    async () => {
      // The agents cannot load their rules: the lab cannot be had.
      const path = pathWith({
        nft: '#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "nft is broken here" >&2\nexit 1\n',
      });
      const { status, stdout } = await run(start(['--json'], { PATH: path }));
      const report: Report = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
      expect(status).toBe(1);
      expect(report.ok).toBe(false);
      expect(report.failed?.problem).toContain('nft is broken here');
      expect(leftovers()).toEqual([]);
    },
    LONG,
  );

  it('says which package to install where a tool is missing, and how to run without user namespaces', async () => {
    const missing = await run(spawn('unshare', ['--mount', 'sh', '-c', WITHOUT_NFT], { env: ENVIRONMENT }));
    expect(missing).toMatchObject({ status: 2, stderr: expect.stringContaining('apt-get install nftables') });
    const refused = await run(
      start([], { PATH: pathWith({ unshare: '#!/bin/sh\n[ "$1" = --version ]\n' }) }),
    );
    expect(refused).toMatchObject({ status: 2, stderr: expect.stringMatching(/as root \(sudo\)/) });
  });

  it('refuses a number of nodes that it cannot cut one off', async () => {
    const { status, stderr } = await run(start(['--nodes', '1']));
    expect(status).toBe(2);
    expect(stderr).toContain('Write a whole number from 2 to 50');
  });
});

/** Its own process group, as a terminal gives each command. */
function start(args: readonly string[], environment: Record<string, string> = {}): ChildProcess {
  return spawn(FAIRLEAD, ['lab', 'demo', ...args], {
    detached: true,
    env: { ...ENVIRONMENT, ...environment },
  });
}

async function run(child: ChildProcess): Promise<{ status: number | null; stdout: string; stderr: string }> {
  const output = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream]?.setEncoding('utf8').on('data', (text) => {
      output[stream] += text;
    });
  }
  const [status] = await once(child, 'close');
  return { status, ...output };
}

/** Everything said up to what fits. */
function said(child: ChildProcess, stream: 'stdout' | 'stderr', fits: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    child[stream]?.setEncoding('utf8').on('data', (more) => {
      text += more;
      if (fits.test(text)) resolve(text);
    });
    child.once('close', () => reject(new Error(`it ended before it said ${fits}:\n${text}`)));
  });
}

/** A PATH on which these scripts come first. */
function pathWith(scripts: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-path-'));
  folders.push(folder);
  for (const [name, text] of Object.entries(scripts))
    writeFileSync(join(folder, name), text, { mode: 0o755 });
  return `${folder}:${process.env.PATH}`;
}

/** What is there of a demonstration although none is running. */
function leftovers(): string[] {
  const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && isMarked(name));
  return [...processes.map((pid) => `process ${pid}`), ...['/run/fairlead-lab'].filter(existsSync)];
}

function isMarked(pid: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(MARK);
  } catch {
    return false; // it ended meanwhile
  }
}

/** The kernel ends a namespace's processes in its own time after the first one. */
async function gone(): Promise<void> {
  const end = performance.now() + 10_000;
  while (leftovers().length > 0 && performance.now() < end)
    await new Promise((resolve) => setImmediate(resolve));
  expect(leftovers()).toEqual([]);
}
