// As much of nf_tables as a NetlinkRecorder needs for a script: tables by name, changed by whole batches or not at all.
import {
  type Message,
  NLM_F_ACK,
  parseAttributes,
  parseMessages,
  textOf,
} from '../../src/netlink/message.ts';
import type { NetlinkScript } from '../../src/sockets/netlink-recorder.ts';
import { acknowledgement, done, message, NLM_F_EXCL } from './answers.ts';

const BATCH_BEGIN = 0x10;
const NEWTABLE = 0xa00;
const GETTABLE = 0xa01;
const DELTABLE = 0xa02;
const NFGENMSG = 4;
/** errno(3) */
const [ENOENT, EEXIST, EINVAL] = [2, 17, 22];

/** A kernel of its own. */
export function scriptedTables(): NetlinkScript {
  let tables: readonly Uint8Array[] = [];
  const nameOf = ({ payload }: Message) => {
    const name = parseAttributes(payload, NFGENMSG).get(1);
    return name ? textOf(name) : '';
  };
  const isNamed = (name: string) => (body: Uint8Array) => nameOf({ payload: body } as Message) === name; // all it reads
  /** The errno of one message of a batch, and the tables after it. */
  const change = (now: readonly Uint8Array[], each: Message) => {
    const isThere = now.some(isNamed(nameOf(each)));
    if (each.type === DELTABLE)
      return isThere
        ? { errno: 0, after: now.filter((body) => !isNamed(nameOf(each))(body)) }
        : { errno: ENOENT, after: now };
    if (each.type !== NEWTABLE) return { errno: EINVAL, after: now };
    if (isThere) return { errno: (each.flags & NLM_F_EXCL) !== 0 ? EEXIST : 0, after: now };
    return { errno: 0, after: [...now, Uint8Array.from(each.payload)] };
  };
  return (datagram) => {
    const messages = parseMessages(datagram);
    const [first] = messages;
    const sequence = first?.sequence ?? 0;
    if (first?.type === GETTABLE)
      return [...tables.map((body) => message(NEWTABLE, sequence, body, 2)), done(sequence)];
    // Outside a batch nothing of nf_tables can be changed.
    if (first?.type !== BATCH_BEGIN) return [acknowledgement(sequence, EINVAL)];
    const answers: Uint8Array[] = [];
    let after = tables;
    let refused = false;
    for (const each of messages.slice(1, -1)) {
      const changed = change(after, each);
      after = changed.after;
      refused ||= changed.errno !== 0;
      if (changed.errno !== 0 || (each.flags & NLM_F_ACK) !== 0)
        answers.push(acknowledgement(each.sequence, changed.errno));
    }
    if (!refused) tables = after;
    return answers;
  };
}
