// The listeners that a Service asks of a network load balancer: one for each port number, with its target group's
// protocol, port, health check and attributes.
import type { ServiceObject, ServicePort } from '../kube/objects.ts';
import type { AwsAnnotations } from './aws-annotations.ts';
import { checkAttributes, LISTENER_ATTRIBUTES, TARGET_GROUP_ATTRIBUTES } from './aws-attributes.ts';
import { boolean, list, map, oneOf, unique, type Written, wholeNumber } from './aws-grammar.ts';
import type { TargetType } from './cloud-account.ts';
import type { Reader } from './reader.ts';

export type ListenerProtocol = 'TCP' | 'UDP' | 'TCP_UDP' | 'TLS' | 'QUIC' | 'TCP_QUIC';

export interface HealthCheck {
  readonly protocol: 'TCP' | 'HTTP' | 'HTTPS';
  /** A number, or `traffic-port`. */
  readonly port: string;
  /** HTTP and HTTPS only. */
  readonly path?: string;
  readonly matcher?: string;
  /** Seconds. */
  readonly interval: number;
  readonly timeout: number;
  readonly healthyThreshold: number;
  readonly unhealthyThreshold: number;
}

export interface ListenerRequest {
  readonly port: number;
  readonly protocol: ListenerProtocol;
  readonly targetProtocol: ListenerProtocol;
  /** Names of the Service's ports that come together here, '' for one without; for EndpointSlices. */
  readonly portNames: readonly string[];
  /** As named in the Service. */
  readonly targetPort: number | string;
  /** Instance targets only. */
  readonly nodePort?: number;
  /** The first is the default; empty unless TLS. */
  readonly certificates: readonly string[];
  readonly sslPolicy?: string;
  readonly alpnPolicy?: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly healthCheck: HealthCheck;
  readonly targetAttributes: Readonly<Record<string, string>>;
}

/** Elastic Load Balancing quotas that nobody can raise. */
const MOST_LISTENERS = 50;
const MOST_CERTIFICATES = 25;
const DEFAULT_SSL_POLICY = 'ELBSecurityPolicy-2016-08';
const ALPN = ['None', 'HTTP1Only', 'HTTP2Only', 'HTTP2Optional', 'HTTP2Preferred'] as const;
const CERTIFICATE = /^arn:aws[\w-]*:(acm|iam):[\w-]*:\d*:(certificate|server-certificate)\/.+$/;

interface Context {
  readonly reader: Reader;
  readonly service: ServiceObject;
  readonly annotations: AwsAnnotations;
  readonly targetType: TargetType;
}

export function readListeners(context: Context): ListenerRequest[] {
  const { reader, service, annotations } = context;
  const ports = service.spec.ports ?? [];
  const byNumber = Map.groupBy(ports, ({ port }) => port);
  if (byNumber.size > MOST_LISTENERS) {
    const mend = `are more ports than the ${MOST_LISTENERS} that a network load balancer can have; split the Service`;
    reader.problem('spec.ports', byNumber.size, mend);
  }
  const tls = readTls(context);
  const healthCheck = readHealthCheck(context);
  const quic = portNumbers(context, annotations.get('quic-enabled-ports'));
  const proxied = readProxyProtocol(context);
  const shared = attributesOf(reader, annotations.get('target-group-attributes'), TARGET_GROUP_ATTRIBUTES);
  const perPort = annotations.targetGroupAttributes();
  const perListener = annotations.listenerAttributes();
  const mayMerge = boolean(reader, annotations.get('enable-tcp-udp-listener'));

  const listeners = [...byNumber].map(([port, group]): ListenerRequest => {
    const transport = readTransport(context, group, mayMerge);
    const secure = transport === 'TCP' && tls.certificates.length > 0 && tls.covers(group);
    const protocol = secure ? 'TLS' : withQuic(context, transport, port, quic);
    const own = perPort.get(port);
    perPort.delete(port);
    const attributesKey = [...new Set([protocol, transport])].map((each) => `${each}-${port}`);
    const written = attributesKey.map((key) => take(perListener, key)).find((each) => each !== undefined);
    const proxy = proxied(port);
    const [first] = group;
    return {
      port,
      protocol,
      targetProtocol: secure ? tls.targetProtocol : protocol,
      portNames: group.map(({ name = '' }) => name),
      targetPort: first?.targetPort ?? port,
      ...(context.targetType === 'instance' ? { nodePort: nodePortOf(context, group) } : {}),
      certificates: secure ? tls.certificates : [],
      ...(secure ? { sslPolicy: tls.policy } : {}),
      ...(secure && tls.alpn ? { alpnPolicy: tls.alpn } : {}),
      attributes: attributesOf(reader, written, LISTENER_ATTRIBUTES),
      healthCheck,
      targetAttributes: {
        ...shared,
        ...filled(attributesOf(reader, own, TARGET_GROUP_ATTRIBUTES)),
        ...(proxy === undefined ? {} : { 'proxy_protocol_v2.enabled': String(proxy) }),
      },
    };
  });
  for (const [key, { field, value }] of [...perPort, ...perListener])
    reader.problem(field, value, `is for ${key}, which the Service does not have; correct the name`);
  return listeners.sort((a, b) => a.port - b.port);
}

