// Pages of ELBv2: PageSize from 1 to 400, and a marker that names where the next one begins.
import { refuse } from './fault.ts';
import { number, type Params, text } from './query.ts';

export function pageOf<T>(
  all: readonly T[],
  params: Params,
  most = 400,
): { readonly page: readonly T[]; readonly marker: string | undefined } {
  const size = number(params, 'PageSize') ?? most;
  if (!(size >= 1 && size <= most)) refuse('ValidationError', `PageSize must be between 1 and ${most}`);
  const from = Number(text(params, 'Marker') ?? 0);
  if (!Number.isInteger(from)) refuse('ValidationError', 'the marker is not valid');
  const next = from + size;
  return { page: all.slice(from, next), marker: next < all.length ? String(next) : undefined };
}
