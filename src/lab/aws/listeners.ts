// ELBv2: listeners and their certificates.
import type { Cloud, CloudListener } from './cloud.ts';
import { refuse } from './fault.ts';
import { find as findLoadBalancer, keyValues } from './load-balancers.ts';
import { pageOf } from './paging.ts';
import { number, type Params, pairs, required, structures, text, texts } from './query.ts';
import { find as findTargetGroup } from './target-groups.ts';
import type { Answer } from './xml.ts';

/** Which target group protocols a listener may forward to (Elastic Load Balancing API, CreateListener). */
const FORWARDS: Readonly<Record<string, readonly string[]>> = {
  TCP: ['TCP', 'TCP_UDP'],
  TLS: ['TCP', 'TLS'],
  UDP: ['UDP', 'TCP_UDP'],
  TCP_UDP: ['TCP_UDP'],
  QUIC: ['QUIC', 'TCP_QUIC'],
  TCP_QUIC: ['TCP_QUIC'],
};

export function createListener(cloud: Cloud, params: Params): Answer {
  const balancer = findLoadBalancer(cloud, required(params, 'LoadBalancerArn'));
  const port = number(params, 'Port') ?? refuse('ValidationError', 'Port is missing');
  const settings = { port, ...readSettings(cloud, params, balancer.arn) };
  const same = cloud.listenersOf(balancer.arn).find((each) => each.port === port);
  if (same) {
    if (same.protocol !== settings.protocol || same.targetGroup !== settings.targetGroup)
      refuse('DuplicateListener', `A listener already exists on port ${port} for this load balancer`);
    return { Listeners: [describe(same)] };
  }
  if (cloud.listenersOf(balancer.arn).length >= cloud.behaviour.quotas.listeners)
    refuse('TooManyListeners', 'The maximum number of listeners has been reached');
  const made: CloudListener = {
    arn: `${balancer.arn.replace(':loadbalancer/', ':listener/')}/${cloud.serial()}`,
    loadBalancer: balancer.arn,
    createdAt: cloud.clock.now(),
    extraCertificates: [],
    attributes: settings.protocol === 'TCP' ? { 'tcp.idle_timeout.seconds': '350' } : {},
    tags: pairs(params, 'Tags'),
    ...settings,
  };
  cloud.listeners.set(made.arn, made);
  return { Listeners: [describe(made)] };
}

export function modifyListener(cloud: Cloud, params: Params): Answer {
  const listener = find(cloud, required(params, 'ListenerArn'));
  const settings = readSettings(cloud, params, listener.loadBalancer, listener);
  Object.assign(listener, settings);
  if (settings.protocol !== 'TLS') listener.extraCertificates = [];
  if (settings.protocol === 'TCP')
    listener.attributes = { 'tcp.idle_timeout.seconds': '350', ...listener.attributes };
  else listener.attributes = {};
  return { Listeners: [describe(listener)] };
}

export function deleteListener(cloud: Cloud, params: Params): Answer {
  cloud.listeners.delete(find(cloud, required(params, 'ListenerArn')).arn);
  return {};
}

export function describeListeners(cloud: Cloud, params: Params): Answer {
  const arns = texts(params, 'ListenerArns');
  if (arns.length > 0) return { Listeners: arns.map((arn) => describe(find(cloud, arn))) };
  const balancer = findLoadBalancer(cloud, required(params, 'LoadBalancerArn'));
  const visible = cloud.listenersOf(balancer.arn).filter(({ createdAt }) => !cloud.isTooNew(createdAt));
  const { page, marker } = pageOf(visible, params);
  return { Listeners: page.map(describe), NextMarker: marker };
}

export function addListenerCertificates(cloud: Cloud, params: Params): Answer {
  const listener = find(cloud, required(params, 'ListenerArn'));
  const arns = structures(params, 'Certificates').map((each) => required(each, 'CertificateArn'));
  for (const arn of arns) checkCertificate(cloud, arn);
  const all = new Set([...listener.extraCertificates, ...arns]);
  if (all.size + 1 > cloud.behaviour.quotas.certificates)
    refuse('TooManyCertificates', 'The maximum number of certificates has been reached');
  listener.extraCertificates = [...all];
  return { Certificates: arns.map((CertificateArn) => ({ CertificateArn, IsDefault: false })) };
}

