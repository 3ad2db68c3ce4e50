// The controller's pages on its work queue: what `fairlead queue` asks.
import type { HttpServerOptions, PageAnswer, PageRequest } from '../observe/http-server.ts';
import { viewOfAll } from '../queue/view.ts';
import type { WorkQueue } from '../queue/work-queue.ts';

export const QUEUE_PAGE = '/queue';
export const RELEASE_PAGE = '/queue/release';

/** The pages name Services, and metrics are often served to the whole network. */
const FORBIDDEN = { status: 403, body: { error: 'only for the controller’s own machine: forward its port' } };

const NO_QUEUE = { status: 503, body: { error: 'this controller waits to lead: ask the one that does' } };

/** `current`: the queues that this controller works on now. */
export function queuePages(current: () => ReadonlySet<WorkQueue>): NonNullable<HttpServerOptions['pages']> {
  const page =
    (answer: (queues: ReadonlySet<WorkQueue>, request: PageRequest) => Promise<PageAnswer>) =>
    async (request: PageRequest): Promise<PageAnswer> => {
      if (!request.local) return FORBIDDEN;
      const queues = current();
      if (queues.size === 0) return NO_QUEUE;
      try {
        return await answer(queues, request);
      } catch (error) {
        return { status: 503, body: { error: `the queue does not answer: ${(error as Error).message}` } };
      }
    };
  return {
    [QUEUE_PAGE]: page(async (queues) => ({ status: 200, body: await viewOfAll(queues) })),
    [RELEASE_PAGE]: page(async (queues, { method, query }) => {
      if (method !== 'POST') return { status: 405, body: { error: 'ask by POST' } };
      const key = query.get('key') ?? '';
      const released = await Promise.all([...queues].map((queue) => queue.release(key)));
      return released.includes(true)
        ? { status: 200, body: {} }
        : { status: 404, body: { error: `no "${key}" is parked` } };
    }),
  };
}
