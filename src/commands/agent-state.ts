// How the agent fares, for its pages: /livez says whether it works, /healthz also whether load balancers should
// send new connections to this node, /readyz whether it has done its work once.
import type { Clock } from '../clock/clock.ts';
import type { NodeObject } from '../kube/objects.ts';
import type { Health, Page } from '../observe/http-server.ts';

/** A change that is not in force after so long is a failure, as for kube-proxy: milliseconds. */
const PATIENCE = 60_000;
/** The cluster autoscaler is about to remove the node (KEP-3836). */
const TO_BE_DELETED = 'ToBeDeletedByClusterAutoscaler';

export class AgentState {
  readonly #clock: Clock;
  readonly #node: () => NodeObject | undefined;
  #problem: { readonly message: string; readonly since: number } | undefined;
  #lastUpdated: Date;
  /** Whether it has done its work once, from whole lists. */
  ready = false;

  /** `node`: this machine's Node object, as far as it is known. */
  constructor(clock: Clock, node: () => NodeObject | undefined) {
    this.#clock = clock;
    this.#node = node;
    this.#lastUpdated = clock.wallTime();
  }

  get problem(): string | undefined {
    return this.#problem?.message;
  }

  succeeded(): void {
    this.#problem = undefined;
  }

  failed(message: string): void {
    if (!this.#problem) this.#lastUpdated = this.#clock.wallTime();
    this.#problem = { message, since: this.#problem?.since ?? this.#clock.now() };
  }

  /** Whether nothing has been waiting for too long. */
  get works(): boolean {
    return this.#problem === undefined || this.#clock.now() - this.#problem.since < PATIENCE;
  }

  health(page: Page): Health {
    const { works } = this;
    const now = this.#clock.wallTime().toISOString();
    const nodeEligible = isEligible(this.#node());
    return {
      healthy: works && (page !== 'healthz' || nodeEligible) && (page !== 'readyz' || this.ready),
      detail: {
        ready: this.ready,
        ...(this.problem === undefined ? {} : { problem: this.problem }),
        lastUpdated: this.#problem ? this.#lastUpdated.toISOString() : now,
        currentTime: now,
        ...(page === 'healthz' ? { nodeEligible } : {}),
      },
    };
  }
}

function isEligible(node: NodeObject | undefined): boolean {
  if (!node) return true;
  const doomed = node.spec?.taints?.some(({ key }) => key === TO_BE_DELETED) ?? false;
  return node.metadata.deletionTimestamp === undefined && !doomed;
}
