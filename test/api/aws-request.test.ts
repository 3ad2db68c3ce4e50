import { array, assert, constantFrom, dictionary, oneof, property, string } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AWS_ANNOTATIONS } from '../../src/api/aws-annotations.ts';
import { type AwsRequest, readAwsService } from '../../src/api/aws-request.ts';
import { describe as sentence } from '../../src/api/problem.ts';
import type { ServiceObject } from '../../src/kube/objects.ts';
import { ACCOUNT, CERTIFICATE, P, service } from './aws-builders.ts';

type Annotations = Readonly<Record<string, string>>;

function read(annotations: Annotations, spec: Partial<ServiceObject['spec']> = {}): AwsRequest {
  const result = readAwsService(service(annotations, spec), ACCOUNT);
  return result.kind === 'valid' ? result.value : expect.fail(result.problems.map(sentence).join('\n'));
}

function problems(annotations: Annotations, spec: Partial<ServiceObject['spec']> = {}): string[] {
  const result = readAwsService(service(annotations, spec), ACCOUNT);
  return result.kind === 'invalid' ? result.problems.map(sentence) : [];
}

const TWO = {
  ports: [
    { name: 'dns', protocol: 'UDP' as const, port: 53, targetPort: 53, nodePort: 30053 },
    { name: 'dns-tcp', protocol: 'TCP' as const, port: 53, targetPort: 53, nodePort: 30053 },
  ],
};

