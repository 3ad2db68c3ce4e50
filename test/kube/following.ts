// A reflector at work in a test: what it holds, what it told, what it logged.

import { Registry } from 'prom-client';
import { onTestFinished } from 'vitest';
import { type Clock, systemClock } from '../../src/clock/clock.ts';
import type { KubeApi, Resource } from '../../src/kube/kube-api.ts';
import { kubeMetrics } from '../../src/kube/metrics.ts';
import type { KubeObject } from '../../src/kube/objects.ts';
import { Reflector } from '../../src/kube/reflector.ts';
import { Store } from '../../src/kube/store.ts';
import { createLogger } from '../../src/observe/logger.ts';

export interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface Following {
  readonly store: Store<KubeObject>;
  readonly synced: Promise<void>;
  readonly settled: Promise<void>;
  /** `key@resourceVersion`, or `key gone`, in the order in which a listener heard it. */
  readonly told: readonly string[];
  readonly logs: readonly LogLine[];
  readonly registry: Registry;
  /** Resolves once the condition holds; looked at after every change and every line of log. */
  until(condition: () => boolean): Promise<void>;
  stop(): Promise<void>;
}

export function logTo(lines: LogLine[], heard: () => void = () => {}) {
  const destination = {
    write: (line: string) => {
      lines.push(JSON.parse(line));
      heard();
    },
  };
  return createLogger({ component: 'test', level: 'debug', destination });
}

/** Follows the resource until the test ends. */
export function follow(api: KubeApi, resource: Resource, clock: Clock = systemClock): Following {
  const store = new Store<KubeObject>();
  const told: string[] = [];
  const logs: LogLine[] = [];
  const waiting = new Set<() => void>();
  const look = () => {
    for (const one of [...waiting]) one();
  };
  store.subscribe((key, object) => {
    told.push(object ? `${key}@${object.metadata.resourceVersion}` : `${key} gone`);
    look();
  });
  const registry = new Registry();
  const reflector = new Reflector({
    api,
    resource,
    store,
    clock,
    random: () => 0.5,
    log: logTo(logs, look),
    metrics: kubeMetrics(registry),
  });
  const stop = new AbortController();
  const run = reflector.run(stop.signal);
  const ended = async () => {
    stop.abort();
    await run;
  };
  onTestFinished(ended);
  return {
    store,
    synced: reflector.synced,
    settled: reflector.settled,
    told,
    logs,
    registry,
    stop: ended,
    until(condition) {
      return new Promise((resolve) => {
        const one = () => {
          if (!condition()) return;
          waiting.delete(one);
          resolve();
        };
        waiting.add(one);
        one();
      });
    },
  };
}
