// The controller's pages on its work queue: what `fairlead queue` asks.
import type { HttpServerOptions, PageAnswer, PageRequest } from '../observe/http-server.ts';
import type { WorkQueue } from '../queue/work-queue.ts';

export const QUEUE_PAGE = '/queue';
export const RELEASE_PAGE = '/queue/release';

/** The pages name Services, and metrics are often served to the whole network. */
const FORBIDDEN = { status: 403, body: { error: 'only for the controller’s own machine: forward its port' } };

const NO_QUEUE = { status: 503, body: { error: 'this controller waits to lead: ask the one that does' } };

/** `current`: the queue there is, while this controller leads. */
export function queuePages(current: () => WorkQueue | undefined): NonNullable<HttpServerOptions['pages']> {
  const page =
    (answer: (queue: WorkQueue, request: PageRequest) => Promise<PageAnswer>) =>
    async (request: PageRequest): Promise<PageAnswer> => {
      if (!request.local) return FORBIDDEN;
      const queue = current();
      if (!queue) return NO_QUEUE;
      try {
        return await answer(queue, request);
      } catch (error) {
        return { status: 503, body: { error: `the queue does not answer: ${(error as Error).message}` } };
      }
    };
  return {
    [QUEUE_PAGE]: page(async (queue) => ({ status: 200, body: await queue.view() })),
    [RELEASE_PAGE]: page(async (queue, { method, query }) => {
      if (method !== 'POST') return { status: 405, body: { error: 'ask by POST' } };
      const key = query.get('key') ?? '';
      const released = await queue.release(key);
      return released ? { status: 200, body: {} } : { status: 404, body: { error: `no "${key}" is parked` } };
    }),
  };
}
