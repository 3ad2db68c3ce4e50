// Our table in the kernel: rules by the `nft` command, elements by netlink, and a shadow of what is there.
import type { Clock } from '../clock/clock.ts';
import { fromBytes, toBigInt } from '../net/address.ts';
import { type Range, wholeFamily } from '../net/range.ts';
import { NetlinkConnection } from '../netlink/connection.ts';
import { NetlinkError } from '../netlink/netlink-error.ts';
import {
  changeElements,
  type Element,
  type ElementChanges,
  type ElementData,
  listElements,
} from '../netlink/nftables.ts';
import { listRanges } from '../netlink/nftables-ranges.ts';
import { readTable, type TableContent } from '../netlink/nftables-table.ts';
import { type ForeignChange, watchNftables } from '../netlink/nftables-watch.ts';
import { NETLINK_NETFILTER, type NetlinkSocket, type OpenNetlinkSocket } from '../sockets/netlink-socket.ts';
import {
  affinityMaps,
  chainRemovalText,
  chainText,
  commonPickChains,
  isTurnChain,
  PROTOCOLS,
  withNeeded,
} from './chains.ts';
import { runNft } from './nft-command.ts';
import {
  activationText,
  digitOf,
  type RANGE_SETS,
  type RangeSets,
  type RuleOptions,
  rangeText,
  removalText,
  SET_NAMES,
  type SetName,
  stagingText,
  TABLES,
  type TableName,
  versionChain,
} from './rules.ts';
import { intactChain, stateOf, type TableState } from './table-state.ts';
import { type Difference, transactionsFor } from './transactions.ts';

/** Clients that are forgotten in one transaction. */
const FORGOTTEN_AT_ONCE = 500;

/** An element, or the chain that it leads to, is not accepted; others may be. */
export class RefusedError extends Error {}

interface KernelTableOptions {
  readonly open: OpenNetlinkSocket;
  readonly clock: Clock;
  readonly rules: RuleOptions;
  /** Somebody else changed our table, or may have. */
  readonly onForeignChange: (change: ForeignChange) => void;
}

export class KernelTable {
  readonly #options: KernelTableOptions;
  readonly #version: string;
  #connection: NetlinkConnection;
  #shadow = emptyShadow();
  #chains = new Set<string>();
  /** Those that a list of endpoints has to itself, and whether any may have lost it. */
  #turnChains = new Set<string>();
  #turnsOver = false;
  #name: TableName = TABLES[0];
  #active = false;
  #watch: Pick<NetlinkSocket, 'close'> | undefined;
  /** Changes under way that `nft` makes for us. */
  #askedFor = 0;

  /** Opens a netlink socket: throws what `open` throws. */
  constructor(options: KernelTableOptions) {
    this.#options = options;
    this.#version = versionChain(options.rules);
    this.#connection = this.#connect();
  }