/** TCP, UDP, or both on one number. */
function readTransport(
  { reader, targetType }: Context,
  group: readonly ServicePort[],
  mayMerge: boolean | undefined,
): 'TCP' | 'UDP' | 'TCP_UDP' {
  const [{ port, protocol = 'TCP' } = { port: 0 }] = group;
  const field = `spec.ports[port=${port}]`;
  if (group.some((each) => each.protocol === 'SCTP'))
    reader.problem(`${field}.protocol`, 'SCTP', 'is not served by network load balancers; use TCP or UDP');
  if (group.length < 2) return protocol === 'UDP' ? 'UDP' : 'TCP';
  if (mayMerge === false) {
    const mend =
      'has TCP and UDP, and a network load balancer has one listener for a port number; take off the annotation aws-load-balancer-enable-tcp-udp-listener, or one of the two';
    reader.problem(field, port, mend);
  }
  const differs = (pick: (each: ServicePort) => unknown) => new Set(group.map(pick)).size > 1;
  if (targetType === 'instance' && differs(({ nodePort }) => nodePort)) {
    const mend =
      'differs between TCP and UDP, and one listener has one target group; write the same nodePort for both, or the target type ip';
    reader.problem(`${field}.nodePort`, group.map(({ nodePort }) => nodePort).join(','), mend);
  }
  if (targetType === 'ip' && differs(({ targetPort = port }) => targetPort)) {
    const mend =
      'differs between TCP and UDP, and one listener has one target group; write the same targetPort';
    reader.problem(`${field}.targetPort`, group.map(({ targetPort }) => targetPort).join(','), mend);
  }
  return 'TCP_UDP';
}

function withQuic(
  { reader, annotations }: Context,
  transport: 'TCP' | 'UDP' | 'TCP_UDP',
  port: number,
  enabled: ReadonlySet<number>,
): ListenerProtocol {
  if (!enabled.has(port)) return transport;
  if (transport !== 'TCP') return transport === 'UDP' ? 'QUIC' : 'TCP_QUIC';
  const field = annotations.get('quic-enabled-ports')?.field ?? '';
  reader.problem(field, port, 'is a TCP port, and QUIC needs UDP; take it off the list');
  return transport;
}

function nodePortOf({ reader }: Context, [first]: readonly ServicePort[]): number {
  if (first?.nodePort) return first.nodePort;
  const mend =
    'is missing, and instance targets need one; allow node ports (allocateLoadBalancerNodePorts), or write the target type ip';
  reader.problem(`spec.ports[port=${first?.port}].nodePort`, '', mend);
  return 0;
}

interface Tls {
  readonly certificates: readonly string[];
  readonly policy: string;
  readonly alpn: string | undefined;
  readonly targetProtocol: 'TCP' | 'TLS';
  covers(ports: readonly ServicePort[]): boolean;
}

function readTls(context: Context): Tls {
  const { reader, annotations } = context;
  const certificate = annotations.get('ssl-cert');
  const certificates = unique(reader, certificate);
  for (const arn of certificates) {
    if (!CERTIFICATE.test(arn))
      reader.problem(
        certificate?.field ?? '',
        arn,
        'is no certificate of ACM or IAM; write its ARN, such as arn:aws:acm:…:certificate/…',
      );
  }
  if (certificates.length > MOST_CERTIFICATES)
    reader.problem(
      certificate?.field ?? '',
      certificates.length,
      `are too many certificates; a load balancer has at most ${MOST_CERTIFICATES}`,
    );
  const written = annotations.get('ssl-ports');
  const selected = portNumbers(context, written);
  if (written && certificates.length === 0)
    reader.problem(
      written.field,
      written.value,
      'asks for TLS, but there is no certificate; write aws-load-balancer-ssl-cert too',
    );
  return {
    certificates,
    policy: annotations.get('ssl-negotiation-policy')?.value ?? DEFAULT_SSL_POLICY,
    alpn: oneOf(reader, annotations.get('alpn-policy'), ALPN),
    targetProtocol: annotations.get('backend-protocol')?.value.toLowerCase() === 'ssl' ? 'TLS' : 'TCP',
    covers: (ports) => selected.size === 0 || ports.some(({ port }) => selected.has(port)),
  };
}

