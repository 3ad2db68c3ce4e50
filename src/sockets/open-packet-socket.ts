// PacketSocket on AF_PACKET (packet(7)).
import { addon } from './addon.ts';
import type { OpenPacketSocket } from './packet-socket.ts';

export const openPacketSocket: OpenPacketSocket = (options) => {
  const { interfaceName, protocol, networkNamespace = '', onFrame, onError } = options;
  const groups = new Set<string>();
  const close = () => addon.close(handle);
  const handle = addon.openPacket(interfaceName, protocol, networkNamespace, onFrame, (error) => {
    close();
    onError(error);
  });
  return {
    send: (frame) => addon.send(handle, frame),
    joinGroup: (group) => {
      if (groups.has(group)) return;
      addon.setGroup(handle, group, true);
      groups.add(group);
    },
    leaveGroup: (group) => {
      if (groups.delete(group)) addon.setGroup(handle, group, false);
    },
    close,
  };
};
