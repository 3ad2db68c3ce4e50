// What comes of batches and dumps, of a kernel without tables of nftables: the real one, or a scripted one.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock/clock.ts';
import { NetlinkConnection, type Request } from '../../src/netlink/connection.ts';
import { NLM_F_CREATE, parseAttributes, textOf } from '../../src/netlink/message.ts';
import { NETLINK_NETFILTER, type OpenNetlinkSocket } from '../../src/sockets/netlink-socket.ts';
import { NLM_F_EXCL } from './answers.ts';

const NFPROTO_INET = 1;
const HEADER = [NFPROTO_INET, 0, 0, 0];

const change = (type: 0xa00 | 0xa02, name: string, flags = 0): Request => ({
  type,
  flags,
  body: (builder) => builder.raw(HEADER).string(1, name),
});
const add = (name: string) => change(0xa00, name, NLM_F_CREATE);
const create = (name: string) => change(0xa00, name, NLM_F_CREATE | NLM_F_EXCL);
const remove = (name: string) => change(0xa02, name);

export function describeBatches(name: string, open: OpenNetlinkSocket): void {
  describe(name, () => {
    let connection: NetlinkConnection;
    beforeEach(() => {
      connection = new NetlinkConnection({ open, clock: systemClock, protocol: NETLINK_NETFILTER });
    });
    afterEach(async () => {
      await connection.batch((await tables()).map(remove));
      connection.close();
    });

    const tables = () =>
      connection.dump({ type: 0xa01, body: (builder) => builder.raw(HEADER) }, ({ payload }) =>
        textOf(parseAttributes(payload, 4).get(1) ?? new Uint8Array()),
      );

    it('carries out all that a batch says, in order', async () => {
      expect(await tables()).toEqual([]);
      await connection.batch([add('one'), add('two'), remove('one'), add('three'), add('three')]);
      expect(await tables()).toEqual(['two', 'three']);
    });

    it('carries out nothing where a part is refused, and names each such part', async () => {
      await connection.batch([add('one')]);
      const half = [add('three'), remove('absent'), create('one'), remove('missing'), add('four')];
      await expect(connection.batch(half)).rejects.toMatchObject({ code: 'ENOENT', refused: [1, 2, 3] });
      expect(await tables()).toEqual(['one']);
      await expect(connection.batch([add('two'), create('one')])).rejects.toMatchObject({
        code: 'EEXIST',
        refused: [1],
      });
      await expect(connection.batch([remove('absent'), add('two')])).rejects.toMatchObject({
        code: 'ENOENT',
        refused: [0],
      });
      expect(await tables()).toEqual(['one']);
    });

    it('goes on after a refusal, and after many batches at once', async () => {
      const batches = ['one', 'two', 'three'].map((each) => connection.batch([create(each)]));
      const again = connection.batch([create('two')]);
      await Promise.all(batches);
      await expect(again).rejects.toMatchObject({ code: 'EEXIST', refused: [0] });
      await connection.batch([remove('two')]);
      expect(await tables()).toEqual(['one', 'three']);
    });

    it('refuses a change outside a batch', async () => {
      await expect(connection.request(add('one'))).rejects.toMatchObject({ code: 'EINVAL', refused: [] });
      expect(await tables()).toEqual([]);
    });
  });
}
