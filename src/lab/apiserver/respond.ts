// Answers over HTTP.
import type { ServerResponse } from 'node:http';
import { ApiError } from './api-error.ts';

export function send(response: ServerResponse, code: number, body: object): void {
  const payload = Buffer.from(JSON.stringify(body));
  response.writeHead(code, { 'content-type': 'application/json', 'content-length': payload.length });
  response.end(payload);
}

/** A Status where there is still time for one; a cut connection else. */
export function sendError(response: ServerResponse, error: unknown): void {
  if (response.headersSent) return void response.destroy();
  const known = error instanceof ApiError;
  const answer = known
    ? error
    : new ApiError(500, 'InternalError', `Internal error occurred: ${(error as Error).stack}`);
  send(response, answer.code, answer.status());
}

/** A warning for the person at the client (RFC 9111 §5.5 as Kubernetes uses it: code 299). */
export function warn(response: ServerResponse, text: string): void {
  // A header holds printable ASCII only; field names may be anything.
  const printable = text.replace(/[^\x20-\x7e]/g, '?');
  response.appendHeader('warning', `299 - ${JSON.stringify(printable)}`);
}
