// PacketSocket on AF_PACKET (packet(7)).
import { addon } from './addon.ts';
import type { OpenPacketSocket } from './packet-socket.ts';

export const openPacketSocket: OpenPacketSocket = (options) => {
  const { interfaceName, protocol, networkNamespace = '', onFrame, onError } = options;
  let open = true;
  const close = () => {
    if (!open) return;
    open = false;
    addon.close(handle);
  };
  const handle = addon.openPacket(interfaceName, protocol, networkNamespace, onFrame, (error) => {
    close();
    onError(error);
  });
  return {
    send: (frame) => addon.send(handle, frame),
    joinGroup: (group) => addon.setGroup(handle, group, true),
    leaveGroup: (group) => addon.setGroup(handle, group, false),
    close,
  };
};
