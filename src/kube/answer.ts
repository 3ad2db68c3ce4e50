// Reads what the API server answers: whole bodies, the lines of a watch, and errors, all of them as KubeError.
import type { IncomingMessage } from 'node:http';
import { KubeError, type WatchEvent } from './kube-api.ts';
import type { KubeObject } from './objects.ts';

/** The whole body; `timeout`: milliseconds that may pass between two pieces of it. */
export async function textOf(response: IncomingMessage, timeout: number): Promise<string> {
  const chunks: Buffer[] = [];
  const stalled = setTimeout(() => {
    response.destroy(new KubeError(0, 'Timeout', `the answer stalled for ${timeout} ms`));
  }, timeout);
  try {
    for await (const chunk of response) {
      stalled.refresh();
      chunks.push(chunk);
    }
  } catch (error) {
    throw broken(error);
  } finally {
    clearTimeout(stalled);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** The body's lines as they complete; a last line without its end is dropped with the connection that cut it. */
export async function* lines(response: IncomingMessage): AsyncGenerator<string> {
  let parts: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) {
    let from = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      parts.push(chunk.subarray(from, end));
      yield Buffer.concat(parts).toString('utf8');
      parts = [];
      from = end + 1;
    }
    if (from < chunk.length) parts.push(chunk.subarray(from));
  }
}

const EVENT_KINDS = { ADDED: 'added', MODIFIED: 'modified', DELETED: 'deleted' } as const;

export function watchEvent<T extends KubeObject>(line: string): WatchEvent<T> {
  const { type, object } = JSON.parse(line); // a broken line throws, and the watch starts over
  if (type === 'BOOKMARK') return { kind: 'bookmark', resourceVersion: object.metadata.resourceVersion };
  if (type === 'ERROR') return { kind: 'error', code: object.code ?? 0, message: object.message ?? '' };
  const kind = EVENT_KINDS[type as keyof typeof EVENT_KINDS]; // undefined for a type that we do not know
  if (!kind) throw new KubeError(0, 'UnknownEvent', `the watch sent an event of type "${type}"`);
  return { kind, object };
}

export async function statusError(
  response: IncomingMessage,
  call: string,
  timeout: number,
): Promise<KubeError> {
  const code = response.statusCode ?? 0;
  const text = await textOf(response, timeout).catch(() => '');
  const seconds = Number(response.headers['retry-after']);
  const retryAfter = Number.isFinite(seconds) ? seconds * 1000 : undefined;
  let status: { reason?: string; message?: string } = {};
  try {
    status = JSON.parse(text) ?? {};
  } catch {
    // A proxy in between answers in its own words.
  }
  return new KubeError(
    code,
    status.reason ?? `HTTP${code}`,
    `${call}: ${status.message ?? text.slice(0, 200)}`,
    retryAfter,
  );
}

export function broken(error: unknown): KubeError {
  if (error instanceof KubeError) return error;
  const { code, name, message } = error as NodeJS.ErrnoException; // streams and sockets throw Errors
  return new KubeError(0, code ?? name, message);
}
