// A node that does not forward packets drops Service traffic silently: switched on when there is something to forward.
import { readFileSync, writeFileSync } from 'node:fs';
import type { Family } from '../net/address.ts';
import type { Logger } from '../observe/logger.ts';

const SETTINGS: Readonly<Record<Family, string>> = {
  IPv4: '/proc/sys/net/ipv4/ip_forward',
  IPv6: '/proc/sys/net/ipv6/conf/all/forwarding',
};

export class IpForwarding {
  readonly #log: Logger;
  readonly #needed = new Set<Family>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Only for families that have Services: a host that forwards IPv6 takes no more routes from router advertisements. */
  need(family: Family): void {
    if (this.#needed.has(family)) return;
    this.#needed.add(family);
    const file = SETTINGS[family];
    try {
      if (readFileSync(file, 'utf8').trim() !== '0') return;
      writeFileSync(file, '1');
      this.#log.warn({ file }, 'forwarding was off on this node; switched it on');
    } catch (error) {
      this.#log.warn({ file, error: (error as Error).message }, 'cannot switch forwarding on; set this to 1');
    }
  }
}
