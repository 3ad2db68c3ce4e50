// What the lab's pods say.

/** TCP and UDP. */
export const POD_PORT = 8080;
/** Of HTTP: what is sent there comes back as it comes, over a connection that lasts as long as its client likes. */
export const ECHO_PATH = '/echo';

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
