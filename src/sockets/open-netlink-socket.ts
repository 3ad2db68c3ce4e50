// NetlinkSocket on AF_NETLINK (netlink(7)).
import { addon } from './addon.ts';
import type { OpenNetlinkSocket } from './netlink-socket.ts';

export const openNetlinkSocket: OpenNetlinkSocket = (options) => {
  const { protocol, groups = [], networkNamespace = '', onDatagram, onError } = options;
  const close = () => addon.close(handle);
  const handle = addon.openNetlink(protocol, groups, networkNamespace, onDatagram, (error) => {
    if (error.code !== 'ENOBUFS') close();
    onError(error);
  });
  return { send: (datagram) => addon.send(handle, datagram), close };
};
