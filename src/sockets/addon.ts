// The typed face of native/sockets.c; scripts/build.mjs compiles it.
import { createRequire } from 'node:module';

declare const handleBrand: unique symbol;

/** An open socket, known to the addon alone. */
export interface SocketHandle {
  readonly [handleBrand]: true;
}

type OnData = (data: Uint8Array) => void;
type OnError = (error: NodeJS.ErrnoException) => void;

interface Addon {
  /** An empty `namespace` means our own. */
  openPacket(
    interfaceName: string,
    protocol: string,
    namespace: string,
    onData: OnData,
    onError: OnError,
  ): SocketHandle;
  openNetlink(
    protocol: number,
    groups: readonly number[],
    namespace: string,
    onData: OnData,
    onError: OnError,
  ): SocketHandle;
  send(handle: SocketHandle, data: Uint8Array): void;
  setGroup(handle: SocketHandle, group: string, join: boolean): void;
  close(handle: SocketHandle): void;
}

export const addon: Addon = createRequire(import.meta.url)('../../build/sockets.node');
