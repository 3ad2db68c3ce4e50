// Flags that both processes share, with defaults that work, and their validation.
import { existsSync, readFileSync } from 'node:fs';
import { Command, InvalidArgumentError } from 'commander';

/** Of every command that looks at a cluster. */
export interface ClusterOptions {
  readonly kubeconfig?: string;
  readonly lbClass: readonly string[];
  /** Whether Services without a class are ours too. */
  readonly classless: boolean;
}

export interface CommonOptions extends ClusterOptions {
  readonly logLevel: string;
}

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error'];
const DEFAULT_CLASSES: readonly string[] = ['fairlead.dev/l2'];

/** A long-running command of `name` that already knows the shared flags. */
export function processCommand(name: string, description: string): Command {
  return clusterCommand(name, description).option(
    '--log-level <level>',
    LOG_LEVELS.join(', '),
    logLevel,
    'info',
  );
}

/** A command that reads a cluster. */
export function clusterCommand(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .option('--kubeconfig <file>', 'how to reach the API server (default: the Pod’s own service account)')
    .option('--lb-class <name...>', 'loadBalancerClass values that are ours', addClass, DEFAULT_CLASSES)
    .option('--no-classless', 'leave Services without a loadBalancerClass alone');
}

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;

/** `15s`, `1m30s`, `500ms`, as Kubernetes' own flags have them; in milliseconds. */
export function duration(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== text)
    throw new InvalidArgumentError('Write a number and a unit, such as 15s or 1m30s.');
  // The pattern lets no other unit through.
  return parts.reduce((sum, [, number, unit]) => sum + Number(number) * UNITS[unit as keyof typeof UNITS], 0);
}

const POD_NAMESPACE = '/var/run/secrets/kubernetes.io/serviceaccount/namespace';

/** That of the Pod that this process is in; outside of one, kube-system. */
export function ownNamespace(): string {
  return existsSync(POD_NAMESPACE) ? readFileSync(POD_NAMESPACE, 'utf8').trim() : 'kube-system';
}

/** What agents need to agree with each other: a ConfigMap with who votes, and a Secret with the key. */
export const MEMBERSHIP_NAME = 'fairlead-membership';

export function udpPort(text: string): number {
  const port = anyUdpPort(text);
  if (port === 0) throw new InvalidArgumentError('Write a port from 1 to 65535.');
  return port;
}

/** 0: any that is free. */
export function anyUdpPort(text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535)
    throw new InvalidArgumentError('Write a port from 0 (any that is free) to 65535.');
  return Number(text);
}

/** `host:port`, with an IPv6 host in brackets. */
export function bindAddress(text: string): string {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:[\]]*):(\d{1,5})$/.exec(text);
  if (!match || Number(match[2]) > 65_535) {
    throw new InvalidArgumentError('Write host:port, such as 127.0.0.1:10249 or [::1]:10249.');
  }
  return text;
}

function logLevel(text: string): string {
  if (!LOG_LEVELS.includes(text)) throw new InvalidArgumentError(`Write one of ${LOG_LEVELS.join(', ')}.`);
  return text;
}

/** Service.spec.loadBalancerClass: a label key, so that no Service could carry anything else. */
function addClass(text: string, before: readonly string[]): readonly string[] {
  const label = '[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?';
  const domain = '[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?';
  if (!new RegExp(`^(${domain}/)?${label}$`).test(text))
    throw new InvalidArgumentError('Write a name as in spec.loadBalancerClass, such as fairlead.dev/l2.');
  return before === DEFAULT_CLASSES ? [text] : [...before, text];
}
