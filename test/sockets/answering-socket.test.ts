// Answering sockets: TypeScript on a virtual wire and the addon's thread on the kernel's behave alike, frame by frame;
// then what only the thread has.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { answeringInTypeScript } from '../../src/arp/answering-in-typescript.ts';
import { systemClock } from '../../src/clock/clock.ts';
import { type Ip, type Ipv4, ip } from '../../src/net/address.ts';
import { type Mac, macAt } from '../../src/net/mac.ts';
import { ANSWER_COUNTS, type AnsweringSocket } from '../../src/sockets/answering-socket.ts';
import { openAnsweringSocket } from '../../src/sockets/open-answering-socket.ts';
import { openPacketSocket } from '../../src/sockets/open-packet-socket.ts';
import { VirtualWire } from '../../src/sockets/virtual-wire.ts';
import { HOST_MAC } from '../arp/asking-host.ts';
import { type AnsweredWire, describeAnsweringSocket } from './answering-socket.conformance.ts';
import { arpLike, ndpLike } from './frame-arbitraries.ts';
import { inNamespace, makePair, namespacePath, removeNamespaces } from './netns.ts';

/** Names of network namespaces, which all tests share. */
const [ASKER, ANSWERER] = ['answering-a', 'answering-b'];
const SOURCES = join(import.meta.dirname, '../../src/sockets');
const FOUR = ip('192.0.2.10') as Ipv4; // written in IPv4
const SIX = ip('2001:db8::12:3456');
const EVER = Number.POSITIVE_INFINITY;

function virtualWire(mac = '02:00:00:00:00:0b' as Mac): AnsweredWire {
  const wire = new VirtualWire();
  const port = wire.port('eth0');
  return {
    open: answeringInTypeScript(port.open, systemClock),
    mac,
    host: wire.port().open,
    remove: () => wire.fail('ENETDOWN', port),
    close: () => wire.fail('ENETDOWN'),
  };
}

function vethWire(): AnsweredWire & { readonly networkNamespace: string } {
  makePair(ASKER, ANSWERER);
  // The kernel's own neighbour discovery would mix with what is counted.
  for (const name of [ASKER, ANSWERER])
    inNamespace(name, 'echo 1 > /proc/sys/net/ipv6/conf/eth0/addr_gen_mode; ip -6 addr flush dev eth0');
  inNamespace(ASKER, `ip link set eth0 address ${HOST_MAC}`);
  return {
    open: openAnsweringSocket,
    networkNamespace: namespacePath(ANSWERER),
    mac: inNamespace(ANSWERER, 'cat /sys/class/net/eth0/address').trim() as Mac, // the kernel's own spelling
    host: (options) => openPacketSocket({ ...options, networkNamespace: namespacePath(ASKER) }),
    remove: () => void inNamespace(ANSWERER, 'ip link del eth0'),
    close: () => removeNamespaces(ASKER, ANSWERER),
  };
}

describeAnsweringSocket('in TypeScript, on a virtual wire', virtualWire);
describeAnsweringSocket('by a thread of the addon, on a veth pair', vethWire);