describe('a Service for a network load balancer', () => {
  it('needs no annotation', () => {
    expect(read({})).toEqual({
      key: 'default/web',
      namespace: 'default',
      name: 'web',
      uid: '11111111-2222-3333-4444-555555555555',
      targetType: 'instance',
      addressType: 'ipv4',
      targetFamily: 'ipv4',
      subnets: [],
      allocations: [],
      privateAddresses: [],
      ipv6Addresses: [],
      sourceNat: false,
      sourceNatPrefixes: [],
      securityGroups: { kind: 'managed', ranges: ['0.0.0.0/0'], prefixLists: [], icmp: false, backend: true },
      attributes: {},
      tags: {},
      nodeLabels: {},
      adopt: false,
      listeners: [
        {
          port: 80,
          protocol: 'TCP',
          targetProtocol: 'TCP',
          portNames: ['web'],
          targetPort: 8080,
          nodePort: 30080,
          certificates: [],
          attributes: {},
          targetAttributes: {},
          healthCheck: {
            protocol: 'TCP',
            port: 'traffic-port',
            interval: 10,
            timeout: 10,
            healthyThreshold: 3,
            unhealthyThreshold: 3,
          },
        },
      ],
    });
  });

  it.each<[string, Annotations, Partial<AwsRequest>]>([
    ['a scheme', { scheme: 'internet-facing' }, { scheme: 'internet-facing' }],
    ['the older internal', { internal: 'F' }, { scheme: 'internet-facing' }],
    ['a scheme that wins over internal', { scheme: 'internal', internal: 'false' }, { scheme: 'internal' }],
    ['ip targets', { 'nlb-target-type': 'ip' }, { targetType: 'ip' }],
    ['ip targets by type', { type: 'nlb-ip' }, { targetType: 'ip' }],
    ['a name', { name: 'edge-1' }, { loadBalancerName: 'edge-1' }],
    ['subnets in their order', { subnets: 'subnet-b, ,subnet-a' }, { subnets: ['subnet-b', 'subnet-a'] }],
    [
      'EIPs',
      { scheme: 'internet-facing', subnets: 'a,b', 'eip-allocations': 'eipalloc-0000000a,eipalloc-0000000b' },
      { allocations: ['eipalloc-0000000a', 'eipalloc-0000000b'] },
    ],
    ['private addresses', { 'private-ipv4-addresses': '10.0.0.7' }, { privateAddresses: ['10.0.0.7'] }],
    [
      'dual stack',
      { 'ip-address-type': 'dualstack', 'ipv6-addresses': '2001:DB8::7' },
      {
        addressType: 'dualstack',
        ipv6Addresses: ['2001:db8::7'],
        securityGroups: {
          kind: 'managed',
          ranges: ['0.0.0.0/0', '::/0'],
          prefixLists: [],
          icmp: false,
          backend: true,
        },
      },
    ],
    [
      'IPv6 source NAT',
      {
        'ip-address-type': 'dualstack',
        'enable-prefix-for-ipv6-source-nat': 'on',
        'source-nat-ipv6-prefixes': 'auto_assigned,2001:db8:1::/80',
      },
      { sourceNat: true, sourceNatPrefixes: ['auto_assigned', '2001:db8:1::/80'] },
    ],
    [
      'source ranges',
      { 'service.beta.kubernetes.io/load-balancer-source-ranges': '192.0.2.0/24, 198.51.100.0/24' },
      {
        securityGroups: {
          kind: 'managed',
          ranges: ['192.0.2.0/24', '198.51.100.0/24'],
          prefixLists: [],
          icmp: false,
          backend: true,
        },
      },
    ],
    [
      'prefix lists, which close the rest',
      { 'security-group-prefix-lists': 'pl-0a1b2c3d', 'enable-icmp-for-path-mtu-discovery': 'on' },
      {
        securityGroups: {
          kind: 'managed',
          ranges: [],
          prefixLists: ['pl-0a1b2c3d'],
          icmp: true,
          backend: true,
        },
      },
    ],
    [
      'its own groups',
      { 'security-groups': 'sg-1,edge' },
      { securityGroups: { kind: 'given', groups: ['sg-1', 'edge'], backend: false } },
    ],
    [
      'its own groups, and rules on nodes',
      { 'security-groups': 'sg-1', 'manage-backend-security-group-rules': 'true' },
      { securityGroups: { kind: 'given', groups: ['sg-1'], backend: true } },
    ],
    [
      'no rules on nodes',
      { 'manage-backend-security-group-rules': 'false' },
      {
        securityGroups: {
          kind: 'managed',
          ranges: ['0.0.0.0/0'],
          prefixLists: [],
          icmp: false,
          backend: false,
        },
      },
    ],
    ['no groups', { 'disable-nlb-sg': 'true' }, { securityGroups: { kind: 'none' } }],
    [
      'attributes, and older names that win',
      {
        attributes: 'load_balancing.cross_zone.enabled=false,deletion_protection.enabled=true',
        'cross-zone-load-balancing-enabled': 'true',
        'access-log-enabled': 'true',
        'access-log-s3-bucket-name': 'logs',
      },
      {
        attributes: {
          'load_balancing.cross_zone.enabled': 'true',
          'deletion_protection.enabled': 'true',
          'access_logs.s3.enabled': 'true',
          'access_logs.s3.bucket': 'logs',
        },
      },
    ],
    ['tags', { 'additional-resource-tags': 'a=1,b=x y' }, { tags: { a: '1', b: 'x y' } }],
    [
      'labels with commas',
      { 'target-node-labels': 'a=1,b=x\\,y,c=2,3' },
      { nodeLabels: { a: '1', b: 'x,y', c: '2,3' } },
    ],
    [
      'nodes by label',
      { 'target-node-labels': 'tier=edge,arch=arm64' },
      { nodeLabels: { tier: 'edge', arch: 'arm64' } },
    ],
    ['adoption', { 'fairlead.dev/adopt-load-balancer': 'true' }, { adopt: true }],
  ])('may ask for %s', (_, annotations, expected) => {
    expect(read(annotations)).toMatchObject(expected);
  });

  it.each<[string, Annotations, object]>([
    [
      'TLS on every TCP port',
      { 'ssl-cert': `${CERTIFICATE},${CERTIFICATE}2` },
      {
        protocol: 'TLS',
        targetProtocol: 'TCP',
        certificates: [CERTIFICATE, `${CERTIFICATE}2`],
        sslPolicy: 'ELBSecurityPolicy-2016-08',
      },
    ],
    [
      'TLS to the targets, with a policy and ALPN',
      {
        'ssl-cert': CERTIFICATE,
        'ssl-ports': 'web',
        'backend-protocol': 'ssl',
        'ssl-negotiation-policy': 'P1',
        'alpn-policy': 'HTTP2Preferred',
      },
      { protocol: 'TLS', targetProtocol: 'TLS', sslPolicy: 'P1', alpnPolicy: 'HTTP2Preferred' },
    ],
    [
      'the proxy protocol',
      { 'proxy-protocol': '*' },
      { targetAttributes: { 'proxy_protocol_v2.enabled': 'true' } },
    ],
    [
      'the proxy protocol by port',
      { 'proxy-protocol-per-target-group': '80' },
      { targetAttributes: { 'proxy_protocol_v2.enabled': 'true' } }, // and off where the port is not listed
    ],
    [
      'target group attributes, its own port first',
      {
        'target-group-attributes': 'preserve_client_ip.enabled=false,stickiness.enabled=true',
        'target-group-attributes.80': 'stickiness.enabled=false',
      },
      { targetAttributes: { 'preserve_client_ip.enabled': 'false', 'stickiness.enabled': 'false' } },
    ],
    [
      'listener attributes',
      { 'listener-attributes.TCP-80': 'tcp.idle_timeout.seconds=600' },
      { attributes: { 'tcp.idle_timeout.seconds': '600' } },
    ],
    [
      'an HTTP health check',
      {
        'healthcheck-protocol': 'http',
        'healthcheck-port': '8081',
        'healthcheck-path': '/ready',
        'healthcheck-success-codes': '200,202',
        'healthcheck-interval': '5',
        'healthcheck-timeout': '3',
        'healthcheck-healthy-threshold': '2',
        'healthcheck-unhealthy-threshold': '4',
      },
      {
        healthCheck: {
          protocol: 'HTTP',
          port: '8081',
          path: '/ready',
          matcher: '200,202',
          interval: 5,
          timeout: 3,
          healthyThreshold: 2,
          unhealthyThreshold: 4,
        },
      },
    ],
    ['a health check by port name', { 'healthcheck-port': 'web' }, { healthCheck: { port: '30080' } }],
    [
      'a health check by port name of pods',
      { 'healthcheck-port': 'web', 'nlb-target-type': 'ip' },
      { healthCheck: { port: '8080' } },
    ],
  ])('may ask of its listener for %s', (_, annotations, expected) => {
    expect(read(annotations).listeners[0]).toMatchObject(expected);
  });

  it('with the policy Local is checked where kube-proxy answers for the node', () => {
    const spec = { externalTrafficPolicy: 'Local' as const, healthCheckNodePort: 31999 };
    expect(read({}, spec).listeners[0]?.healthCheck).toEqual({
      protocol: 'HTTP',
      port: '31999',
      path: '/healthz',
      matcher: '200-399',
      interval: 10,
      timeout: 6,
      healthyThreshold: 2,
      unhealthyThreshold: 2,
    });
    expect(read({ 'nlb-target-type': 'ip' }, spec).listeners[0]?.healthCheck.port).toBe('traffic-port');
  });

  it('with TCP and UDP on one number has one listener for both', () => {
    const [listener, ...others] = read({}, TWO).listeners;
    expect(others).toEqual([]);
    expect(listener).toMatchObject({
      port: 53,
      protocol: 'TCP_UDP',
      portNames: ['dns', 'dns-tcp'],
      nodePort: 30053,
    });
    expect(read({ 'quic-enabled-ports': '53' }, TWO).listeners[0]?.protocol).toBe('TCP_QUIC');
  });
});

