// Network namespaces for tests: made inside the test run's own namespaces, gone with it.
import { execFileSync } from 'node:child_process';

/** Runs `ip` once for all lines. */
export function ipBatch(lines: readonly string[]): void {
  execFileSync('ip', ['-batch', '-'], { input: `${lines.join('\n')}\n`, stdio: ['pipe', 'ignore', 'pipe'] });
}

export function namespacePath(name: string): string {
  return `/run/netns/${name}`;
}

/** Runs a shell command in the namespace and returns what it printed. */
export function inNamespace(name: string, command: string): string {
  return execFileSync('ip', ['netns', 'exec', name, 'sh', '-c', command], { encoding: 'utf8' });
}

/** Two namespaces joined by a veth pair whose ends are both called eth0, with link-local IPv6 ready at once. */
export function makePair(a: string, b: string): void {
  ipBatch([`netns add ${a}`, `netns add ${b}`]);
  for (const name of [a, b]) inNamespace(name, 'echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad');
  ipBatch([`link add eth0 netns ${a} type veth peer name eth0 netns ${b}`]);
  for (const name of [a, b])
    execFileSync('ip', ['-n', name, '-batch', '-'], { input: 'link set lo up\nlink set eth0 up\n' });
}

export function removeNamespaces(...names: readonly string[]): void {
  for (const name of names) execFileSync('ip', ['netns', 'del', name]);
}
