// A cloud for tests of who works on it: answers with a name, and wants to be asked again.
import type { ServiceObject } from '../../src/kube/objects.ts';
import { keyOf } from '../../src/kube/store.ts';
import type {
  BeforeWrite,
  CloudNews,
  CloudOutcome,
  CloudProvider,
  CloudRun,
} from '../../src/providers/provider.ts';

export const CLOUD_CLASS = 'example.com/cloud';
/** Milliseconds. */
export const DRIFT_CHECK = 45_000;

/** What stands for the calls to a cloud: takes its time, and asks before each write. */
export type ScriptedWork = (key: string, beforeWrite: BeforeWrite, thorough?: boolean) => Promise<void>;

export class ScriptedCloud implements CloudProvider {
  /** What decides on Services besides themselves. */
  print = '';
  tell = (_: CloudNews): void => {};
  readonly #work: ScriptedWork;

  constructor(work: ScriptedWork) {
    this.#work = work;
  }

  accountOf = () => 'main';
  printOf = () => this.print;
  forget = () => {};

  async ensure(service: ServiceObject, { beforeWrite, claim, thorough }: CloudRun): Promise<CloudOutcome> {
    await claim({ places: 'main', isApplied: false });
    await this.#work(keyOf(service), beforeWrite, thorough);
    const { labels = {} } = service.metadata;
    const hostnames = [`${labels.version ?? keyOf(service).replace('/', '-')}.example`];
    return { kind: 'done', addresses: [], hostnames, source: 'main', places: 'main', again: DRIFT_CHECK };
  }

  async remove(service: ServiceObject, beforeWrite: BeforeWrite): Promise<void> {
    await this.#work(keyOf(service), beforeWrite);
  }

  subscribe(listener: (news: CloudNews) => void): () => void {
    this.tell = listener;
    return () => {};
  }
}