  /**
   * Takes over a predecessor's table with all its elements, or makes one that is not in force until `activate`;
   * a predecessor's with other rules forwards on until then.
   * Rejects when there is nothing to take over and no `nft`, or the kernel refuses the rules. `anew`: nothing of
   * what is there is to be taken over, since somebody has tampered with it.
   */
  async start({ anew = false } = {}): Promise<'taken over' | 'new'> {
    const found: (TableContent | undefined)[] = [];
    for (const name of TABLES) found.push(await readTable(this.#connection, name));
    const states = found.map((content) => stateOf(content, this.#version));
    const ours = anew ? undefined : TABLES.find((_, i) => states[i] === 'ours');
    const free = (state: TableState | undefined) => state === 'unfinished' || state === 'absent';
    this.#name = ours ?? TABLES.find((_, i) => free(states[i])) ?? TABLES[0];
    this.#active = ours !== undefined;
    this.#chains = new Set(commonPickChains());
    this.#turnChains = new Set();
    this.#shadow = emptyShadow();
    if (!ours) {
      await this.#command(stagingText(this.#name, this.#options.rules));
      return 'new';
    }
    const rest = TABLES.filter((name, i) => name !== ours && states[i] !== 'absent');
    if (rest.length > 0) await this.#command(rest.map(removalText).join(''));
    await this.readBack();
    this.#turnChains = new Set([...(found[TABLES.indexOf(ours)]?.chains.keys() ?? [])].filter(isTurnChain));
    this.#turnsOver = this.#turnChains.size > 0;
    return 'taken over';
  }

  /** Hands the packets over to this table, and removes a predecessor's. */
  async activate(): Promise<void> {
    if (!this.#active) {
      const made = await readTable(this.#connection, this.#name);
      const chains = made ? [this.#version, intactChain(made)] : [this.#version];
      await this.#command(activationText(this.#name, chains));
    }
    this.#active = true;
    // Not before: the kernel would tell us of every element that we bring.
    this.#watch ??= watchNftables({
      open: this.#options.open,
      tables: TABLES,
      isOwn: (port) => port === this.#connection.port,
      isAskedFor: (process) => process === 'nft' && this.#askedFor > 0 && this.#askedFor-- > 0,
      onChange: this.#options.onForeignChange,
      onError: () => {
        this.#watch = undefined;
      },
    });
  }

  /** Whether all rules are as we made them. */
  async isWhole(): Promise<boolean> {
    const content = await readTable(this.#connection, this.#name);
    return stateOf(content, this.#version) === 'ours';
  }

  /** Reads what the kernel has, whatever we believed. Resolves with false when somebody removed our table. */
  async readBack(): Promise<boolean> {
    try {
      for (const set of SET_NAMES) {
        const elements = await listElements(this.#connection, this.#name, set);
        this.#shadow.set(set, new Map(elements.map(({ key, data }) => [key, data])));
      }
      return true;
    } catch (error) {
      if (error instanceof NetlinkError && error.code === 'ENOENT') return false;
      throw error;
    }
  }

  /** What is in the sets of ranges. */
  async ranges(): Promise<RangeSets> {
    const read = async (set: (typeof RANGE_SETS)[number]) => {
      const ranges: Range[] = [];
      for (const family of ['IPv4', 'IPv6'] as const) {
        const listed = await listRanges(this.#connection, this.#name, `${set}${digitOf(family)}`);
        for (const { first, end } of listed) {
          const last = end === undefined ? wholeFamily(family).last : numberIn(end) - 1n;
          ranges.push({ family, first: numberIn(first), last });
        }
      }
      return ranges;
    };
    return {
      pods: await read('pods'),
      inside: await read('inside'),
      'allocated-from': await read('allocated-from'),
    };
  }

  /** Replaces what is in the sets of ranges. */
  async setRanges(ranges: RangeSets): Promise<void> {
    await this.#command(rangeText(this.#name, ranges));
  }

  /**
   * Forgets which clients have endpoints that are gone. `keeps` says, given a mark and where it leads to, whether
   * that is one of its endpoints. Resolves with the number of clients that were forgotten.
   */
  async forgetClients(keeps: (mark: string, place: string) => boolean): Promise<number> {
    let forgotten = 0;
    for (const protocol of PROTOCOLS) {
      for (const digit of [4, 6] as const) {
        const { address, port } = affinityMaps(protocol, digit);
        const addresses = await listElements(this.#connection, this.#name, address);
        if (addresses.length === 0) continue;
        const ports = new Map(
          (await listElements(this.#connection, this.#name, port)).map(({ key, data }) => [key, data]),
        );
        const gone = addresses.filter(
          ({ key, data }) => !keeps(key.slice(0, 4), bytesOf(data) + bytesOf(ports.get(key))),
        );
        for (const set of [address, port]) await this.#forget(set, gone);
        forgotten += gone.length;
      }
    }
    return forgotten;
  }

  get name(): TableName {
    return this.#name;
  }

  get(set: SetName, key: string): ElementData | undefined {
    return this.#shadow.get(set)?.get(key);
  }

  entries(set: SetName): Iterable<readonly [key: string, data: ElementData]> {
    return this.#shadow.get(set) ?? [];
  }

  get size(): number {
    return [...this.#shadow.values()].reduce((sum, elements) => sum + elements.size, 0);
  }

  /**
   * Brings these elements to what is wanted, in as few transactions as fit. Rejects with RefusedError, or with any
   * other error when the kernel cannot be reached; what went before stays.
   */
  async apply(differences: Iterable<Difference>): Promise<void> {
    const transactions = transactionsFor(differences, (set, key) => this.get(set, key));
    await this.#addChains(transactions);
    for (const transaction of transactions) {
      await this.#send(transaction);
      for (const { set, operation, elements } of transaction) {
        const known = this.#shadow.get(set as SetName); // transactions name no other sets
        for (const { key, data } of elements) {
          if (operation === 'delete' && data.kind === 'goto' && isTurnChain(data.chain))
            this.#turnsOver = true;
          if (operation === 'add') known?.set(key, data);
          else known?.delete(key);
        }
      }
    }
  }

  /** Removes chains that lost their list of endpoints. */
  async removeSpareChains(): Promise<void> {
    if (!this.#turnsOver) return;
    const used = new Set<string>();
    for (const set of ['widths4', 'widths6'] as const)
      for (const [, data] of this.entries(set))
        if (data.kind === 'goto') for (const chain of withNeeded(data.chain)) used.add(chain);
    const spare = [...this.#turnChains].filter((chain) => !used.has(chain));
    this.#turnsOver = false;
    if (spare.length === 0) return;
    try {
      await this.#command(chainRemovalText(this.#name, spare));
    } catch {
      // Kernels before 6.2 let go of a chain some time after the element that led to it.
      this.#turnsOver = true;
      return;
    }
    for (const chain of spare) {
      this.#turnChains.delete(chain);
      this.#chains.delete(chain);
    }
  }

  close(): void {
    this.#watch?.close();
    this.#connection.close();
  }

  /** One transaction by `nft`. */
  async #command(text: string): Promise<void> {
    // Before we watch there is nothing to tell from others' changes.
    if (this.#watch) this.#askedFor++;
    try {
      await runNft(['-f', '-'], text);
    } catch (error) {
      if (this.#watch) this.#askedFor--;
      throw error;
    }
  }

  /** Any of them may have been forgotten by the kernel meanwhile. */
  async #forget(set: string, elements: readonly Element[]): Promise<void> {
    for (let i = 0; i < elements.length; i += FORGOTTEN_AT_ONCE) {
      const part = elements.slice(i, i + FORGOTTEN_AT_ONCE);
      try {
        await changeElements(this.#connection, this.#name, [{ set, operation: 'delete', elements: part }]);
      } catch (error) {
        if (!(error instanceof NetlinkError && error.code === 'ENOENT')) throw error;
        if (part.length === 1) continue;
        const middle = part.length >> 1;
        await this.#forget(set, part.slice(0, middle));
        await this.#forget(set, part.slice(middle));
      }
    }
  }

  #connect(): NetlinkConnection {
    return new NetlinkConnection({ ...this.#options, protocol: NETLINK_NETFILTER });
  }

  async #send(transaction: readonly ElementChanges[]): Promise<void> {
    try {
      await changeElements(this.#connection, this.#name, transaction);
    } catch (error) {
      const { code, message, refused } = error as NetlinkError; // it rejects with nothing else
      if (refused.length > 0) throw new RefusedError(message, { cause: error });
      if (code !== 'ECANCELED') await this.#startAfresh();
      throw error;
    }
  }

  /** The answer was lost: the transaction may have been carried out, and the answer may still come. */
  async #startAfresh(): Promise<void> {
    this.#connection.close();
    this.#connection = this.#connect();
    await this.readBack();
  }

  /** Chains that lists share are only ever added: as many as the widest Service has had endpoints. */
  async #addChains(transactions: readonly (readonly ElementChanges[])[]): Promise<void> {
    const missing = new Set<string>();
    for (const { elements, operation } of transactions.flat()) {
      for (const { data } of operation === 'add' ? elements : [])
        if (data.kind === 'goto' && !this.#chains.has(data.chain)) missing.add(data.chain);
    }
    if (missing.size === 0) return;
    const texts = [...missing].map((chain) => chainText(this.#name, chain));
    await this.#command(texts.join('')).catch((error: Error) => {
      throw new RefusedError(error.message, { cause: error });
    });
    for (const chain of [...missing].flatMap(withNeeded)) {
      this.#chains.add(chain);
      if (isTurnChain(chain)) this.#turnChains.add(chain);
    }
  }
}

function numberIn(key: string): bigint {
  return toBigInt(fromBytes(Buffer.from(key, 'latin1')));
}

function bytesOf(data: ElementData | undefined): string {
  return data?.kind === 'value' ? data.bytes : '';
}

function emptyShadow(): Map<SetName, Map<string, ElementData>> {
  return new Map(SET_NAMES.map((set) => [set, new Map()]));
}
