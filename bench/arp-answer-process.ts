// The processes that arp-answer.ts measures: an announcer, or a storm of foreign frames. Each says when it is ready,
// and goes on until it is killed.
import { Registry } from 'prom-client';
import { Announcer } from '../src/arp/announcer.ts';
import { answeringInTypeScript } from '../src/arp/answering-in-typescript.ts';
import { buildArp } from '../src/arp/arp-frame.ts';
import type { InterfaceChoice } from '../src/arp/election.ts';
import { arpMetrics } from '../src/arp/metrics.ts';
import { systemClock } from '../src/clock/clock.ts';
import { fromBigInt, type Ip, type Ipv4, ip, toBigInt } from '../src/net/address.ts';
import { BROADCAST, type Mac, UNSPECIFIED_MAC } from '../src/net/mac.ts';
import { watchInterfaces } from '../src/netlink/rtnetlink-watch.ts';
import { createLogger } from '../src/observe/logger.ts';
import { openAnsweringSocket } from '../src/sockets/open-answering-socket.ts';
import { openNetlinkSocket } from '../src/sockets/open-netlink-socket.ts';
import { openPacketSocket } from '../src/sockets/open-packet-socket.ts';
import { namespacePath } from '../test/sockets/netns.ts';

const FRAMES_A_MILLISECOND = 50;
/** Milliseconds: how long leases last, and how often they are renewed. */
const [LEASE, RENEWAL] = [400, 100];

const [what = '', namespace = '', how = '', count = '1', meanwhile = ''] = process.argv.slice(2);
const networkNamespace = namespacePath(namespace);
if (what === 'storm') storm();
else await announce(Number(count));
console.log('ready');

async function announce(addresses: number): Promise<void> {
  const leased = meanwhile === 'leased';
  const cells = new BigInt64Array(new SharedArrayBuffer(8));
  const renew = () => Atomics.store(cells, 0, process.hrtime.bigint() + BigInt(LEASE) * 1_000_000n);
  renew();
  const announcer = new Announcer({
    open:
      how === 'addon'
        ? (options) => openAnsweringSocket({ ...options, networkNamespace })
        : answeringInTypeScript((options) => openPacketSocket({ ...options, networkNamespace }), systemClock),
    clock: systemClock,
    random: Math.random,
    log: createLogger({ component: 'bench', level: 'silent' }),
    metrics: arpMetrics(new Registry()),
    right: {
      holds: () => true,
      until: () => (leased ? systemClock.now() + LEASE : Number.POSITIVE_INFINITY),
      lease: () => (leased ? { deadline: { cells, index: 0 }, grant: 1 } : undefined),
    },
    excluded: /^lo$/,
    onConflict: 'keep',
    tellConflict: () => {},
    onInterfaces: () => {},
    onAnswered: () => {},
  });
  await watchInterfaces({
    open: openNetlinkSocket,
    clock: systemClock,
    networkNamespace,
    onChange: (interfaces) => announcer.setInterfaces(interfaces),
    onError: (error) => {
      throw error;
    },
  });
  const first = toBigInt(ip('10.0.0.0'));
  const owned = new Map<Ip, InterfaceChoice>();
  for (let i = 0; i < addresses; i++) owned.set(fromBigInt('IPv4', first + BigInt(i)), 'all');
  announcer.reconcile(owned);
  if (leased) setInterval(renew, RENEWAL);
  if (meanwhile === 'busy') beBusy();
}

/** As an agent that lists Services is. */
function beBusy(): void {
  const list = Array.from({ length: 10_000 }, (_, i) => ({
    metadata: { name: `web-${i}`, namespace: 'default', labels: { app: 'web' }, resourceVersion: `${i}` },
    spec: { type: 'LoadBalancer', ports: [{ port: 80, protocol: 'TCP' }], selector: { app: 'web' } },
    status: { loadBalancer: { ingress: [{ ip: '192.0.2.1', ipMode: 'VIP' }] } },
  }));
  const text = JSON.stringify({ items: list });
  const parse = () => {
    JSON.parse(text);
    setImmediate(parse);
  };
  parse();
}

function storm(): void {
  const socket = openPacketSocket({
    interfaceName: 'eth0',
    protocol: 'arp',
    networkNamespace,
    onFrame: () => {},
    onError: (error) => {
      throw error;
    },
  });
  const mac = '02:00:00:00:00:66' as Mac; // written as one
  const [senderIp, targetIp] = [ip('198.51.100.66') as Ipv4, ip('198.51.100.67') as Ipv4]; // written in IPv4
  const ends = { source: mac, destination: BROADCAST, senderMac: mac, targetMac: UNSPECIFIED_MAC };
  const frame = buildArp({ operation: 'request', ...ends, senderIp, targetIp });
  const start = performance.now();
  let sent = 0;
  setInterval(() => {
    for (const due = (performance.now() - start) * FRAMES_A_MILLISECOND; sent < due; sent++)
      socket.send(frame);
  }, 1);
}
