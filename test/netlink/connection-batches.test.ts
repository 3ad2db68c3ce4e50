// A scripted kernel and the real one: the same batches and dumps, and the same outcomes.
import { afterAll } from 'vitest';
import { NetlinkRecorder } from '../../src/sockets/netlink-recorder.ts';
import { openNetlinkSocket } from '../../src/sockets/open-netlink-socket.ts';
import { ipBatch, namespacePath, removeNamespaces } from '../sockets/netns.ts';
import { describeBatches } from './connection.conformance.ts';
import { scriptedTables } from './scripted-tables.ts';

const NAME = `batches-${process.pid}`;
ipBatch([`netns add ${NAME}`]);
afterAll(() => removeNamespaces(NAME));

describeBatches('a netlink recorder', new NetlinkRecorder(scriptedTables()).open);
describeBatches('the kernel', (options) =>
  openNetlinkSocket({ ...options, networkNamespace: namespacePath(NAME) }),
);
