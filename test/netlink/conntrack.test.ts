// Flows in the kernel's table of connections: found by what they are, and deleted alone.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock/clock.ts';
import { NetlinkConnection } from '../../src/netlink/connection.ts';
import { deleteFlows, type Flow } from '../../src/netlink/conntrack.ts';
import { parseMessages } from '../../src/netlink/message.ts';
import { NetlinkRecorder } from '../../src/sockets/netlink-recorder.ts';
import { NETLINK_NETFILTER } from '../../src/sockets/netlink-socket.ts';
import { openNetlinkSocket } from '../../src/sockets/open-netlink-socket.ts';
import { inNamespace, ipBatch, namespacePath, removeNamespaces } from '../sockets/netns.ts';
import { acknowledgement, done, message, together } from './answers.ts';

const CT_NEW = 0x100;
const CT_GET = 0x101;
const CT_DELETE = 0x102;

const bytesOf = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(/[^0-9a-f]/g, ''), 'hex'));

/** A UDP flow as ctnetlink lists it: 192.0.2.10:5000 -> 10.96.0.1:53, answered by 10.244.0.2:5353; its id is 7. */
const LISTED = `
  02000000
  34000180 14000180 08000100 c000020a 08000200 0a600001 1c000280 05000100 PP000000 06000200 13880000 06000300 00350000
  34000280 14000180 08000100 0af40002 08000200 c000020a 1c000280 05000100 PP000000 06000200 14e90000 06000300 13880000
  08000c00 00000007`;
const UDP = bytesOf(LISTED.replaceAll('PP', '11'));
const TCP = bytesOf(LISTED.replaceAll('PP', '06'));

describe('flows', () => {
  const answering = (deletion: number) => {
    const recorder = new NetlinkRecorder((datagram) => {
      const [{ type, sequence } = { type: 0, sequence: 0 }] = parseMessages(datagram);
      if (type === CT_DELETE) return [acknowledgement(sequence, deletion)];
      return [together(message(CT_NEW, sequence, UDP, 2), message(CT_NEW, sequence, TCP, 2)), done(sequence)];
    });
    const connection = new NetlinkConnection({
      open: recorder.open,
      clock: systemClock,
      protocol: NETLINK_NETFILTER,
    });
    return { recorder, connection };
  };

  it('are read in both directions, asked for by protocol, and named by what the kernel gave', async () => {
    const { recorder, connection } = answering(0);
    const seen: Flow[] = [];
    const matches = (flow: Flow) => {
      seen.push({ original: flow.original, reply: flow.reply });
      return true;
    };
    expect(await deleteFlows(connection, { protocol: 'UDP', family: 'IPv4', matches })).toBe(1);
    expect(seen).toEqual([
      {
        original: { destination: '10.96.0.1', destinationPort: 53 },
        reply: { source: '10.244.0.2', sourcePort: 5353 },
      },
    ]);
    const [asked, deleted] = recorder.datagrams.map((datagram) => parseMessages(datagram)[0]);
    expect(asked?.type).toBe(CT_GET);
    expect(Buffer.from(asked?.payload ?? []).toString('hex')).toBe(
      '02000000' + '10000180' + '0c000280' + '0500010011000000' + '0c001980' + '0800010008000000',
    );
    expect(deleted?.type).toBe(CT_DELETE);
    // nfgenmsg, the original direction and the id, byte for byte.
    const original = Buffer.from(UDP.subarray(4, 4 + 0x34))
      .toString('hex')
      .replace('34000180', '34000100');
    expect(Buffer.from(deleted?.payload ?? []).toString('hex')).toBe(`02000000${original}08000c0000000007`);
  });

  it('that end by themselves before they are deleted are no error; what else the kernel says is', async () => {
    const all = { protocol: 'UDP', family: 'IPv4', matches: () => true } as const;
    expect(await deleteFlows(answering(2).connection, all)).toBe(0);
    await expect(deleteFlows(answering(1).connection, all)).rejects.toMatchObject({ code: 'EPERM' });
  });
});

describe('flows in the kernel', () => {
  const NAMESPACE = `conntrack-${process.pid}`;
  let connection: NetlinkConnection;

  beforeAll(() => {
    ipBatch([`netns add ${NAMESPACE}`]);
    // Connections are tracked where a rule looks at them.
    inNamespace(
      NAMESPACE,
      "ip link set lo up; nft 'table inet t { chain c { type filter hook output priority 0; ct state new accept; }; }'",
    );
    connection = new NetlinkConnection({
      open: openNetlinkSocket,
      clock: systemClock,
      protocol: NETLINK_NETFILTER,
      networkNamespace: namespacePath(NAMESPACE),
    });
  });

  afterAll(() => {
    connection?.close();
    removeNamespaces(NAMESPACE);
  });

  const ports = async (family: 'IPv4' | 'IPv6') => {
    const found: number[] = [];
    const look = (flow: Flow) => found.push(flow.original.destinationPort) < 0;
    await deleteFlows(connection, { protocol: 'UDP', family, matches: look });
    return found.sort();
  };

  it.each([
    ['IPv4', '127.0.0.1'],
    ['IPv6', '::1'],
  ] as const)('are deleted where they match, and others stay, over %s', async (family, address) => {
    const type = family === 'IPv4' ? 'udp4' : 'udp6';
    const send = `
      const socket = require('node:dgram').createSocket('${type}');
      socket.send('x', 7001, '${address}', () => socket.send('x', 7002, '${address}', () => socket.close()));`;
    inNamespace(NAMESPACE, `${process.execPath} -e "${send}"`);
    expect(await ports(family)).toEqual([7001, 7002]);
    const matches = ({ original }: Flow) => original.destinationPort === 7001;
    expect(await deleteFlows(connection, { protocol: 'UDP', family, matches })).toBe(1);
    expect(await ports(family)).toEqual([7002]);
    expect(await deleteFlows(connection, { protocol: 'TCP', family, matches: () => true })).toBe(0);
    expect(await ports(family)).toEqual([7002]);
  });
});
