// The seam to the wire: whole Ethernet frames on one interface, of one protocol.

/** `arp`: EtherType 0x0806. `ndp`: IPv6 frames that carry an ICMPv6 Neighbour Solicitation or Advertisement. */
export type PacketProtocol = 'arp' | 'ndp';

export interface PacketSocketOptions {
  readonly interfaceName: string;
  readonly protocol: PacketProtocol;
  /** Path of the network namespace to open the socket in, such as /run/netns/client; absent: our own. */
  readonly networkNamespace?: string;
  /** A whole frame, Ethernet header first. The buffer is the receiver's to keep. Own frames are not delivered. */
  readonly onFrame: (frame: Uint8Array) => void;
  /** The socket broke (ENETDOWN, ENXIO: the interface went away); it is closed already. */
  readonly onError: (error: Error) => void;
}

export interface PacketSocket {
  /** Sends one whole frame. Throws a SystemError-like Error with `code` when the kernel refuses it. */
  send(frame: Uint8Array): void;
  /** Joins the IPv6 multicast group on this interface (MLD and the interface's filter). Idempotent. */
  joinGroup(group: string): void;
  leaveGroup(group: string): void;
  close(): void;
}

/** Opens a socket. Throws an Error with `code`: EPERM names the missing capability, ENODEV the interface. */
export type OpenPacketSocket = (options: PacketSocketOptions) => PacketSocket;
