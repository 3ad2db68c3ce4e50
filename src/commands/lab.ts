// `fairlead lab`: a cluster out of network namespaces, and demonstrations in it. It lives in namespaces of its
// own, which end with it: nothing of the host is touched, and nothing is left behind.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Command, InvalidArgumentError, Option } from 'commander';
import { DEMO_PROVIDERS, type DemoOptions, type HostView, runDemo } from '../demo/demo.ts';
import { API_SERVERS } from '../lab/api-server.ts';
import { findKubernetes } from '../lab/kubernetes-binaries.ts';
import { namespaceAccess, prepareNamespace } from '../lab/namespace.ts';
import { MOST_NODES } from '../lab/plan.ts';
import { UsageError } from './usage-error.ts';

export function labCommand(): Command {
  const lab = new Command('lab').description('a cluster on this machine, out of network namespaces');
  lab
    .command('demo')
    .description('runs the main job on real packets: an address, ARP, traffic, the loss of a node')
    .option('--keep', 'leave the lab up afterwards and say how to reach it', false)
    .option('--json', 'print one JSON object as the last line', false)
    .option('--nodes <number>', 'how many nodes', nodeCount, 3)
    .addOption(
      new Option('--apiserver <kind>', "the lab's own API server, or a real etcd and kube-apiserver")
        .choices(API_SERVERS)
        .default('embedded'),
    )
    .addOption(
      new Option('--provider <name>', 'who serves: pools on the LAN, or an emulated AWS')
        .choices(DEMO_PROVIDERS)
        .default('l2'),
    )
    .action((options: DemoOptions) => {
      if (options.apiserver === 'real') requireKubernetes();
      return insideNamespace((host) => runDemo(options, host));
    })
    .exitOverride();
  return lab;
}

/** Throws UsageError. */
function requireKubernetes(): void {
  const binaries = findKubernetes();
  if (binaries.kind === 'missing') throw new UsageError(`--apiserver real: ${binaries.problem}`);
}

/** Two or more: one is going to be cut off. */
function nodeCount(text: string): number {
  const count = Number(text);
  if (/^\d+$/.test(text) && count >= 2 && count <= MOST_NODES) return count;
  throw new InvalidArgumentError(`Write a whole number from 2 to ${MOST_NODES}.`);
}

/** Runs `work` as the first process of new namespaces, and ends with its exit status. */
async function insideNamespace(work: (host: HostView) => Promise<number>): Promise<void> {
  const access = namespaceAccess();
  if (access.kind === 'missing') throw new UsageError(`the lab cannot start: ${access.problem}`);
  if (access.kind === 'inside') {
    prepareNamespace();
    const [host] = (await once(process, 'message')) as [HostView]; // sent right below
    process.exit(await work(host));
  }
  const [command = '', ...prefix] = access.prefix;
  const child = spawn(command, [...prefix, process.execPath, ...process.execArgv, ...process.argv.slice(1)], {
    // The channel closes with this process, however that ends, and the lab ends with the channel.
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, ...access.environment },
  });
  // A terminal's Ctrl-C reaches the process inside by itself; it cleans up, and we wait for it.
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => child.disconnect());
  const host: HostView = { pid: child.pid ?? 0, userNamespace: prefix.includes('--user') };
  child.send(host);
  const [status, signal] = await once(child, 'exit');
  process.exit(status ?? (signal ? 1 : 0));
}
