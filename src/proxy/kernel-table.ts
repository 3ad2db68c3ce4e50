// Our table in the kernel: rules by the `nft` command, elements by netlink, and a shadow of what is there.
import { spawn } from 'node:child_process';
import type { Clock } from '../clock/clock.ts';
import { NetlinkConnection } from '../netlink/connection.ts';
import { NetlinkError } from '../netlink/netlink-error.ts';
import {
  changeElements,
  type Element,
  type ElementChanges,
  type ElementData,
  listElements,
} from '../netlink/nftables.ts';
import { NETLINK_NETFILTER, type OpenNetlinkSocket } from '../sockets/netlink-socket.ts';
import { sameData } from './claims.ts';
import {
  commonWidths,
  constantRules,
  pickChainText,
  SETS,
  type SetName,
  TABLE,
  VERSION_CHAIN,
} from './rules.ts';

/** Elements a transaction: some 90 bytes each, and a socket in a user namespace takes no more than ~400 KiB at once. */
const TRANSACTION = 3_000;

/** Endpoints are there before frontends lead to them, and go after. */
const ORDER: readonly SetName[] = SETS.toSorted((a, b) => rank(a) - rank(b)).flatMap((set): SetName[] => [
  `${set}4`,
  `${set}6`,
]);

function rank(set: (typeof SETS)[number]): number {
  return ['endpoints', 'hairpins', 'widths', 'frontends', 'nodeports', 'addresses', 'balanced'].indexOf(set);
}

export interface Difference {
  readonly set: SetName;
  readonly key: string;
  /** Undefined: the element is to go. */
  readonly wanted: ElementData | undefined;
}

export class KernelTable {
  readonly #connection: NetlinkConnection;
  readonly #shadow = new Map<SetName, Map<string, ElementData>>(ORDER.map((set) => [set, new Map()]));
  readonly #widths = new Set<string>();