/** Whether the protocol is on for a port; undefined where the attributes decide. */
function readProxyProtocol(context: Context): (port: number) => boolean | undefined {
  const everywhere = context.annotations.get('proxy-protocol');
  if (everywhere) {
    if (everywhere.value !== '*')
      context.reader.problem(everywhere.field, everywhere.value, 'is not known; write *, or remove it');
    return () => true;
  }
  const written = context.annotations.get('proxy-protocol-per-target-group');
  if (!written) return () => undefined;
  const ports = portNumbers(context, written);
  return (port) => ports.has(port);
}

/** Ports of the Service by number or name. */
function portNumbers({ reader, service }: Context, written: Written | undefined): Set<number> {
  const ports = service.spec.ports ?? [];
  const found = new Set<number>();
  for (const text of list(written)) {
    const match = ports.find(({ port, name }) => String(port) === text || name === text);
    if (match) found.add(match.port);
    else {
      const known = ports.map(({ name, port }) => name ?? port).join(', ');
      reader.problem(written?.field ?? '', text, `is no port of the Service; there are ${known}`);
    }
  }
  return found;
}

function readHealthCheck(context: Context): HealthCheck {
  const { reader, service, annotations, targetType } = context;
  const { externalTrafficPolicy, healthCheckNodePort } = service.spec;
  const local = targetType === 'instance' && externalTrafficPolicy === 'Local' && !!healthCheckNodePort;
  const written = annotations.get('healthcheck-protocol');
  const protocol =
    oneOf(reader, written && { ...written, value: written.value.toUpperCase() }, ['TCP', 'HTTP', 'HTTPS']) ??
    (local ? 'HTTP' : 'TCP');
  const number = (name: Parameters<AwsAnnotations['get']>[0], least: number, most: number) =>
    wholeNumber(reader, annotations.get(name), { least, most });
  const interval = number('healthcheck-interval', 5, 300) ?? 10;
  const timeout = number('healthcheck-timeout', 2, 120) ?? Math.min(interval, local ? 6 : 10);
  if (timeout > interval) {
    const field = (annotations.get('healthcheck-timeout') ?? annotations.get('healthcheck-interval'))?.field;
    reader.problem(
      field ?? '',
      timeout,
      `is longer than the interval of ${interval} seconds; write ${interval} at most`,
    );
  }
  const matcher = annotations.get('healthcheck-success-codes');
  if (matcher && !/^\d{3}([-,]\d{3})*$/.test(matcher.value))
    reader.problem(matcher.field, matcher.value, 'is no list of status codes; write 200, 200,202 or 200-399');
  const path = annotations.get('healthcheck-path');
  if (path && !path.value.startsWith('/'))
    reader.problem(path.field, path.value, 'is no path; write one that begins with /');
  return {
    protocol,
    port: healthCheckPort(context, local ? String(healthCheckNodePort) : 'traffic-port'),
    ...(protocol === 'TCP'
      ? {}
      : { path: path?.value ?? (local ? '/healthz' : '/'), matcher: matcher?.value ?? '200-399' }),
    interval,
    timeout,
    healthyThreshold: number('healthcheck-healthy-threshold', 2, 10) ?? (local ? 2 : 3),
    unhealthyThreshold: number('healthcheck-unhealthy-threshold', 2, 10) ?? (local ? 2 : 3),
  };
}

function healthCheckPort({ reader, service, annotations, targetType }: Context, fallback: string): string {
  const written = annotations.get('healthcheck-port');
  if (!written) return fallback;
  const { field, value } = written;
  if (value === 'traffic-port') return value;
  if (/^[1-9]\d{0,4}$/.test(value) && Number(value) <= 65_535) return value;
  const named = service.spec.ports?.find(({ name }) => name === value);
  const port = targetType === 'instance' ? named?.nodePort : (named?.targetPort ?? named?.port);
  if (typeof port === 'number') return String(port);
  const mend = named
    ? 'leads to a targetPort with a name, which can differ from pod to pod; write the number'
    : 'is no port; write traffic-port, a number, or the name of a port of the Service';
  reader.problem(field, value, mend);
  return fallback;
}

function attributesOf(
  reader: Reader,
  written: Written | undefined,
  table: Parameters<typeof checkAttributes>[3],
): Readonly<Record<string, string>> {
  if (!written) return {};
  const attributes = map(reader, written);
  checkAttributes(reader, written, attributes, table);
  return attributes;
}

/** Without empty values: those of one port override nothing with them. */
function filled(attributes: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== ''));
}

function take<K, V>(from: Map<K, V>, key: K): V | undefined {
  const value = from.get(key);
  from.delete(key);
  return value;
}
