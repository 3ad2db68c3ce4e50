// What forwarding makes of the Node object, the machine's addresses and the flags.
import { describe, expect, it } from 'vitest';
import type { NodeObject } from '../../src/kube/objects.ts';
import { ip } from '../../src/net/address.ts';
import { formatRange, parsePrefix, type Range } from '../../src/net/range.ts';
import { nodeView, type TrafficOptions } from '../../src/proxy/node.ts';

const prefix = (text: string): Range => {
  const read = parsePrefix(text);
  if (read.kind === 'malformed') throw new Error(read.problem);
  return read.value;
};
const DEFAULTS: TrafficOptions = {
  detection: { kind: 'cluster-cidr', ranges: [] },
  masqueradeAll: false,
  masqueradeBit: 14,
  nodePortAddresses: { primary: true, localhost: false, ranges: [] },
};
const node = (...addresses: readonly [type: string, address: string][]): NodeObject => ({
  metadata: { name: 'node', labels: { 'topology.kubernetes.io/zone': 'z1' } },
  spec: { podCIDRs: ['10.244.1.0/24', 'not a prefix'] },
  status: { addresses: addresses.map(([type, address]) => ({ type, address })) },
});
const view = (options: Partial<TrafficOptions>, machine: readonly string[] = [], object = node()) => {
  const { ranges, ...rest } = nodeView(object, machine.map(ip), { ...DEFAULTS, ...options });
  return { ...rest, pods: ranges.pods.map(formatRange), inside: ranges.inside.map(formatRange) };
};

describe('node ports', () => {
  const object = node(
    ['Hostname', 'node'],
    ['ExternalIP', '203.0.113.1'],
    ['InternalIP', '192.0.2.1'],
    ['InternalIP', '192.0.2.2'],
    ['ExternalIP', '2001:db8::1'],
  );
  const addresses = (primary: boolean, ...ranges: string[]) =>
    view(
      { nodePortAddresses: { primary, localhost: false, ranges: ranges.map(prefix) } },
      ['127.0.0.1', '::1', '192.0.2.9'],
      object,
    ).nodePortAddresses;

  it('are served on the first internal address of each family, or the first external one', () => {
    expect(addresses(true)).toEqual(['192.0.2.1', '2001:db8::1']);
    expect(view({}, ['192.0.2.1']).nodePortAddresses).toEqual([]);
  });

  it('are served on the machine’s addresses in the given ranges, but never on loopback', () => {
    expect(addresses(false, '192.0.2.0/24')).toEqual(['192.0.2.9']);
    expect(addresses(false, '0.0.0.0/0', '::/0')).toEqual(['192.0.2.9']);
    expect(addresses(true, '192.0.2.0/24')).toEqual(['192.0.2.1', '192.0.2.9', '2001:db8::1']);
  });
});

describe('pods', () => {
  const EVERY6 = '::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff';

  it('are told by the cluster’s prefixes; a family without any has no outsiders', () => {
    const detection = {
      kind: 'cluster-cidr',
      ranges: [prefix('10.244.0.0/16'), prefix('10.244.1.0/24')],
    } as const;
    const pods = ['10.244.0.0-10.244.255.255'];
    expect(view({ detection })).toMatchObject({ pods, inside: [...pods, EVERY6] });
    expect(view({})).toMatchObject({ pods: [], inside: ['0.0.0.0-255.255.255.255', EVERY6] });
  });

  it('are told by the node’s own prefixes', () => {
    const pods = ['10.244.1.0-10.244.1.255'];
    expect(view({ detection: { kind: 'node-cidr' } })).toMatchObject({ pods, inside: [...pods, EVERY6] });
  });

  it('do not matter where everything is masqueraded, or where their interface tells', () => {
    const detection = { kind: 'cluster-cidr', ranges: [prefix('10.244.0.0/16')] } as const;
    expect(view({ detection, masqueradeAll: true })).toMatchObject({ pods: [expect.anything()], inside: [] });
    const pods = { name: 'cni0', prefix: false };
    expect(view({ detection: { kind: 'interface', pods } })).toMatchObject({ pods: [], inside: [] });
  });
});

it('a node that is not known yet has no zone and no addresses', () => {
  expect(nodeView(undefined, [], DEFAULTS)).toMatchObject({
    zone: undefined,
    own: [],
    nodePortAddresses: [],
  });
  expect(view({}).zone).toBe('z1');
});
