// The typed face of native/; scripts/build.mjs compiles it.
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
  openAnswering(
    interfaceName: string,
    mac: Uint8Array,
    namespace: string,
    onClaim: OnData,
    onError: OnError,
  ): SocketHandle;
  /** `until`: milliseconds on CLOCK_MONOTONIC. `refusal`: a position in ANSWER_COUNTS. */
  setAnswer(handle: SocketHandle, address: string, until: number, refusal: number): void;
  /** A cell says until when: nanoseconds on CLOCK_MONOTONIC. The array must never be freed. */
  shareAnswer(
    handle: SocketHandle,
    address: string,
    cells: BigInt64Array,
    index: number,
    refusal: number,
  ): void;
  removeAnswer(handle: SocketHandle, address: string): void;
  announce(handle: SocketHandle, address: string, data: Uint8Array): boolean;
  /** In the order of ANSWER_COUNTS. */
  counts(handle: SocketHandle): Float64Array;
  send(handle: SocketHandle, data: Uint8Array): void;
  setGroup(handle: SocketHandle, group: string, join: boolean): void;
  close(handle: SocketHandle): void;
}

export const addon: Addon = createRequire(import.meta.url)('../../build/sockets.node');
