// Deleting stale flows when the kernel's connection table cannot be asked; that it works is seen on real traffic.
import { expect, it } from 'vitest';
import { systemClock } from '../../src/clock/clock.ts';
import { parseMessages } from '../../src/netlink/message.ts';
import { FlowCleaner } from '../../src/proxy/flow-cleaner.ts';
import { EMPTY_TABLE, serviceTable } from '../../src/proxy/table.ts';
import { NetlinkRecorder } from '../../src/sockets/netlink-recorder.ts';
import { acknowledgement, done } from '../netlink/answers.ts';
import { service, slice } from './objects.ts';

const DNS = serviceTable(
  service('dns', { clusterIPs: ['10.96.0.1', 'fd00:96::1'], ports: [{ port: 53, protocol: 'UDP' }] }),
  [slice('dns', [{ address: '10.244.0.1' }], [{ port: 53, protocol: 'UDP' }])],
  { node: 'node', zone: undefined },
);

it('what could not be cleaned is for the next time, and then no more', async () => {
  let works = false;
  const recorder = new NetlinkRecorder((datagram) => {
    const sequence = parseMessages(datagram)[0]?.sequence ?? 0;
    return [works ? done(sequence) : acknowledgement(sequence, 95)];
  });
  const cleaner = new FlowCleaner({ open: recorder.open, clock: systemClock, resetStaleTcp: false });
  expect(await cleaner.clean()).toBeUndefined();
  cleaner.note(EMPTY_TABLE, DNS);
  // Flows that are deleted before the table is in force come back as they were.
  expect(await cleaner.clean()).toBeUndefined();
  cleaner.inForce();
  await expect(cleaner.clean()).rejects.toMatchObject({ code: 'ENOTSUP' });
  const failed = recorder.datagrams.length;
  works = true;
  expect(await cleaner.clean()).toEqual({ UDP: 0, TCP: 0 });
  expect(recorder.datagrams.length - failed).toBe(2); // one for each family
  expect(await cleaner.clean()).toBeUndefined();
  expect(recorder.datagrams.length - failed).toBe(2);
  cleaner.close();
});
