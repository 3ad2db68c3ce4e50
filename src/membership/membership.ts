// Which nodes live. Today the API server's word; a faster detector takes its place behind the same face.

import type { Links } from './message.ts';

export interface Membership {
  /** On what a node can announce; undefined: that is not known. */
  linksOf?(node: string): Links;
  isAlive(node: string): boolean;
  /** Why not, where more is known than that. */
  reasonAgainst?(node: string): string | undefined;
}

/** As much of a Node object as counts here: this room and kube/ do not know each other. */
interface NodeState {
  readonly status?: {
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

/** A node lives while the API server says that it is Ready. */
export class NodeReadiness implements Membership {
  readonly #nodes: { get(name: string): NodeState | undefined };

  constructor(nodes: { get(name: string): NodeState | undefined }) {
    this.#nodes = nodes;
  }

  isAlive(node: string): boolean {
    const conditions = this.#nodes.get(node)?.status?.conditions ?? [];
    return conditions.some(({ type, status }) => type === 'Ready' && status === 'True');
  }
}
