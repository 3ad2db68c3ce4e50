// Of the Services and endpoints that benchmarks make up: cluster addresses in 10.96.0.0/16, endpoints in 10.128.0.0/9.

export function clusterAddress(i: number): string {
  return `10.96.${i >> 8}.${i & 255}`;
}

/** One of up to 120 endpoints of a Service. */
export function endpointAddress(i: number, j: number): string {
  return `10.${128 + (j % 120)}.${i >> 8}.${i & 255}`;
}