  constructor({
    open,
    clock,
    networkNamespace,
  }: { open: OpenNetlinkSocket; clock: Clock; networkNamespace?: string }) {
    this.#connection = new NetlinkConnection({
      open,
      clock,
      protocol: NETLINK_NETFILTER,
      ...(networkNamespace === undefined ? {} : { networkNamespace }),
    });
  }

  /**
   * Puts the constant rules in place, or takes over those of a predecessor with all their elements.
   * Rejects when there is no `nft`, or the kernel refuses the rules.
   */
  async start(): Promise<'taken over' | 'new'> {
    const existing = await runNft(['list', 'chain', 'inet', TABLE, VERSION_CHAIN]).catch(() => undefined);
    for (const width of commonWidths()) for (const digit of [4, 6]) this.#widths.add(`${digit}-${width}`);
    if (existing === undefined) {
      await runNft(['-f', '-'], constantRules());
      return 'new';
    }
    await this.readBack();
    return 'taken over';
  }

  /** Reads what the kernel has, whatever we believed. */
  async readBack(): Promise<void> {
    for (const set of ORDER) {
      const elements = await listElements(this.#connection, TABLE, set);
      this.#shadow.set(set, new Map(elements.map(({ key, data }) => [key, data])));
    }
  }

  get(set: SetName, key: string): ElementData | undefined {
    return this.#shadow.get(set)?.get(key);
  }

  has(set: SetName, key: string): boolean {
    return this.#shadow.get(set)?.has(key) ?? false;
  }

  entries(set: SetName): Iterable<readonly [key: string, data: ElementData]> {
    return this.#shadow.get(set) ?? [];
  }

  get size(): number {
    return [...this.#shadow.values()].reduce((sum, elements) => sum + elements.size, 0);
  }

  /** Brings these elements to what is wanted, in as few transactions as fit. Rejects with NetlinkError; what went before stays. */
  async apply(differences: Iterable<Difference>): Promise<void> {
    const { changes, chains } = this.#plan(differences);
    if (chains.length > 0) await runNft(['-f', '-'], chains.join(''));
    for (const transaction of split(changes)) {
      try {
        await changeElements(this.#connection, TABLE, transaction);
      } catch (error) {
        // The answer was lost, or our picture is wrong: look before anything else is done.
        if (error instanceof NetlinkError && error.code !== 'ECANCELED') await this.readBack();
        throw error;
      }
      for (const { set, operation, elements } of transaction)
        this.#remember(set as SetName, operation, elements); // the plan names no other sets
    }
  }

  close(): void {
    this.#connection.close();
  }

  #remember(set: SetName, operation: 'add' | 'delete', elements: readonly Element[]): void {
    const known = this.#shadow.get(set);
    for (const { key, data } of elements) {
      if (operation === 'add') known?.set(key, data);
      else known?.delete(key);
    }
  }

  /** Deletions from the frontends down, then additions from the endpoints up; a changed element is both. */
  #plan(differences: Iterable<Difference>): { changes: ElementChanges[]; chains: string[] } {
    const deletions = new Map<SetName, Map<string, Element>>();
    const additions = new Map<SetName, Map<string, Element>>();
    const chains = new Map<string, string>();
    const put = (into: Map<SetName, Map<string, Element>>, set: SetName, element: Element) => {
      const elements = into.get(set) ?? new Map<string, Element>();
      into.set(set, elements.set(element.key, element));
    };
    for (const { set, key, wanted } of differences) {
      const known = this.#shadow.get(set)?.get(key);
      if (sameData(known, wanted)) continue;
      if (known) put(deletions, set, { key, data: known });
      if (wanted) put(additions, set, { key, data: wanted });
      const width = wanted?.kind === 'goto' ? /^pick([46])-(\d+)$/.exec(wanted.chain) : null;
      if (!width || this.#widths.has(`${width[1]}-${width[2]}`)) continue;
      this.#widths.add(`${width[1]}-${width[2]}`);
      chains.set(width[0], pickChainText(width[1] === '4' ? 4 : 6, Number(width[2])));
    }
    const changes = (
      operation: 'add' | 'delete',
      elements: Map<SetName, Map<string, Element>>,
      order: readonly SetName[],
    ) =>
      order.flatMap((set): ElementChanges[] => {
        const ofSet = elements.get(set);
        return ofSet ? [{ set, operation, elements: [...ofSet.values()] }] : [];
      });
    return {
      changes: [...changes('delete', deletions, ORDER.toReversed()), ...changes('add', additions, ORDER)],
      chains: [...chains.values()],
    };
  }
}

/** Pieces of at most TRANSACTION elements; what fits into one piece is one transaction. */
function split(changes: readonly ElementChanges[]): ElementChanges[][] {
  const total = changes.reduce((sum, { elements }) => sum + elements.length, 0);
  if (total === 0) return [];
  if (total <= TRANSACTION) return [[...changes]];
  return changes.flatMap(({ set, operation, elements }) => {
    const pieces: ElementChanges[][] = [];
    for (let i = 0; i < elements.length; i += TRANSACTION) {
      pieces.push([{ set, operation, elements: elements.slice(i, i + TRANSACTION) }]);
    }
    return pieces;
  });
}

/** Runs `nft`; resolves with what it printed. Rejects with its words, or with how to install it. */
export function runNft(args: readonly string[], input = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn('nft', args, { stdio: ['pipe', 'pipe', 'pipe'] });
    let output = '';
    let errors = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (errors += chunk));
    child.on('error', (error: NodeJS.ErrnoException) => {
      const missing = error.code === 'ENOENT';
      reject(
        missing
          ? new Error('there is no "nft" on the PATH; install the package nftables (1.0.1 or newer)')
          : error,
      );
    });
    child.on('close', (status) => {
      if (status === 0) resolve(output);
      else reject(new Error(`nft ${args.join(' ')} failed: ${errors.trim()}`));
    });
    child.stdin.on('error', () => {}); // nft that ends early says why by its status
    child.stdin.end(input);
  });
}
