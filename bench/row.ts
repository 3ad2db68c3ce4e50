// One line of the benchmark table.

export interface BenchRow {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** The number that an issue asks for, such as "< 1". */
  readonly target?: string;
  /** The same work done the other way, in the same run and unit. */
  readonly alternative?: { readonly name: string; readonly value: number };
}
