// The lab's own world: user, mount, network and process namespaces that end with their first process,
// so that whatever happens nothing is left on the host.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';

/** Set for the process inside, so that it does not enter twice. */
const INSIDE = 'FAIRLEAD_INSIDE_NAMESPACE';

const WITHOUT_USER = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
const WITH_USER = ['--user', '--map-root-user', ...WITHOUT_USER];

/** Debian keeps the administrator's tools off an ordinary user's PATH. */
const PATH = `${process.env.PATH ?? ''}:/usr/sbin:/sbin`;

export type NamespaceAccess =
  /** Put before a command, these words run it as the first process of new namespaces. */
  | {
      readonly kind: 'available';
      readonly prefix: readonly string[];
      readonly environment: Record<string, string>;
    }
  | { readonly kind: 'inside' }
  /** What is missing, and the mend. */
  | { readonly kind: 'missing'; readonly problem: string };

/** How this process may get namespaces of its own: as an ordinary user where user namespaces are allowed, else as root. */
export function namespaceAccess(): NamespaceAccess {
  if (process.env[INSIDE]) return { kind: 'inside' };
  const absent = missingTools();
  if (absent) return { kind: 'missing', problem: absent };
  for (const flags of [WITH_USER, WITHOUT_USER]) {
    if (probe('unshare', [...flags, 'true']).status === 0) {
      return { kind: 'available', prefix: ['unshare', ...flags], environment: { [INSIDE]: '1', PATH } };
    }
  }
  return { kind: 'missing', problem: whyNoNamespaces() };
}

/** First call inside: a private /run/netns for `ip netns`, and loopback up. */
export function prepareNamespace(): void {
  must('mount', ['-t', 'tmpfs', 'tmpfs', '/run']);
  mkdirSync('/run/netns');
  must('ip', ['link', 'set', 'lo', 'up']);
}

function missingTools(): string | undefined {
  const tools = [
    { command: 'unshare', probe: ['--version'], debian: 'util-linux' },
    { command: 'ip', probe: ['-Version'], debian: 'iproute2' },
    { command: 'nft', probe: ['--version'], debian: 'nftables' },
  ];
  const absent = tools.filter((tool) => probe(tool.command, tool.probe).error !== undefined);
  if (absent.length === 0) return undefined;
  const commands = absent.map((tool) => `"${tool.command}"`).join(' and ');
  const packages = absent.map((tool) => tool.debian).join(' ');
  return `${commands} not found on the PATH; install with: apt-get install ${packages} (or your distribution's packages of these names)`;
}

function probe(command: string, args: readonly string[]) {
  return spawnSync(command, args, { stdio: 'ignore', env: { ...process.env, PATH } });
}

function whyNoNamespaces(): string {
  const asRoot = 'run the same command as root (sudo)';
  for (const [file, off] of [
    ['/proc/sys/kernel/unprivileged_userns_clone', '0'],
    ['/proc/sys/kernel/apparmor_restrict_unprivileged_userns', '1'],
    ['/proc/sys/user/max_user_namespaces', '0'],
  ] as const) {
    if (readSetting(file) === off)
      return `user namespaces are switched off here (${file} is ${off}); ${asRoot}`;
  }
  return `the kernel refuses new namespaces to this user; ${asRoot}`;
}

function readSetting(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return undefined;
  }
}

function must(command: string, args: readonly string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed: ${stderr}`);
}
