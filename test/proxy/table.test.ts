// The forwarding table of one Service: who is addressed, and who answers.
import { describe, expect, it } from 'vitest';
import type { ServiceObject } from '../../src/kube/objects.ts';
import { EMPTY_TABLE, serviceTable } from '../../src/proxy/table.ts';
import { service, slice } from './objects.ts';

const PORTS = [{ port: 80 }];
const tableOf = (object: ServiceObject | undefined, ...slices: Parameters<typeof serviceTable>[1][]) =>
  serviceTable(
    object,
    slices.flatMap((each) => [...each]),
    { node: 'node', zone: undefined },
  );

describe('a forwarding table', () => {
  it('is empty for Services that are not forwarded', () => {
    const endpoints = [slice('web', [{ address: '10.244.0.1' }], [{ port: 8080 }])];
    const labels = { 'service.kubernetes.io/service-proxy-name': '' };
    const status = { ingress: [{ ip: '198.51.100.1' }] };
    const clusterIPs = ['10.96.0.1'];
    for (const object of [
      undefined,
      service('web', { clusterIPs: ['None'], ports: PORTS }, status),
      service('web', { clusterIPs: [''], ports: PORTS }, status),
      service('web', { ports: PORTS }, status),
      service('web', { type: 'ExternalName', clusterIPs, ports: PORTS }, status),
      service('web', { clusterIPs, ports: PORTS }, { ...status, labels }),
    ])
      expect(tableOf(object, endpoints)).toEqual(EMPTY_TABLE);
  });

  it('has each port in each family of the cluster addresses, with the frontends of that family', () => {
    const spec = {
      type: 'LoadBalancer',
      clusterIPs: ['10.96.0.1', 'fd00:96::1'],
      externalIPs: ['203.0.113.1', '2001:db8::1'],
      ports: [{ name: 'dns', port: 53, protocol: 'UDP', nodePort: 30053 }],
    } as const;
    const table = tableOf(
      service('web', spec, { ingress: [{ ip: '198.51.100.1' }, { hostname: 'lb.example' }] }),
    );
    expect(table.ports.map(({ key, family, nodePort }) => [key, family, nodePort])).toEqual([
      ['default/web:dns/UDP/IPv4', 'IPv4', 30053],
      ['default/web:dns/UDP/IPv6', 'IPv6', 30053],
    ]);
    expect(table.ports[0]?.frontends).toEqual([
      { address: '10.96.0.1', external: false, sources: undefined },
      { address: '198.51.100.1', external: true, sources: undefined },
      { address: '203.0.113.1', external: true, sources: undefined },
    ]);
    expect(table.ports[1]?.frontends).toEqual([
      { address: 'fd00:96::1', external: false, sources: undefined },
      { address: '2001:db8::1', external: true, sources: undefined },
    ]);
  });

  it('keeps to itself only cluster addresses and those from a pool of ours', () => {
    const spec = {
      type: 'LoadBalancer',
      clusterIPs: ['10.96.0.1'],
      externalIPs: ['203.0.113.1'],
      ports: PORTS,
    } as const;
    const status = { ingress: [{ ip: '198.51.100.1' }] };
    expect(tableOf(service('web', spec, status))).toMatchObject({
      cluster: ['10.96.0.1'],
      balanced: ['198.51.100.1'],
      pooled: ['198.51.100.1'],
    });
    expect(tableOf(service('web', spec, { ...status, pooled: false }))).toMatchObject({
      cluster: ['10.96.0.1'],
      balanced: ['198.51.100.1'],
      pooled: [],
    });
  });

  it('takes a load balancer’s address only in mode VIP and while the type is LoadBalancer', () => {
    const ingress = [
      { ip: '198.51.100.1' },
      { ip: '198.51.100.2', ipMode: 'VIP' },
      { ip: '198.51.100.3', ipMode: 'Proxy' },
    ];
    const spec = { clusterIPs: ['10.96.0.1'], ports: PORTS };
    const balanced = (type: 'LoadBalancer' | 'NodePort') =>
      tableOf(service('web', { ...spec, type }, { ingress })).balanced;
    expect(balanced('LoadBalancer')).toEqual(['198.51.100.1', '198.51.100.2']);
    expect(balanced('NodePort')).toEqual([]);
  });

  it('leaves out addresses that are none', () => {
    const spec = {
      type: 'LoadBalancer',
      clusterIPs: ['10.96.0.1'],
      externalIPs: ['300.1.1.1', 'x'],
      ports: PORTS,
    } as const;
    const table = tableOf(service('web', spec, { ingress: [{ ip: '1.2.3' }, {}] }));
    expect(table.ports[0]?.frontends).toEqual([
      { address: '10.96.0.1', external: false, sources: undefined },
    ]);
  });
});
