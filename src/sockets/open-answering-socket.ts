// AnsweringSocket on a thread of the addon: no busy event loop delays an answer, or outlives a right.
import { performance } from 'node:perf_hooks';
import type { Ip } from '../net/address.ts';
import { macBytes } from '../net/mac.ts';
import { addon, type SocketHandle } from './addon.ts';
import {
  ANSWER_COUNTS,
  type AnswerCounts,
  type AnsweringSocket,
  type OpenAnsweringSocket,
} from './answering-socket.ts';

/**
 * What to add to the system Clock's milliseconds to have CLOCK_MONOTONIC's. It is read first, so that a pause between
 * the two readings only lets rights end early; of several readings the latest is the nearest.
 */
const MONOTONIC_OFFSET = Math.max(...Array.from({ length: 5 }, readOffset));

/** Memory that threads of the addon look at: kept for ever. A process has one, of its membership. */
const SHARED = new Set<BigInt64Array>();

function readOffset(): number {
  const monotonic = Number(process.hrtime.bigint()) / 1e6;
  return monotonic - performance.now();
}

export const openAnsweringSocket: OpenAnsweringSocket = (options) => {
  const { interfaceName, mac, networkNamespace = '', onClaim, onError } = options;
  const groups = new Set<string>();
  let last: AnswerCounts | undefined;
  const close = () => {
    last ??= countsOf(handle);
    addon.close(handle);
  };
  const handle = addon.openAnswering(interfaceName, macBytes(mac), networkNamespace, onClaim, (error) => {
    close();
    onError(error);
  });
  const socket: AnsweringSocket = {
    set: (address, until, refusal) => {
      const why = ANSWER_COUNTS.indexOf(refusal);
      if (typeof until === 'number') {
        addon.setAnswer(handle, address, until > 0 ? until + MONOTONIC_OFFSET : 0, why);
        return;
      }
      SHARED.add(until.cells);
      addon.shareAnswer(handle, address, until.cells, until.index, why);
    },
    remove: (address) => addon.removeAnswer(handle, address),
    announce: (address: Ip, frame) => addon.announce(handle, address, frame),
    send: (frame) => addon.send(handle, frame),
    joinGroup: (group) => {
      if (groups.has(group)) return;
      addon.setGroup(handle, group, true);
      groups.add(group);
    },
    leaveGroup: (group) => {
      if (groups.delete(group)) addon.setGroup(handle, group, false);
    },
    counts: () => last ?? countsOf(handle),
    close,
  };
  return socket;
};

function countsOf(handle: SocketHandle): AnswerCounts {
  const figures = addon.counts(handle);
  return Object.fromEntries(ANSWER_COUNTS.map((name, i) => [name, figures[i] ?? 0])) as AnswerCounts; // every name
}
