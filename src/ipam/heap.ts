// A binary min-heap of numbers.

export class Heap {
  readonly #values: bigint[] = [];

  get least(): bigint | undefined {
    return this.#values[0];
  }

  push(value: bigint): void {
    const heap = this.#values;
    let i = heap.push(value) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      const above = heap[parent] ?? value;
      if (above <= value) break;
      heap[i] = above;
      i = parent;
    }
    heap[i] = value;
  }

  /** Takes the least away. */
  pop(): void {
    const heap = this.#values;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      let least = heap[child];
      if (least === undefined) break;
      const right = heap[child + 1];
      if (right !== undefined && right < least) {
        least = right;
        child++;
      }
      if (least >= last) break;
      heap[i] = least;
      i = child;
    }
    heap[i] = last;
  }
}
