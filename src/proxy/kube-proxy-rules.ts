// Removes what kube-proxy leaves in the kernel when it stops: its nftables tables, and the iptables chains of its
// iptables mode. What kubelet makes stays.
import { spawn } from 'node:child_process';
import { runNft } from './nft-command.ts';

/** Chains with kube-proxy's prefix that are not its own. */
const KUBELET = new Set(['KUBE-FIREWALL', 'KUBE-KUBELET-CANARY', 'KUBE-IPTABLES-HINT']);

/** Rejects with the words of a command that failed. Resolves with what was removed. */
export async function removeKubeProxyRules(): Promise<string[]> {
  const removed: string[] = [];
  for (const family of ['ip', 'ip6']) {
    const tables = await runNft(['list', 'tables', family]);
    if (!tables.split('\n').includes(`table ${family} kube-proxy`)) continue;
    await runNft(['delete', 'table', family, 'kube-proxy']);
    removed.push(`nftables ${family} kube-proxy`);
  }
  for (const command of ['iptables', 'ip6tables']) {
    const saved = await run(`${command}-save`, []);
    const text = saved === undefined ? '' : iptablesRemoval(saved);
    if (text === '') continue;
    await run(`${command}-restore`, ['--noflush'], text);
    removed.push(`${command} chains KUBE-*`);
  }
  return removed;
}

/** What `iptables-restore --noflush` is to read, given what `iptables-save` wrote; empty: there is nothing. */
export function iptablesRemoval(saved: string): string {
  const lines: string[] = [];
  for (const [, table = '', body = ''] of saved.matchAll(/^\*(\w+)\n([\s\S]*?)^COMMIT$/gm)) {
    const chains = [...body.matchAll(/^:(KUBE-\S+) /gm)].map(([, chain]) => chain ?? '');
    const ours = chains.filter((chain) => !KUBELET.has(chain));
    if (ours.length === 0) continue;
    const names = new Set(ours);
    const leads = body.split('\n').filter((line) => {
      const [, from = '', to = ''] = /^-A (\S+) .*-[jg] (\S+)/.exec(line) ?? [];
      return !names.has(from) && names.has(to);
    });
    lines.push(`*${table}`, ...ours.map((chain) => `:${chain} - [0:0]`));
    lines.push(
      ...leads.map((line) => line.replace(/^-A/, '-D')),
      ...ours.map((chain) => `-X ${chain}`),
      'COMMIT',
    );
  }
  return lines.length > 0 ? `${lines.join('\n')}\n` : '';
}

/** Undefined where there is no such command. */
function run(command: string, args: readonly string[], input = ''): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    let [output, errors] = ['', ''];
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (errors += chunk));
    child.on('error', (error: NodeJS.ErrnoException) =>
      error.code === 'ENOENT' ? resolve(undefined) : reject(error),
    );
    child.on('close', (status) =>
      status === 0 ? resolve(output) : reject(new Error(`${command} failed: ${errors.trim()}`)),
    );
    child.stdin.on('error', () => {}); // a command that ends early says why by its status
    child.stdin.end(input);
  });
}
