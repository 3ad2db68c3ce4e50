// What nftables has counted for the elements of a set (linux/netfilter/nf_tables.h).
import type { NetlinkConnection } from './connection.ts';
import { eachAttribute, parseAttributes, viewOf } from './message.ts';
import { elementKey, elementsIn, listRequest } from './nftables.ts';

const ELEM_EXPR = 7;
const EXPR_DATA = 2;
const COUNTER_BYTES = 1;
const COUNTER_PACKETS = 2;

export interface Counted {
  readonly key: string;
  readonly packets: number;
  /** As the network layer counts, its header included. */
  readonly bytes: number;
}

/** The elements of a set that was declared with `counter`. Rejects with NetlinkError (ENOENT: no such set). */
export async function listCounters(
  connection: NetlinkConnection,
  table: string,
  set: string,
): Promise<Counted[]> {
  const lists = await connection.dump(listRequest(table, set), (message) => {
    const found: Counted[] = [];
    elementsIn(message, (parts) => {
      const key = elementKey(parts);
      const expression = parts.get(ELEM_EXPR);
      const data = expression && parseAttributes(expression).get(EXPR_DATA);
      if (key === undefined || !data) return;
      let [packets, bytes] = [0, 0];
      eachAttribute(data, 0, (type, value) => {
        if (value.length !== 8) return;
        const number = Number(viewOf(value).getBigUint64(0));
        if (type === COUNTER_PACKETS) packets = number;
        if (type === COUNTER_BYTES) bytes = number;
      });
      found.push({ key, packets, bytes });
    });
    return found;
  });
  return lists.flat();
}
