// What the lab's pods say.

/** TCP and UDP. */
export const POD_PORT = 8080;

export interface PodAnswer {
  readonly pod: string;
  readonly node: string;
  /** As the pod saw it. */
  readonly source: string;
}

/** Reads what a pod said. Throws SyntaxError for what no pod says. */
export function parsePodAnswer(text: string): PodAnswer {
  return JSON.parse(text) as PodAnswer; // pods say nothing else
}
