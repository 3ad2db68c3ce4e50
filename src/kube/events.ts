// Events on an object (events.k8s.io/v1), for people who run `kubectl describe`.
import { randomInt } from 'node:crypto';
import type { Clock } from '../clock/clock.ts';
import type { Logger } from '../observe/logger.ts';
import { isDenied } from './denials.ts';
import type { KubeApi } from './kube-api.ts';
import type { KubeObject } from './objects.ts';
import { EVENTS } from './resources.ts';
import { keyOf } from './store.ts';

export interface EventText {
  readonly type: 'Normal' | 'Warning';
  /** CamelCase, stable: machines match it. */
  readonly reason: string;
  /** What was tried, CamelCase. */
  readonly action: string;
  readonly note: string;
}

/** events.k8s.io/v1: a note holds 1024 bytes. */
const NOTE_LIMIT = 1024;
/** An object's name holds 253 characters, of which ours adds up to 20: a dot, milliseconds, a count. */
const NAME_PART_LIMIT = 233;
/** Objects whose last event is remembered; past it the oldest is forgotten and may be told again. */
const REMEMBERED = 20_000;
/** Written at the same time, so that a burst of events leaves connections for what matters more. */
const AT_ONCE = 4;
/** Events that wait for a slow server; past it the oldest is dropped. */
const WAITING = 20_000;

export class EventRecorder {
  readonly #api: KubeApi;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #instance: string;
  readonly #component: string;
  readonly #last = new Map<string, string>();
  readonly #waiting = new Set<KubeObject>();
  #writers = 0;
  /** From a start of its own: two processes may tell of one object in the same millisecond. */
  #count = randomInt(2 ** 32);

  /** `component`: which of our processes writes; `instance`: on which host. */
  constructor(options: {
    api: KubeApi;
    clock: Clock;
    log: Logger;
    instance: string;
    component?: 'controller' | 'agent';
  }) {
    this.#api = options.api;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#instance = options.instance;
    this.#component = options.component ?? 'controller';
  }

  /** Writes the event unless it is the one that was written last on this object. A failure is only logged. */
  record(
    regarding: KubeObject & { readonly kind: string; readonly apiVersion: string },
    text: EventText,
  ): void {
    const { uid, name, namespace } = regarding.metadata;
    const id = uid ?? `${regarding.kind} ${keyOf(regarding)}`;
    const print = `${text.reason}\n${text.note}`;
    if (this.#last.get(id) === print) return;
    this.#last.delete(id);
    this.#last.set(id, print);
    trim(this.#last, REMEMBERED);
    const now = this.#clock.wallTime();
    const suffix = `${now.getTime().toString(16)}${(this.#count++ % 2 ** 32).toString(16).padStart(8, '0')}`;
    const event = {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: {
        name: `${name.slice(0, NAME_PART_LIMIT)}.${suffix}`,
        namespace: namespace ?? 'default',
      },
      eventTime: now.toISOString().replace('Z', '000Z'),
      reportingController: `fairlead.dev/${this.#component}`,
      reportingInstance: this.#instance,
      action: text.action,
      reason: text.reason,
      type: text.type,
      note: clip(text.note),
      regarding: { apiVersion: regarding.apiVersion, kind: regarding.kind, name, namespace, uid },
    };
    this.#waiting.add(event);
    trim(this.#waiting, WAITING);
    if (this.#writers < AT_ONCE) void this.#write();
  }

  async #write(): Promise<void> {
    this.#writers++;
    for (const event of this.#waiting) {
      this.#waiting.delete(event);
      try {
        await this.#api.create(EVENTS, event);
      } catch (error) {
        if (isDenied(error)) continue; // told already
        const { name, namespace } = event.metadata;
        this.#log.warn(
          { event: name, namespace, error: (error as Error).message },
          'could not write an event',
        );
      }
    }
    this.#writers--;
  }
}

/** Drops what was added first until no more than `most` are left. */
function trim<K>(entries: Map<K, unknown> | Set<K>, most: number): void {
  for (const key of entries.keys()) {
    if (entries.size <= most) return;
    entries.delete(key);
  }
}

/** At most NOTE_LIMIT bytes, cut between characters. */
function clip(note: string): string {
  if (Buffer.byteLength(note) <= NOTE_LIMIT) return note;
  // A character that the cut went through decodes to U+FFFD.
  const cut = Buffer.from(note)
    .subarray(0, NOTE_LIMIT - 4)
    .toString('utf8')
    .replace(/\uFFFD$/, '');
  return `${cut} …`;
}
