// Ranges in a set of nftables that holds no concatenations: the kernel lists where each begins and where it ends.
import type { NetlinkConnection } from './connection.ts';
import { viewOf } from './message.ts';
import { elementKey, elementsIn, listRequest } from './nftables.ts';

// linux/netfilter/nf_tables.h
const ELEM_FLAGS = 3;
const INTERVAL_END = 1;

export interface KeyRange {
  /** One character a byte, as in `Element`. */
  readonly first: string;
  /** The key behind the last one; undefined: it goes on to the highest. */
  readonly end: string | undefined;
}

/** In ascending order. Rejects with NetlinkError (ENOENT: no such set). */
export async function listRanges(
  connection: NetlinkConnection,
  table: string,
  set: string,
): Promise<KeyRange[]> {
  const marks = await connection.dump(listRequest(table, set), (message) => {
    const found: { readonly key: string; readonly ends: boolean }[] = [];
    elementsIn(message, (parts) => {
      const key = elementKey(parts);
      const flags = parts.get(ELEM_FLAGS);
      const ends = flags?.length === 4 && (viewOf(flags).getUint32(0) & INTERVAL_END) !== 0;
      if (key !== undefined) found.push({ key, ends });
    });
    return found;
  });
  // Where one ends and the next begins at the same key, the end comes first.
  const sorted = marks
    .flat()
    .sort((a, b) => (a.key === b.key ? Number(b.ends) - Number(a.ends) : a.key < b.key ? -1 : 1));
  return sorted.flatMap(({ key, ends }, i) => {
    if (ends) return [];
    const next = sorted[i + 1];
    return [{ first: key, end: next?.ends ? next.key : undefined }];
  });
}