export function removeListenerCertificates(cloud: Cloud, params: Params): Answer {
  const listener = find(cloud, required(params, 'ListenerArn'));
  const arns = structures(params, 'Certificates').map((each) => required(each, 'CertificateArn'));
  if (arns.some((arn) => arn === listener.certificate))
    refuse('OperationNotPermitted', 'The default certificate cannot be removed');
  listener.extraCertificates = listener.extraCertificates.filter((arn) => !arns.includes(arn));
  return {};
}

export function describeListenerCertificates(cloud: Cloud, params: Params): Answer {
  const { certificate, extraCertificates } = find(cloud, required(params, 'ListenerArn'));
  return {
    Certificates: [
      ...(certificate ? [{ CertificateArn: certificate, IsDefault: true }] : []),
      ...extraCertificates.map((CertificateArn) => ({ CertificateArn, IsDefault: false })),
    ],
  };
}

export function describeListenerAttributes(cloud: Cloud, params: Params): Answer {
  return { Attributes: keyValues(find(cloud, required(params, 'ListenerArn')).attributes) };
}

export function modifyListenerAttributes(cloud: Cloud, params: Params): Answer {
  const listener = find(cloud, required(params, 'ListenerArn'));
  const changes = pairs(params, 'Attributes');
  for (const key of Object.keys(changes))
    if (!Object.hasOwn(listener.attributes, key))
      refuse('ValidationError', `Listener attribute key '${key}' is not recognized`);
  listener.attributes = { ...listener.attributes, ...changes };
  return { Attributes: keyValues(listener.attributes) };
}

function find(cloud: Cloud, arn: string): CloudListener {
  const found = cloud.listeners.get(arn);
  if (!found || cloud.isTooNew(found.createdAt))
    return refuse('ListenerNotFound', `Listener '${arn}' not found`);
  return found;
}

type Settings = Pick<CloudListener, 'protocol' | 'targetGroup' | 'certificate' | 'sslPolicy' | 'alpnPolicy'>;

function readSettings(cloud: Cloud, params: Params, loadBalancer: string, before?: CloudListener): Settings {
  const protocol = text(params, 'Protocol') ?? before?.protocol ?? '';
  const forwards =
    FORWARDS[protocol] ?? refuse('UnsupportedProtocol', `Protocol '${protocol}' is not supported`);
  const [action] = structures(params, 'DefaultActions');
  const target = (action && text(action, 'TargetGroupArn')) ?? before?.targetGroup;
  const group = findTargetGroup(cloud, target ?? refuse('ValidationError', 'DefaultActions is missing'));
  if (!forwards.includes(group.protocol))
    refuse(
      'InvalidConfigurationRequest',
      `A ${protocol} listener cannot forward to a ${group.protocol} target group`,
    );
  if (cloud.usersOf(group.arn).some((each) => each !== loadBalancer))
    refuse(
      'TargetGroupAssociationLimit',
      `The target group '${group.arn}' is attached to another load balancer`,
    );
  const [given] = structures(params, 'Certificates');
  const certificate = (given && text(given, 'CertificateArn')) ?? before?.certificate;
  if (certificate) checkCertificate(cloud, certificate);
  if (protocol === 'TLS' && !certificate)
    refuse('ValidationError', 'A certificate must be specified for TLS listeners');
  const secure = protocol === 'TLS';
  const [alpn] = texts(params, 'AlpnPolicy');
  return {
    protocol,
    targetGroup: group.arn,
    certificate: secure ? certificate : undefined,
    sslPolicy: secure
      ? (text(params, 'SslPolicy') ?? before?.sslPolicy ?? 'ELBSecurityPolicy-2016-08')
      : undefined,
    alpnPolicy: secure ? (alpn ?? before?.alpnPolicy) : undefined,
  };
}

function checkCertificate(cloud: Cloud, arn: string): void {
  if (!cloud.certificates.has(arn)) refuse('CertificateNotFound', `Certificate '${arn}' not found`);
}

function describe(listener: CloudListener): Answer {
  const { arn, loadBalancer, port, protocol, targetGroup, certificate, sslPolicy, alpnPolicy } = listener;
  return {
    ListenerArn: arn,
    LoadBalancerArn: loadBalancer,
    Port: port,
    Protocol: protocol,
    Certificates: certificate ? [{ CertificateArn: certificate }] : [],
    SslPolicy: sslPolicy,
    AlpnPolicy: alpnPolicy ? [alpnPolicy] : [],
    DefaultActions: [
      {
        Type: 'forward',
        TargetGroupArn: targetGroup,
        ForwardConfig: { TargetGroups: [{ TargetGroupArn: targetGroup, Weight: 1 }] },
      },
    ],
  };
}
