// Network namespaces for tests: made inside the test run's own namespaces, gone with it.
import { execFileSync } from 'node:child_process';

export function ipBatch(lines: readonly string[]): void {
  execFileSync('ip', ['-batch', '-'], { input: `${lines.join('\n')}\n`, stdio: ['pipe', 'ignore', 'pipe'] });
}

export function namespacePath(name: string): string {
  return `/run/netns/${name}`;
}

/** Two namespaces joined by a veth pair whose ends are both called eth0. */
export function makePair(a: string, b: string): void {
  ipBatch([
    `netns add ${a}`,
    `netns add ${b}`,
    `link add eth0 netns ${a} type veth peer name eth0 netns ${b}`,
  ]);
  for (const name of [a, b]) {
    execFileSync('ip', ['netns', 'exec', name, 'sysctl', '-qw', 'net.ipv6.conf.all.accept_dad=0', 'net.ipv6.conf.default.accept_dad=0', 'net.ipv6.conf.eth0.accept_dad=0']);
    execFileSync('ip', ['-n', name, 'link', 'set', 'lo', 'up']);
    execFileSync('ip', ['-n', name, 'link', 'set', 'eth0', 'up']);
  }
}

export function removeNamespaces(...names: readonly string[]): void {
  for (const name of names) execFileSync('ip', ['netns', 'del', name]);
}
