// Which UDP flows go where their Service no longer leads.
import { describe, expect, it } from 'vitest';
import { ip } from '../../src/net/address.ts';
import type { Flow } from '../../src/netlink/conntrack.ts';
import { StaleFlows } from '../../src/proxy/stale-flows.ts';
import { EMPTY_TABLE, serviceTable } from '../../src/proxy/table.ts';
import { service, slice } from './objects.ts';

const NODE = ip('192.0.2.1');
const CLUSTER = '10.96.0.1';

/** A flow that the client began to `destination`, and that goes to `to`. */
function flow(destination: string, port: number, to: string, toPort: number): Flow {
  return {
    original: { destination: ip(destination), destinationPort: port },
    reply: { source: ip(to), sourcePort: toPort },
  };
}

function table(pods: readonly string[], protocol: 'UDP' | 'TCP' = 'UDP', port = 53) {
  const ports = [{ port, protocol, nodePort: 30053 }];
  return serviceTable(
    service('dns', { clusterIPs: [CLUSTER, 'fd00:96::1'], externalIPs: ['203.0.113.1'], ports }),
    [
      slice(
        'dns',
        pods.map((address) => ({ address })),
        [{ port: 5353, protocol }],
      ),
    ],
    { node: 'node', zone: undefined },
  );
}

function noted(...changes: readonly (readonly [ReturnType<typeof table>, ReturnType<typeof table>])[]) {
  const flows = new StaleFlows('UDP');
  for (const [before, after] of changes) flows.note(before, after);
  return {
    flows,
    isStale: (each: Flow) => flows.isStale(each, (address) => address === NODE),
  };
}

const [A, B, C] = ['10.244.0.1', '10.244.0.2', '10.244.0.3'];

describe('stale flows', () => {
  it.each(['UDP', 'TCP'] as const)('of %s are none where the Service came to lead since', (protocol) => {
    const flows = new StaleFlows(protocol);
    flows.note(table([A, B], protocol), table([A], protocol));
    flows.allow(table([A, C], protocol));
    const isStale = (to: string) => flows.isStale(flow(CLUSTER, 53, to, 5353), () => false);
    expect([A, B, C].map(isStale)).toEqual([false, true, false]);
    flows.note(table([A, C], protocol), table([A], protocol));
    expect(isStale(C)).toBe(true);
  });
});

describe('stale UDP flows', () => {
  it('go to an endpoint that is gone, through any frontend or the node port', () => {
    const { flows, isStale } = noted([table([A, B]), table([B])]);
    for (const [address, port] of [
      [CLUSTER, 53],
      ['203.0.113.1', 53],
      [NODE, 30053],
    ] as const) {
      expect(isStale(flow(address, port, A, 5353))).toBe(true);
      expect(isStale(flow(address, port, B, 5353))).toBe(false);
      expect(isStale(flow(address, port + 1, A, 5353))).toBe(false);
    }
    expect(flows.families).toEqual(['IPv4']);
  });

  it('go to the Service’s own address because it had no endpoint, and now has one or none', () => {
    const { isStale } = noted([table([]), table([A])]);
    expect(isStale(flow(CLUSTER, 53, CLUSTER, 53))).toBe(true);
    expect(isStale(flow(NODE, 30053, NODE, 30053))).toBe(true);
    expect(noted([table([A]), table([])]).isStale(flow(CLUSTER, 53, A, 5353))).toBe(true);
  });

  it('belong to a Service that is gone or has another port now', () => {
    expect(noted([table([A]), EMPTY_TABLE]).isStale(flow(CLUSTER, 53, A, 5353))).toBe(true);
    const { isStale } = noted([table([A]), table([A], 'UDP', 54)]);
    expect(isStale(flow(CLUSTER, 53, A, 5353))).toBe(true);
    expect(isStale(flow(CLUSTER, 54, A, 5353))).toBe(false);
  });

  it('are not those to a port of that number on another machine', () => {
    expect(noted([table([A]), table([B])]).isStale(flow('203.0.113.9', 30053, '203.0.113.9', 30053))).toBe(
      false,
    );
  });

  it('are looked for only where the endpoints of a UDP port changed', () => {
    expect(noted([table([A]), table([A])]).flows.families).toEqual([]);
    expect(noted([table([A], 'TCP'), table([B], 'TCP')]).flows.families).toEqual([]);
  });

  it('are judged by the last of several changes, and of several records by the later', () => {
    const { flows, isStale } = noted([table([A]), table([])], [table([]), table([A])]);
    expect(isStale(flow(CLUSTER, 53, A, 5353))).toBe(false);
    flows.add(noted([table([A]), table([B])]).flows);
    expect(isStale(flow(CLUSTER, 53, A, 5353))).toBe(true);
    expect(flows.families).toEqual(['IPv4']);
  });
});

describe('stale TCP connections', () => {
  const tcp = (...changes: readonly (readonly [ReturnType<typeof table>, ReturnType<typeof table>])[]) => {
    const flows = new StaleFlows('TCP');
    for (const [before, after] of changes) flows.note(before, after);
    return flows;
  };
  const of = (pods: readonly string[]) => table(pods, 'TCP');
  const isStale = (flows: StaleFlows, each: Flow) => flows.isStale(each, (address) => address === NODE);

  it('go to an endpoint that no slice has any more', () => {
    const flows = tcp([of([A, B]), of([B])]);
    expect(isStale(flows, flow(CLUSTER, 53, A, 5353))).toBe(true);
    expect(isStale(flows, flow(NODE, 30053, A, 5353))).toBe(true);
    expect(isStale(flows, flow(CLUSTER, 53, B, 5353))).toBe(false);
    expect(isStale(tcp([of([A]), EMPTY_TABLE]), flow(CLUSTER, 53, A, 5353))).toBe(true);
  });

  it('are not those to an endpoint that is there and takes nothing new', () => {
    const draining = { address: A, ready: false, serving: false, terminating: true };
    const after = serviceTable(
      service('dns', { clusterIPs: [CLUSTER], ports: [{ port: 53, protocol: 'TCP' }] }),
      [slice('dns', [draining, { address: B }], [{ port: 5353, protocol: 'TCP' }])],
      { node: 'node', zone: undefined },
    );
    const flows = tcp([of([A, B, '10.244.0.3']), after]);
    expect(isStale(flows, flow(CLUSTER, 53, '10.244.0.3', 5353))).toBe(true);
    expect(isStale(flows, flow(CLUSTER, 53, A, 5353))).toBe(false);
  });

  it('are not looked for where no endpoint went', () => {
    expect(tcp([of([A]), of([A, B])]).families).toEqual([]);
    expect(tcp([EMPTY_TABLE, of([A])]).families).toEqual([]);
    expect(tcp([table([A]), table([B])]).families).toEqual([]);
  });
});
