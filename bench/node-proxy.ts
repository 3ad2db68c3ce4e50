// A node proxy as a process: the agent of this checkout, or kube-proxy.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Clock ticks a second in /proc/PID/stat (proc(5)): 100 on Linux. */
const TICKS = 100;
const KUBECONFIG = '/run/fairlead-bench-kubeconfig';

export interface ProxyKind {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  /** Its tables, for the time after it. */
  readonly tables: readonly string[];
}

export const FAIRLEAD: ProxyKind = {
  name: 'Fairlead',
  command: [
    join(import.meta.dirname, '../bin/fairlead'),
    ...['agent', '--no-announce', '--log-level', 'error', '--kubeconfig', KUBECONFIG],
    ...['--node-name', 'node', '--cluster-cidr', '10.128.0.0/9'],
  ],
  tables: ['inet fairlead', 'inet fairlead-2'],
};

/** At the path in FAIRLEAD_KUBE_PROXY; undefined without it. */
export function kubeProxy(): ProxyKind | undefined {
  const binary = process.env.FAIRLEAD_KUBE_PROXY;
  if (!binary) return undefined;
  // Settings of the machine that a network namespace of its own has no say in.
  const left = ['max-per-core', 'tcp-timeout-established', 'tcp-timeout-close-wait'].map(
    (name) => `--conntrack-${name}=0`,
  );
  const flags = [...left, '--proxy-mode=nftables', '--hostname-override=node', `--kubeconfig=${KUBECONFIG}`];
  return {
    name: 'kube-proxy',
    command: [binary, ...flags, '--cluster-cidr=10.128.0.0/9', '--v=0'],
    tables: ['ip kube-proxy', 'ip6 kube-proxy'],
  };
}

export interface Usage {
  /** Seconds of processor time, those of the commands that it ran and that have ended included. */
  readonly processor: number;
  /** MiB: the most that its process had at once, without the commands. */
  readonly peak: number;
}

export class NodeProxy {
  readonly #child: ChildProcess;

  /** `server`: URL of the API server. */
  constructor({ command: [program, ...words] }: ProxyKind, server: string) {
    const cluster = { name: 'c', cluster: { server } };
    const context = { name: 'c', context: { cluster: 'c', user: 'u' } };
    const user = { name: 'u', user: { token: 't' } };
    const kinds = { apiVersion: 'v1', kind: 'Config', 'current-context': 'c' };
    // JSON is YAML.
    writeFileSync(
      KUBECONFIG,
      JSON.stringify({ ...kinds, clusters: [cluster], contexts: [context], users: [user] }),
    );
    this.#child = spawn(program, words, { stdio: ['ignore', 'ignore', 'ignore'] });
  }

  usage(): Usage {
    const folder = `/proc/${this.#child.pid}`;
    const fields = readFileSync(`${folder}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ');
    // utime, stime, cutime, cstime: fields 14 to 17, of which the first two are cut off above.
    const ticks = fields.slice(11, 15).reduce((sum, each) => sum + Number(each), 0);
    const [, peak] = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`${folder}/status`, 'utf8')) ?? [];
    return { processor: ticks / TICKS, peak: Number(peak) / 1024 };
  }

  /** As with kill -9: its rules stay. */
  async kill(): Promise<void> {
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exit;
  }
}
