// Events on an object (events.k8s.io/v1), for people who run `kubectl describe`.
import type { Clock } from '../clock/clock.ts';
import type { Logger } from '../observe/logger.ts';
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

/** events.k8s.io/v1: a note holds 1024 characters. */
const NOTE_LIMIT = 1024;
/** Objects whose last event is remembered; past it the oldest is forgotten and may be told again. */
const REMEMBERED = 20_000;

export class EventRecorder {
  readonly #api: KubeApi;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #instance: string;
  readonly #last = new Map<string, string>();
  #count = 0;

  constructor(options: { api: KubeApi; clock: Clock; log: Logger; instance: string }) {
    this.#api = options.api;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#instance = options.instance;
  }

  /** Writes the event unless it is the one that was written last on this object. A failure is only logged. */
  record(
    regarding: KubeObject & { readonly kind: string; readonly apiVersion: string },
    text: EventText,
  ): void {
    const { uid = '', name, namespace } = regarding.metadata;
    const print = `${text.reason}\n${text.note}`;
    if (this.#last.get(uid) === print) return;
    this.#last.delete(uid);
    this.#last.set(uid, print);
    const oldest = this.#last.keys().next();
    if (this.#last.size > REMEMBERED && !oldest.done) this.#last.delete(oldest.value);
    const time = this.#clock.wallTime().toISOString();
    const event = {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: {
        name: `${name}.${BigInt(Date.parse(time)).toString(16)}${(this.#count++).toString(16).padStart(4, '0')}`,
        namespace: namespace ?? 'default',
      },
      eventTime: time.replace('Z', '000Z'),
      reportingController: 'fairlead.dev/controller',
      reportingInstance: this.#instance,
      action: text.action,
      reason: text.reason,
      type: text.type,
      note: text.note.slice(0, NOTE_LIMIT),
      regarding: { apiVersion: regarding.apiVersion, kind: regarding.kind, name, namespace, uid },
    };
    this.#api.create(EVENTS, event).catch((error: Error) => {
      this.#log.warn(
        { object: keyOf(regarding), reason: text.reason, error: error.message },
        'could not write an event',
      );
    });
  }
}
