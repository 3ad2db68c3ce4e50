// Plain requests to a test's API server: every verb and header, and the answer as it came.
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { type Credentials, loadCredentials } from '../../../src/kube/credentials.ts';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  // biome-ignore lint/suspicious/noExplicitAny: any JSON; the test looks at what it expects of it
  readonly body: any;
}

export interface Ask {
  readonly body?: unknown;
  readonly type?: string;
  readonly accept?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export const MERGE = 'application/merge-patch+json';
export const JSON_PATCH = 'application/json-patch+json';
export const STRATEGIC = 'application/strategic-merge-patch+json';
export const APPLY = 'application/apply-patch+yaml';

export class RawClient {
  readonly #credentials: Credentials;

  private constructor(credentials: Credentials) {
    this.#credentials = credentials;
  }

  static async open(kubeconfig: string): Promise<RawClient> {
    return new RawClient(await loadCredentials(kubeconfig));
  }

  get = (path: string, ask: Ask = {}) => this.#ask('GET', path, ask);
  post = (path: string, body: unknown, ask: Ask = {}) => this.#ask('POST', path, { ...ask, body });
  put = (path: string, body: unknown, ask: Ask = {}) => this.#ask('PUT', path, { ...ask, body });
  patch = (path: string, type: string, body: unknown) => this.#ask('PATCH', path, { type, body });
  delete = (path: string, body?: unknown) => this.#ask('DELETE', path, { body });

  /** The events of a watch that the server holds from now on, parsed, until the server or the caller ends it. */
  async watch(path: string, ask: Ask = {}): Promise<AsyncGenerator<WatchLine>> {
    return eventsOf(await this.#send('GET', path, ask));
  }

  async #ask(method: string, path: string, ask: Ask): Promise<Answer> {
    const response = await this.#send(method, path, ask);
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString('utf8');
    const json = response.headers['content-type']?.includes('json');
    return {
      status: response.statusCode ?? 0,
      headers: response.headers,
      body: json ? JSON.parse(text) : text,
    };
  }

  async #send(method: string, path: string, { body, type, accept, headers }: Ask): Promise<IncomingMessage> {
    const options = await this.#credentials.requestOptions();
    const payload = Buffer.from(typeof body === 'string' ? body : (JSON.stringify(body) ?? ''));
    return new Promise((resolve, reject) => {
      const outgoing = httpsRequest(new URL(path, this.#credentials.server), {
        ...options,
        method,
        headers: {
          ...options.headers,
          accept: accept ?? 'application/json',
          'content-type': type ?? 'application/json',
          'content-length': payload.length,
          ...headers,
        },
      });
      outgoing.once('response', resolve);
      outgoing.once('error', reject);
      outgoing.end(payload);
    });
  }
}

async function* eventsOf(response: IncomingMessage): AsyncGenerator<WatchLine> {
  let text = '';
  try {
    for await (const chunk of response) {
      text += chunk;
      const lines = text.split('\n');
      text = lines.pop() ?? '';
      for (const line of lines) yield JSON.parse(line);
    }
  } finally {
    response.destroy();
  }
}

export interface WatchLine {
  readonly type: string;
  // biome-ignore lint/suspicious/noExplicitAny: any kind's JSON
  readonly object: any;
}

/** The next `count` events of a watch. */
export async function take(watch: AsyncGenerator<WatchLine>, count: number): Promise<WatchLine[]> {
  const events: WatchLine[] = [];
  while (events.length < count) {
    const { value, done } = await watch.next();
    if (done) throw new Error(`the watch ended after ${events.length} of ${count} events`);
    events.push(value);
  }
  return events;
}
