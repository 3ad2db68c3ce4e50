// What every NetlinkSocket does, with a kernel behind it that acknowledges what asks for it.
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  MessageBuilder,
  NLM_F_ACK,
  NLM_F_REQUEST,
  parseAcknowledgement,
  parseMessages,
} from '../../src/netlink/message.ts';
import {
  NETLINK_ROUTE,
  type NetlinkSocket,
  type OpenNetlinkSocket,
} from '../../src/sockets/netlink-socket.ts';

/** linux/netlink.h: nothing is done, and that is acknowledged. */
const NLMSG_NOOP = 1;

export function describeNetlinkSocket(name: string, open: OpenNetlinkSocket): void {
  describe(name, () => {
    const sockets: NetlinkSocket[] = [];
    afterEach(() => {
      for (const socket of sockets.splice(0)) socket.close();
    });

    /** A socket and the sequence numbers of the acknowledgements that came, in order. */
    function listen(onDatagram: () => void = () => {}) {
      const acknowledged: number[] = [];
      const socket = open({
        protocol: NETLINK_ROUTE,
        onDatagram: (datagram) => {
          for (const message of parseMessages(datagram)) {
            expect(parseAcknowledgement(message).errno).toBe(0);
            acknowledged.push(message.sequence);
          }
          onDatagram();
        },
        onError: (error) => expect.unreachable(error.message),
      });
      sockets.push(socket);
      return { socket, acknowledged };
    }

    it('answers later, in order, everything that asks for it', async () => {
      const { socket, acknowledged } = listen();
      socket.send(noop(1));
      socket.send(noop(2, 0));
      socket.send(Uint8Array.from([...noop(3), ...noop(4)]));
      expect(acknowledged).toEqual([]);
      await vi.waitFor(() => expect(acknowledged).toContain(4), { interval: 2, timeout: 10_000 });
      expect(acknowledged).toEqual([1, 3, 4]);
    });

    it('takes the datagram as it is at that moment', async () => {
      const { socket, acknowledged } = listen();
      const datagram = noop(5);
      socket.send(datagram);
      datagram.fill(0);
      await vi.waitFor(() => expect(acknowledged).toEqual([5]), { interval: 2, timeout: 10_000 });
    });

    it('answers each socket for itself', async () => {
      const [one, other] = [listen(), listen()];
      one.socket.send(noop(1));
      other.socket.send(noop(2));
      await vi.waitFor(() => expect(other.acknowledged).toEqual([2]), { interval: 2, timeout: 10_000 });
      await vi.waitFor(() => expect(one.acknowledged).toEqual([1]), { interval: 2, timeout: 10_000 });
    });

    it('is silent once closed, and closes twice without harm', async () => {
      const [closed, open] = [listen(), listen()];
      closed.socket.send(noop(1));
      closed.socket.close();
      closed.socket.close();
      open.socket.send(noop(2));
      await vi.waitFor(() => expect(open.acknowledged).toEqual([2]), { interval: 2, timeout: 10_000 });
      expect(closed.acknowledged).toEqual([]);
      expect(() => closed.socket.send(noop(3))).toThrow(expect.objectContaining({ code: 'EBADF' }));
    });

    it('may be closed from within its own callback', async () => {
      const shy = listen(() => shy.socket.close());
      const bold = listen();
      for (const sequence of [1, 2, 3]) shy.socket.send(noop(sequence));
      bold.socket.send(noop(4));
      await vi.waitFor(() => expect(bold.acknowledged).toEqual([4]), { interval: 2, timeout: 10_000 });
      expect(shy.acknowledged).toEqual([1]);
    });
  });
}

function noop(sequence: number, flags = NLM_F_ACK): Uint8Array {
  return new MessageBuilder(16)
    .begin(NLMSG_NOOP, NLM_F_REQUEST | flags, sequence)
    .end()
    .bytes();
}
