// Removes what agents said of addresses that no Service has any more. Agents write these objects and do not read them.
import type { Clock, Timer } from '../clock/clock.ts';
import { type KubeApi, KubeError } from '../kube/kube-api.ts';
import type { KubeObject, ServiceObject } from '../kube/objects.ts';
import { ANNOUNCEMENTS } from '../kube/resources.ts';
import type { Store } from '../kube/store.ts';
import { type Ip, parseIp } from '../net/address.ts';
import type { Logger } from '../observe/logger.ts';
import { announcementName } from '../status/announcement.ts';

/** Milliseconds in which changes are gathered. */
const GATHER = 1_000;
/** Milliseconds for which no Service must have had it: an agent may have heard of a Service before this process does. */
const GRACE = 5_000;

export interface SweeperOptions {
  readonly api: KubeApi;
  /** Whole. */
  readonly services: Store<ServiceObject>;
  readonly announcements: Store<KubeObject>;
  /** Addresses that are kept out of use: what is said of them stays. */
  readonly outOfUse?: () => ReadonlySet<Ip>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Works until `signal` aborts. */
export function sweepAnnouncements(
  { api, services, announcements, outOfUse, clock, log }: SweeperOptions,
  signal: AbortSignal,
): void {
  /** Since when nobody has had each. */
  const idle = new Map<string, number>();
  let timer: Timer | undefined;
  const look = (after: number) => {
    timer ??= clock.setTimer(after, () => {
      timer = undefined;
      void sweep();
    });
  };
  const sweep = async () => {
    const shown = namesIn(services.values());
    for (const address of outOfUse?.() ?? []) shown.add(announcementName(address));
    const now = clock.now();
    for (const { metadata } of announcements.values())
      if (shown.has(metadata.name)) idle.delete(metadata.name);
      else if (!idle.has(metadata.name)) idle.set(metadata.name, now);
    for (const [name, since] of idle) {
      if (signal.aborted) return;
      if (!announcements.get(name)) idle.delete(name);
      else if (now - since >= GRACE) await remove(name);
    }
    if (idle.size > 0 && !signal.aborted) look(GRACE);
  };
  const remove = async (name: string) => {
    try {
      await api.delete(ANNOUNCEMENTS, { name });
      idle.delete(name);
    } catch (error) {
      if (error instanceof KubeError && error.status === 404) idle.delete(name);
      else
        log.warn({ announcement: name, error: (error as Error).message }, 'cannot remove it; will try again');
    }
  };
  const stops = [services, announcements].map((store) => store.subscribe(() => look(GATHER)));
  signal.addEventListener('abort', () => {
    for (const stop of stops) stop();
    timer?.cancel();
  });
  look(GATHER);
}

function namesIn(services: Iterable<ServiceObject>): Set<string> {
  const names = new Set<string>();
  for (const { status } of services) {
    for (const { ip: text = '' } of status?.loadBalancer?.ingress ?? []) {
      const parsed = parseIp(text);
      if (parsed.kind !== 'malformed') names.add(announcementName(parsed.value));
    }
  }
  return names;
}
