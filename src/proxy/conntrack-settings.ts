// The kernel's settings for its table of connections, as kube-proxy makes them.
import { readFileSync, writeFileSync } from 'node:fs';
import type { Logger } from '../observe/logger.ts';

export interface ConntrackSettings {
  /** Connections for each processor, and at least; 0 leaves the limit as it is. */
  readonly maxPerCore: number;
  readonly min: number;
  /** Seconds; 0 leaves a setting as it is. */
  readonly tcpEstablishedTimeout: number;
  readonly tcpCloseWaitTimeout: number;
  readonly udpTimeout: number;
  readonly udpStreamTimeout: number;
  /** Packets outside of a TCP connection's window belong to it all the same. */
  readonly tcpBeLiberal: boolean;
}

/** By file under /proc/sys/net/netfilter: what is to be written there. */
export function conntrackValues(
  settings: ConntrackSettings,
  processors: number,
): ReadonlyMap<string, number> {
  const { maxPerCore, min } = settings;
  const values = [
    ['nf_conntrack_max', maxPerCore > 0 ? Math.max(min, maxPerCore * processors) : 0],
    ['nf_conntrack_tcp_timeout_established', settings.tcpEstablishedTimeout],
    ['nf_conntrack_tcp_timeout_close_wait', settings.tcpCloseWaitTimeout],
    ['nf_conntrack_udp_timeout', settings.udpTimeout],
    ['nf_conntrack_udp_timeout_stream', settings.udpStreamTimeout],
    ['nf_conntrack_tcp_be_liberal', settings.tcpBeLiberal ? 1 : 0],
  ] as const;
  return new Map(values.filter(([, value]) => value > 0));
}

/** A setting that cannot be made is said, and the others are made. A limit that is higher already is left. */
export function applyConntrackSettings(
  values: ReadonlyMap<string, number>,
  log: Logger,
  folder = '/proc/sys/net/netfilter',
): void {
  for (const [name, value] of values) {
    const file = `${folder}/${name}`;
    try {
      const now = Number(readFileSync(file, 'utf8'));
      if (now === value || (name === 'nf_conntrack_max' && now > value)) continue;
      writeFileSync(file, String(value));
      log.info({ file, value, before: now }, 'changed a setting of connection tracking');
    } catch (error) {
      log.warn(
        { file, value, error: (error as Error).message },
        'cannot change a setting of connection tracking',
      );
    }
  }
}
