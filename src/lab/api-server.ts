// What the embedded API server and a real one have in common: the lab runs either, and the conformance suite both.

/** `embedded`: the project's own, in memory; `real`: etcd and kube-apiserver. */
export const API_SERVERS = ['embedded', 'real'] as const;
export type ApiServerKind = (typeof API_SERVERS)[number];

export interface LabApiServer {
  readonly url: string;
  /** YAML that gives access to everything. */
  kubeconfig(): string;
  /** After `stop`: again at the same place, with all objects as they were. */
  start(): Promise<void>;
  /** Breaks every connection; none is taken. */
  stop(): Promise<void>;
  /** Cuts every watch, as a restart or a proxy's time limit does. */
  dropWatches(): void;
  /** Makes every version from before now too old to watch from, or to list the rest of. */
  forgetHistory(): void | Promise<void>;
  /** Ends it for good, with all that belongs to it. */
  close(): Promise<void>;
}
