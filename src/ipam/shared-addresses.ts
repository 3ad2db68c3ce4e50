// The addresses of one family that are shared under one key before one backend, as a tree over their
// hexadecimal digits. Each node counts its addresses, and at how many of them a port is taken: where a port is
// taken at all of them the search goes past without looking at one.
import { bitsOf, type Family } from '../net/address.ts';
import type { Range } from '../net/range.ts';

interface Node {
  size: number;
  readonly taken: Map<string, number>;
  /** By digit; none at the last one. */
  readonly children: (Node | undefined)[];
}

export class SharedAddresses {
  readonly #digits: number;
  readonly #root = newNode();

  constructor(family: Family) {
    this.#digits = bitsOf(family) / 4;
  }

  get size(): number {
    return this.#root.size;
  }

  add(address: bigint): void {
    for (const node of this.#path(address)) node.size++;
  }

  /** Its ports must have been given back. */
  remove(address: bigint): void {
    const path = this.#path(address);
    for (const node of path) node.size--;
    for (const [depth, node] of path.entries()) {
      if (node.size > 0) continue;
      const parent = path[depth - 1];
      if (parent) parent.children[this.#digit(address, depth - 1)] = undefined;
      return;
    }
  }

  takePorts(address: bigint, ports: readonly string[]): void {
    for (const { taken } of this.#path(address))
      for (const port of ports) taken.set(port, (taken.get(port) ?? 0) + 1);
  }

  givePorts(address: bigint, ports: readonly string[]): void {
    for (const { taken } of this.#path(address)) {
      for (const port of ports) {
        const left = (taken.get(port) ?? 1) - 1;
        if (left === 0) taken.delete(port);
        else taken.set(port, left);
      }
    }
  }

  /** The lowest address of the range at which none of the ports is taken. */
  lowest(range: Range, ports: readonly string[]): bigint | undefined {
    return this.#lowest(this.#root, 0, 0n, range, ports);
  }

  #lowest(
    node: Node,
    depth: number,
    first: bigint,
    range: Range,
    ports: readonly string[],
  ): bigint | undefined {
    if (node.size === 0 || ports.some((port) => node.taken.get(port) === node.size)) return undefined;
    if (depth === this.#digits) return first;
    const width = 1n << BigInt(4 * (this.#digits - depth - 1));
    for (const [digit, child] of node.children.entries()) {
      const from = first + BigInt(digit) * width;
      if (!child || from > range.last || from + width <= range.first) continue;
      const found = this.#lowest(child, depth + 1, from, range, ports);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** From the root to the address, made where it is not there. */
  #path(address: bigint): Node[] {
    let node = this.#root;
    const path = [node];
    for (let depth = 0; depth < this.#digits; depth++) {
      const digit = this.#digit(address, depth);
      const child = node.children[digit] ?? newNode();
      node.children[digit] = child;
      node = child;
      path.push(node);
    }
    return path;
  }

  /** The digit of the address below a node of this depth. */
  #digit(address: bigint, depth: number): number {
    return Number((address >> BigInt(4 * (this.#digits - depth - 1))) & 0xfn);
  }
}

function newNode(): Node {
  return { size: 0, taken: new Map(), children: [] };
}
