// Every object of a kind at once, for commands that look and end.
import { type KubeApi, KubeError, type Resource } from './kube-api.ts';
import type { KubeObject } from './objects.ts';

/** Objects a page. */
const PAGE = 500;

/** None where the server knows no such kind. Rejects with KubeError otherwise. */
export async function listAll<T extends KubeObject>(api: KubeApi, resource: Resource<T>): Promise<T[]> {
  const objects: T[] = [];
  let next: string | undefined;
  do {
    try {
      const page = await api.list(resource, {
        limit: PAGE,
        ...(next === undefined ? {} : { continue: next }),
      });
      objects.push(...page.items);
      next = page.continue;
    } catch (error) {
      if (!(error instanceof KubeError) || error.status !== 404) throw error;
      return [];
    }
  } while (next !== undefined);
  return objects;
}