describe("the addon's thread", () => {
  let wire: AnsweredWire & { readonly networkNamespace: string };
  let socket: AnsweringSocket;
  const open = (onClaim: (frame: Uint8Array) => void = () => {}) =>
    openAnsweringSocket({
      interfaceName: 'eth0',
      mac: wire.mac,
      networkNamespace: wire.networkNamespace,
      onClaim,
      onError: (error) => expect.unreachable(error.message),
    });
  beforeEach(() => {
    wire = vethWire();
    socket = open();
  });
  afterEach(() => {
    socket.close();
    wire.close();
  });

  it('answers while JavaScript is busy', () => {
    inNamespace(ASKER, 'ip addr add 192.0.2.1/24 dev eth0');
    socket.set(FOUR, EVER, 'no right to answer');
    // The command runs to its end before this process does anything else.
    const resolve = `ip neigh replace ${FOUR} dev eth0 nud none use
      for i in $(seq 100); do ip neigh show to ${FOUR} | grep lladdr && exit; sleep 0.05; done`;
    expect(inNamespace(ASKER, resolve)).toContain(`lladdr ${wire.mac}`);
  });

  it('outlives no right while JavaScript is busy', () => {
    inNamespace(ASKER, 'ip addr add 192.0.2.1/24 dev eth0');
    socket.set(FOUR, systemClock.now() + 50, 'no right to answer');
    const wait = systemClock.now() + 60;
    while (systemClock.now() < wait);
    inNamespace(ASKER, `ip neigh replace ${FOUR} dev eth0 nud none use; sleep 0.05`);
    expect(socket.counts()).toMatchObject({ 'answered arp': 0, 'no right to answer': 1 });
  });

  it('gives the same answers, counts and claims as TypeScript, whatever the frames', async () => {
    const virtual = virtualWire(wire.mac);
    const addresses: readonly Ip[] = [FOUR, SIX, ip('10.1.2.3'), ip('fe80::7')];
    const make = (open: (onClaim: (frame: Uint8Array) => void) => AnsweringSocket) => {
      const claims: Uint8Array[] = [];
      const made = open((frame) => void claims.push(frame));
      for (const [i, address] of addresses.entries())
        made.set(address, i < 2 ? EVER : 0, 'no right to answer');
      return { claims, socket: made };
    };
    const onAnswers = (host: AnsweredWire['host'], heard: Uint8Array[]) => {
      const options = { interfaceName: 'eth0', onFrame: (frame: Uint8Array) => void heard.push(frame) };
      const onError = (error: Error) => expect.unreachable(error.message);
      return {
        arp: host({ ...options, onError, protocol: 'arp' }),
        ndp: host({ ...options, onError, protocol: 'ndp' }),
      };
    };
    socket.close();
    const ours = make(open);
    const theirs = make((onClaim) =>
      virtual.open({ interfaceName: 'eth0', mac: wire.mac, onClaim, onError: () => {} }),
    );
    const [heardOurs, heardTheirs]: [Uint8Array[], Uint8Array[]] = [[], []];
    const sendOurs = onAnswers(wire.host, heardOurs);
    const sendTheirs = onAnswers(virtual.host, heardTheirs);
    // A real interface does not take what is for another host.
    const expected = () =>
      heardTheirs.filter((each) => [HOST_MAC, '33:33:00:00:00:01'].includes(macAt(each)));
    let sent = 0;

    const frame = fc.oneof(arpLike(addresses, wire.mac), ndpLike(addresses, wire.mac));
    await fc.assert(
      fc.asyncProperty(fc.array(frame, { minLength: 50, maxLength: 100 }), async (frames) => {
        heardOurs.length = heardTheirs.length = 0;
        for (const each of frames) {
          const protocol = each[12] === 8 ? 'arp' : 'ndp';
          sendTheirs[protocol].send(each);
          sendOurs[protocol].send(each);
        }
        sent += frames.length;
        await new Promise((resolve) => setImmediate(resolve)); // the virtual wire is done
        const counts = theirs.socket.counts();
        expect(counts['received arp'] + counts['received ndp']).toBe(sent);
        await vi.waitFor(() => {
          expect(ours.socket.counts()).toEqual(counts);
          expect(heardOurs).toHaveLength(expected().length);
        }, WAIT);
        // Two sockets on one interface are read in no order.
        expect(heardOurs.map(hex).sort()).toEqual(expected().map(hex).sort());
      }),
      { numRuns: 60, endOnFailure: true },
    );
    expect(sent).toBeGreaterThan(3_000);
    // How many are told depends on the time; which ones may be does not.
    expect(ours.claims.length).toBeGreaterThan(0);
    expect(new Set([...ours.claims, ...theirs.claims].map((each) => each[12]))).toEqual(new Set([8, 0x86]));
    const counts = ours.socket.counts();
    const rare = ['send failed', 'wrong interface', 'being checked', 'address conflict'];
    for (const name of ANSWER_COUNTS)
      if (!rare.includes(name)) expect([name, counts[name]]).not.toEqual([name, 0]);
    for (const each of [ours.socket, theirs.socket, ...Object.values(sendOurs), ...Object.values(sendTheirs)])
      each.close();
    virtual.close();
  }, 60_000);

  it('reads no byte beyond a frame, whatever the frame', () => {
    const folder = mkdtempSync(join(tmpdir(), 'fairlead-frames-'));
    const program = join(folder, 'harness');
    const sources = [join(import.meta.dirname, 'frames-harness.c'), join(SOURCES, '../../native/frames.c')];
    execFileSync('cc', [
      '-g',
      '-fsanitize=address,undefined',
      '-fno-sanitize-recover',
      ...sources,
      '-o',
      program,
    ]);
    const any = fc.oneof(
      arpLike([FOUR], wire.mac),
      ndpLike([SIX], wire.mac),
      fc.uint8Array({ maxLength: 120 }),
    );
    const seed = Date.now();
    const frames = fc.sample(any, { numRuns: 5_000, seed });
    const input = frames.flatMap((each) => [Uint8Array.of(each.length >> 8, each.length & 255), each]);
    const { stdout, stderr } = spawnSync(program, { input: Buffer.concat(input), encoding: 'utf8' });
    rmSync(folder, { recursive: true });
    expect({ seed, stderr, stdout }).toEqual({ seed, stderr: '', stdout: '5000\n' });
  });

  it('leaves neither file descriptors nor threads behind', () => {
    const left = () => [readdirSync('/proc/self/fd').length, readdirSync('/proc/self/task').length];
    const before = left();
    for (let i = 0; i < 20; i++) {
      const each = open();
      each.set(FOUR, EVER, 'no right to answer');
      each.close();
    }
    for (let i = 0; i < 20; i++)
      expect(() =>
        openAnsweringSocket({
          interfaceName: 'nowhere0',
          mac: wire.mac,
          networkNamespace: wire.networkNamespace,
          onClaim: () => {},
          onError: () => {},
        }),
      ).toThrow('nowhere0');
    expect(left()).toEqual(before);
  });

  it('ends with the worker thread that opened it', async () => {
    socket.close();
    const worker = new Worker(
      `import { openAnsweringSocket } from ${JSON.stringify(join(SOURCES, 'open-answering-socket.ts'))};
       import { parentPort } from 'node:worker_threads';
       openAnsweringSocket({ interfaceName: 'eth0', networkNamespace: '/run/netns/${ANSWERER}', mac: '${wire.mac}',
         onClaim() {}, onError() {} });
       parentPort.postMessage('open');`,
      { eval: true },
    );
    const failed = new Promise((_, reject) => worker.once('error', reject));
    await Promise.race([new Promise((resolve) => worker.once('message', resolve)), failed]);
    const packetSockets = () => inNamespace(ANSWERER, 'cat /proc/net/packet').trim().split('\n').length - 1;
    expect(packetSockets()).toBe(2);
    await worker.terminate();
    expect(packetSockets()).toBe(0);
  });

  it('names the capability that it lacks', () => {
    // A user namespace inside ours has no rights over our network namespace.
    const code = `import(${JSON.stringify(join(SOURCES, 'open-answering-socket.ts'))}).then(({ openAnsweringSocket }) =>
      openAnsweringSocket({ interfaceName: 'lo', mac: '02:00:00:00:00:01', onClaim() {}, onError() {} })).catch((error) =>
      console.log(error.code, error.message))`;
    const { stdout } = spawnSync('unshare', ['--user', process.execPath, '-e', code], { encoding: 'utf8' });
    expect(stdout).toContain('EPERM packet socket on lo: opening it needs the capability CAP_NET_RAW');
  });
});

const WAIT = { interval: 2, timeout: 10_000 };
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
