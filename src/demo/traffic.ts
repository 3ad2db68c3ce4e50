// Requests as the client of a lab makes them.
import type { LabNode } from '../lab/plan.ts';
import { type PodAnswer, parsePodAnswer } from '../lab/pod-answer.ts';
import type { Reply, Requester, Target } from '../lab/requester.ts';

const PORT = 80;
/** Milliseconds after which a request on the LAN has failed. */
const REQUEST = 500;
/** Requests that must all be answered before traffic counts as steady. */
export const STEADY = 20;

/** `at`: performance.now() when the answer was there. */
export async function untilAnswered(by: Requester, to: Target): Promise<{ answer: PodAnswer; at: number }> {
  for (;;) {
    const reply = await by.ask(to);
    if (reply.kind === 'answered') return { answer: parsePodAnswer(reply.text), at: performance.now() };
  }
}

/** The first of STEADY answers in a row, none from a pod on the node that is gone. */
export async function untilSteady(
  by: Requester,
  to: Target,
  gone: LabNode,
): Promise<{ readonly at: number; readonly pods: readonly string[] }> {
  let first = 0;
  let pods: string[] = [];
  while (pods.length < STEADY) {
    const asked = performance.now();
    const reply = await by.ask(to);
    const answer = reply.kind === 'answered' ? parsePodAnswer(reply.text) : undefined;
    if (!answer || answer.node === gone.name) {
      pods = [];
      continue;
    }
    if (pods.length === 0) first = asked + reply.milliseconds;
    pods.push(answer.pod);
  }
  return { at: first, pods: [...new Set(pods)].sort() };
}

export function http(host: string, port = PORT): Target {
  return { protocol: 'http', host, port, timeout: REQUEST };
}

export function answerOf(reply: Reply, host: string): PodAnswer {
  if (reply.kind === 'answered') return parsePodAnswer(reply.text);
  throw new Error(`a request to ${host} failed: ${reply.code}`);
}

export function told({ pod, node, source }: PodAnswer): string {
  return `pod ${pod} on ${node} (which saw ${source})`;
}