describe('what is wrong with a Service', () => {
  it.each<[string, Annotations, string]>([
    ['a boolean of another spelling', { internal: 'FalSe' }, 'is neither true nor false'],
    ['a map without equals', { 'target-node-labels': 'edge' }, 'is no key=value pair'],
    ['an unknown scheme', { scheme: 'public' }, 'write internal or internet-facing'],
    ['an unknown target type', { 'nlb-target-type': 'pod' }, 'write instance or ip'],
    ['a long name', { name: 'x'.repeat(33) }, 'has 33 characters; 32 are allowed'],
    ['a name with a dot', { name: 'a.b' }, 'is no name'],
    ['a name that begins with internal-', { name: 'internal-a' }, 'which AWS refuses'],
    ['EIPs inside', { 'eip-allocations': 'eipalloc-0000000a' }, 'with the scheme internet-facing only'],
    [
      'another number of EIPs',
      { scheme: 'internet-facing', subnets: 'a,b', 'eip-allocations': 'eipalloc-0000000a' },
      'names 1, but there are 2 subnets',
    ],
    [
      'private addresses outside',
      { scheme: 'internet-facing', 'private-ipv4-addresses': '10.0.0.1' },
      'with the scheme internal only',
    ],
    ['an address of the wrong family', { 'private-ipv4-addresses': '2001:db8::1' }, 'write IPv4 addresses'],
    ['IPv6 addresses in IPv4', { 'ipv6-addresses': '2001:db8::1' }, 'with the address type dualstack only'],
    [
      'prefixes without source NAT',
      { 'source-nat-ipv6-prefixes': 'auto_assigned' },
      'enable-prefix-for-ipv6-source-nat: on only',
    ],
    [
      'a prefix of another length',
      {
        'ip-address-type': 'dualstack',
        'enable-prefix-for-ipv6-source-nat': 'on',
        'source-nat-ipv6-prefixes': '2001:db8::/64',
      },
      'is no /80',
    ],
    [
      'a range with host bits',
      { 'service.beta.kubernetes.io/load-balancer-source-ranges': '10.0.0.1/8' },
      'write 10.0.0.0/8',
    ],
    ['groups and no groups', { 'security-groups': 'sg-1', 'disable-nlb-sg': 'true' }, 'contradicts'],
    ['an unknown attribute', { attributes: 'idle_timeout.timeout_seconds=60' }, 'is no attribute here'],
    [
      'a bad attribute value',
      { 'target-group-attributes': 'preserve_client_ip.enabled=yes' },
      'write true or false',
    ],
    [
      'a bad routing policy',
      { attributes: 'dns_record.client_routing_policy=near' },
      'write any_availability_zone or',
    ],
    ['logs without a bucket', { 'access-log-enabled': 'true' }, 'needs a bucket'],
    ['a certificate that is none', { 'ssl-cert': 'my-cert' }, 'write its ARN'],
    [
      'a TLS port that is none',
      { 'ssl-cert': CERTIFICATE, 'ssl-ports': 'https' },
      'is no port of the Service; there are web',
    ],
    ['TLS ports without certificate', { 'ssl-ports': 'web' }, 'there is no certificate'],
    ['a bad ALPN policy', { 'alpn-policy': 'h2' }, 'HTTP2Optional'],
    ['a proxy protocol other than *', { 'proxy-protocol': 'on' }, 'write *, or remove it'],
    ['QUIC on TCP', { 'quic-enabled-ports': '80' }, 'is a TCP port'],
    ['a bad health protocol', { 'healthcheck-protocol': 'udp' }, 'write TCP or HTTP or HTTPS'],
    [
      'a timeout beyond the interval',
      { 'healthcheck-interval': '5', 'healthcheck-timeout': '6' },
      'longer than the interval of 5',
    ],
    ['a threshold out of range', { 'healthcheck-healthy-threshold': '11' }, 'from 2 to 10'],
    ['a path that is none', { 'healthcheck-path': 'ready' }, 'begins with /'],
    ['codes that are none', { 'healthcheck-success-codes': 'ok' }, 'is no list of status codes'],
    ['a tag of AWS', { 'additional-resource-tags': 'aws:x=1' }, 'says whose the object is'],
    [
      'attributes of a port that is none',
      { 'target-group-attributes.81': 'stickiness.enabled=true' },
      'is for 81, which the Service does not have',
    ],
    [
      'attributes of a listener that is none',
      { 'listener-attributes.UDP-80': 'tcp.idle_timeout.seconds=60' },
      'is for UDP-80',
    ],
    ['a misspelt annotation', { shceme: 'internal' }, `did you mean ${P}scheme?`],
    [
      'an annotation under another prefix',
      { 'service.kubernetes.io/aws-load-balancer-scheme': 'internal' },
      `did you mean ${P}scheme?`,
    ],
    [
      'an annotation of Classic load balancers',
      { 'connection-idle-timeout': '60' },
      'is for Classic load balancers',
    ],
    ['weights', { 'service.beta.kubernetes.io/actions.TCP-80': '{}' }, 'which Fairlead does not do yet'],
    ['shared target groups', { 'multi-cluster-target-group': 'true' }, 'which Fairlead does not do'],
    [
      'rules on nodes without groups',
      { 'manage-backend-security-group-rules': 'true', 'disable-nlb-sg': 'true' },
      'needs a load balancer with security groups',
    ],
    ['TCP and UDP apart', { 'enable-tcp-udp-listener': '0' }, ''],
  ])('is told: %s', (what, annotations, part) => {
    const found = problems(annotations, what === 'TCP and UDP apart' ? TWO : {});
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(/^Service\/default\/web: (metadata\.annotations\[|spec\.ports\[)/);
    expect(found[0]).toContain(part);
  });

  it('is told all at once', () => {
    expect(
      problems({ scheme: 'x', 'nlb-target-type': 'y', name: '-', internal: 'perhaps', typo: '1' }),
    ).toHaveLength(5);
  });

  it.each([
    ['SCTP', [{ protocol: 'SCTP' as const, port: 80, nodePort: 30080 }], 'use TCP or UDP'],
    ['no node port', [{ port: 80 }], 'write the target type ip'],
    [
      'two node ports for one number',
      [
        { protocol: 'TCP' as const, port: 53, nodePort: 30053 },
        { protocol: 'UDP' as const, port: 53, nodePort: 30054 },
      ],
      'write the same nodePort for both',
    ],
  ])('may be its ports: %s', (_, ports, part) => {
    expect(problems({}, { ports })).toEqual([expect.stringContaining(part)]);
  });

  it('may be more ports than a load balancer has', () => {
    const ports = Array.from({ length: 51 }, (_, i) => ({ port: i + 1, nodePort: 30_000 + i }));
    expect(problems({}, { ports })).toEqual([expect.stringContaining('more ports than the 50')]);
  });

  it('may be IPv6 behind an IPv4 load balancer', () => {
    expect(problems({}, { ipFamilies: ['IPv6'] })).toEqual([expect.stringContaining('dualstack')]);
  });
});

describe('any annotations at all', () => {
  const value = oneof(
    string(),
    constantFrom(
      'true',
      '1',
      'ip',
      '80',
      'a=b,c',
      '\\,=',
      ',',
      '10.0.0.0/8',
      '*',
      'web',
      'tcp.idle_timeout.seconds=60',
    ),
    array(string()).map((parts) => parts.join(',')),
  );
  const name = oneof(
    constantFrom(...AWS_ANNOTATIONS),
    constantFrom('target-group-attributes.80', 'listener-attributes.TCP-80', 'nmae'),
  );

  it('are read without an exception, and problems name the annotation', () => {
    assert(
      property(dictionary(name, value, { maxKeys: 12 }), (annotations) => {
        const result = readAwsService(service(annotations), ACCOUNT);
        if (result.kind === 'valid') return;
        for (const problem of result.problems) {
          expect(problem.mend).toMatch(/\S/);
          expect(problem.field).toMatch(/^metadata\.annotations\[|^spec\./);
        }
      }),
    );
  });
});
