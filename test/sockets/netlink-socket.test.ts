// Netlink sockets: the recorder and the kernel behave alike; then what each has of its own.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { NLM_F_ACK, parseMessages } from '../../src/netlink/message.ts';
import { NetlinkRecorder } from '../../src/sockets/netlink-recorder.ts';
import { NETLINK_NETFILTER, NETLINK_ROUTE } from '../../src/sockets/netlink-socket.ts';
import { openNetlinkSocket } from '../../src/sockets/open-netlink-socket.ts';
import { acknowledgement } from '../netlink/answers.ts';
import { describeNetlinkSocket } from './netlink-socket.conformance.ts';
import { inNamespace, ipBatch, namespacePath, removeNamespaces } from './netns.ts';

const SOURCE = join(import.meta.dirname, '../../src/sockets/open-netlink-socket.ts');

/** Runs these statements, which have `openNetlinkSocket`, in a process of their own. */
function runScript(statements: string) {
  const code = `import { openNetlinkSocket } from ${JSON.stringify(SOURCE)};\n${statements}`;
  return spawnSync(process.execPath, ['--input-type=module', '-e', code], {
    encoding: 'utf8',
    timeout: 15_000,
  });
}

const acknowledging = (datagram: Uint8Array) =>
  parseMessages(datagram)
    .filter(({ flags }) => (flags & NLM_F_ACK) !== 0)
    .map(({ sequence }) => acknowledgement(sequence));

describeNetlinkSocket('a netlink recorder', new NetlinkRecorder(acknowledging).open);
describeNetlinkSocket('a kernel netlink socket', openNetlinkSocket);

describe('a netlink recorder, besides', () => {
  const open = () => {
    const recorder = new NetlinkRecorder(() => []);
    const [heard, errors]: [number[], (string | undefined)[]] = [[], []];
    const socket = recorder.open({
      protocol: NETLINK_ROUTE,
      onDatagram: ([first = 0]) => void heard.push(first),
      onError: ({ code }) => void errors.push(code),
    });
    return { recorder, socket, heard, errors };
  };

  it('keeps what was sent, and hands out what nobody asked for', async () => {
    const { recorder, socket, heard } = open();
    socket.send(Uint8Array.of(1));
    socket.send(Uint8Array.of(2));
    recorder.notify(Uint8Array.of(9));
    await Promise.resolve();
    expect(recorder.datagrams).toEqual([Uint8Array.of(1), Uint8Array.of(2)]);
    expect(heard).toEqual([9]);
  });

  it('stays open after ENOBUFS, and after no other error', () => {
    const { recorder, socket, errors } = open();
    recorder.fail('ENOBUFS');
    socket.send(Uint8Array.of(1));
    recorder.fail('EIO');
    recorder.fail('EIO');
    expect(errors).toEqual(['ENOBUFS', 'EIO']);
    expect(() => socket.send(Uint8Array.of(2))).toThrow(expect.objectContaining({ code: 'EBADF' }));
  });
});

describe('a kernel netlink socket, besides', () => {
  it('hears a group of the namespace that it was opened in', async () => {
    ipBatch(['netns add netlink-groups']);
    const networkNamespace = namespacePath('netlink-groups');
    let messages = 0;
    const options = {
      protocol: NETLINK_ROUTE,
      onError: (error: Error) => expect.unreachable(error.message),
    } as const;
    const onDatagram = (datagram: Uint8Array) => {
      messages += parseMessages(datagram).length;
    };
    const listener = openNetlinkSocket({ ...options, networkNamespace, groups: [1], onDatagram }); // RTNLGRP_LINK
    const deaf = openNetlinkSocket({ ...options, networkNamespace, onDatagram: () => expect.unreachable() });
    inNamespace('netlink-groups', 'ip link set lo up');
    await vi.waitFor(() => expect(messages).toBeGreaterThan(0), { interval: 2, timeout: 10_000 });
    listener.close();
    deaf.close();
    removeNamespaces('netlink-groups');
  });

  it('names a group that it may not hear, and a namespace that is not there', () => {
    const options = { protocol: NETLINK_NETFILTER, onDatagram: () => {}, onError: () => {} } as const;
    expect(() => openNetlinkSocket({ ...options, groups: [1000] })).toThrow(
      expect.objectContaining({ code: 'EINVAL', message: expect.stringContaining('netlink socket') }),
    );
    expect(() => openNetlinkSocket({ ...options, networkNamespace: '/run/netns/nowhere' })).toThrow(
      expect.objectContaining({ code: 'ENOENT', message: expect.stringContaining('/run/netns/nowhere') }),
    );
  });

  it('goes on after a callback threw, and lets the process end once closed', () => {
    const { status, signal, stdout, stderr } = runScript(`
      let heard = 0;
      process.on('uncaughtException', ({ message }) => console.log('thrown:', message));
      const socket = openNetlinkSocket({ protocol: ${NETLINK_ROUTE}, onError: console.error, onDatagram() {
        if (++heard === 1) throw new Error('one');
        console.log('heard', heard);
        if (heard === 3) socket.close();
      } });
      const noop = Uint8Array.of(16, 0, 0, 0, 1, 0, 5, 0, 1, 0, 0, 0, 0, 0, 0, 0);
      for (const _ of [1, 2, 3]) socket.send(noop);`);
    expect(stderr).toBe('');
    expect(stdout).toBe('thrown: one\nheard 2\nheard 3\n');
    expect([status, signal]).toEqual([0, null]);
  });

  it('ends with a process that exits while it is open, also from within a callback', () => {
    for (const where of ['process.exit(7)', 'setImmediate(() => process.exit(7))']) {
      const { status, signal } = runScript(`
        const socket = openNetlinkSocket({ protocol: ${NETLINK_ROUTE}, onError() {}, onDatagram() { ${where}; } });
        socket.send(Uint8Array.of(16, 0, 0, 0, 1, 0, 5, 0, 1, 0, 0, 0, 0, 0, 0, 0));`);
      expect([status, signal]).toEqual([7, null]);
    }
  });

  it('says what it lacks, and goes on, where it may enter a namespace but not come back', () => {
    // A user namespace inside ours has every right over a network namespace that it makes, and none over ours.
    const code = `import(${JSON.stringify(SOURCE)}).then(({ openNetlinkSocket }) => {
      const options = { protocol: ${NETLINK_ROUTE}, onDatagram() {}, onError() {} };
      try {
        openNetlinkSocket({ ...options, networkNamespace: '/proc/' + process.argv[1] + '/ns/net' });
      } catch (error) { console.log(error.code, error.message); }
      openNetlinkSocket(options).close();
      console.log('still here');
    })`;
    const script = `unshare --net sleep 30 & child=$!
      while [ "$(readlink /proc/$child/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do :; done
      "$0" -e "$1" $child; kill $child`;
    const { stdout, stderr } = spawnSync(
      'unshare',
      ['--user', '--map-root-user', 'sh', '-c', script, process.execPath, code],
      { encoding: 'utf8' },
    );
    expect(stderr).toBe('');
    expect(stdout).toMatch(
      /^EPERM \/proc\/\d+\/ns\/net: entering a network namespace needs the capability CAP_SYS_ADMIN.*\nstill here\n$/,
    );
  });
});
