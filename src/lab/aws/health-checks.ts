// Health checks as a network load balancer makes them: over the network, of every target behind a listener, with the
// thresholds of the target group. What they come to is what the emulator tells of a target's health.
import { request } from 'node:http';
import { connect } from 'node:net';
import type { Cloud, CloudTargetGroup } from './cloud.ts';

/** Milliseconds between two looks at which checks are due. */
const TICK = 50;

export interface Probe {
  readonly protocol: 'TCP' | 'HTTP';
  readonly host: string;
  readonly port: number;
  /** HTTP only. */
  readonly path: string;
  readonly matcher: string;
  /** Milliseconds. */
  readonly timeout: number;
}

export interface HealthChange {
  readonly target: string;
  readonly healthy: boolean;
}

interface Found {
  /** Undefined: neither threshold was reached yet. */
  healthy: boolean | undefined;
  /** How many checks in a row came to `last`. */
  streak: number;
  last: boolean | undefined;
  checkedAt: number;
  checking: boolean;
}

export class HealthChecks {
  /** In order, since the start. */
  readonly changes: HealthChange[] = [];
  readonly #cloud: Cloud;
  readonly #speed: number;
  readonly #found = new Map<string, Found>();

  /** `speed`: how much faster than asked, so that a demonstration need not wait for minutes. */
  constructor(cloud: Cloud, speed: number) {
    this.#cloud = cloud;
    this.#speed = speed;
    cloud.behaviour.isHealthy = (id, port, group) => this.#found.get(keyOf(group, id, port))?.healthy;
  }

  /** Checks until `signal` aborts. */
  start(signal: AbortSignal): void {
    const timer = setInterval(() => this.#checkDue(), TICK);
    signal.addEventListener('abort', () => clearInterval(timer));
  }

  #checkDue(): void {
    const now = this.#cloud.clock.now();
    const there = new Set<string>();
    for (const group of this.#cloud.targetGroups.values()) {
      if (this.#cloud.usersOf(group.arn).length === 0) continue;
      const interval = (Number(group.healthCheck.HealthCheckIntervalSeconds) * 1000) / this.#speed;
      for (const { id, port, drainsUntil } of group.targets.values()) {
        if (drainsUntil !== undefined) continue;
        const key = keyOf(group, id, port);
        there.add(key);
        const found = this.#found.get(key) ?? unknown();
        this.#found.set(key, found);
        if (found.checking || now < found.checkedAt + interval) continue;
        Object.assign(found, { checking: true, checkedAt: now });
        void this.#check(group, id, port, found);
      }
    }
    for (const key of this.#found.keys()) if (!there.has(key)) this.#found.delete(key);
  }

  async #check(group: CloudTargetGroup, id: string, port: number, found: Found): Promise<void> {
    const { healthCheck: check } = group;
    const host = group.targetType === 'ip' ? id : this.#cloud.instances.get(id)?.address;
    const passed =
      host !== undefined &&
      (await answers({
        protocol: check.HealthCheckProtocol === 'TCP' ? 'TCP' : 'HTTP',
        host,
        port: check.HealthCheckPort === 'traffic-port' ? port : Number(check.HealthCheckPort),
        path: check.HealthCheckPath ?? '/',
        matcher: check.HttpCode ?? '200-399',
        timeout: (Number(check.HealthCheckTimeoutSeconds) * 1000) / this.#speed,
      }));
    found.checking = false;
    found.streak = found.last === passed ? found.streak + 1 : 1;
    found.last = passed;
    const threshold = Number(passed ? check.HealthyThresholdCount : check.UnhealthyThresholdCount);
    if (found.streak < threshold || found.healthy === passed) return;
    found.healthy = passed;
    this.changes.push({ target: id, healthy: passed });
  }
}

/** Whether a connection comes about and, with HTTP, is answered with a status that fits. */
export function answers({ protocol, host, port, path, matcher, timeout }: Probe): Promise<boolean> {
  return new Promise((resolve) => {
    if (protocol === 'TCP') {
      const socket = connect({ host, port });
      const end = (passed: boolean) => {
        socket.destroy();
        resolve(passed);
      };
      socket.setTimeout(timeout, () => end(false));
      socket.once('connect', () => end(true)).once('error', () => end(false));
      return;
    }
    const asked = request({ host, port, path, agent: false, timeout }, (response) => {
      response.resume();
      resolve(matches(matcher, response.statusCode ?? 0));
    });
    asked.once('timeout', () => asked.destroy(new Error('too slow')));
    asked.once('error', () => resolve(false));
    asked.end();
  });
}

/** `200`, `200,202` or `200-399`. */
function matches(matcher: string, status: number): boolean {
  return matcher.split(',').some((part) => {
    const [least = '', most = least] = part.split('-');
    return status >= Number(least) && status <= Number(most);
  });
}

function unknown(): Found {
  return {
    healthy: undefined,
    streak: 0,
    last: undefined,
    checkedAt: Number.NEGATIVE_INFINITY,
    checking: false,
  };
}

function keyOf({ arn }: CloudTargetGroup, id: string, port: number): string {
  return `${arn} ${id}:${port}`;
}
