// An emulator of ELBv2 and EC2 over HTTP, as far as network load balancers go: the query protocol, spoken to by the
// real SDK unchanged. It is honest where emulators seldom are: provisioning takes time and may fail, what was just
// made may not be found yet, and quotas, throttling, dependencies and deletion protection hold.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Clock, systemClock } from '../../clock/clock.ts';
import { Cloud } from './cloud.ts';
import * as ec2 from './ec2.ts';
import { Fault } from './fault.ts';
import * as listeners from './listeners.ts';
import * as balancers from './load-balancers.ts';
import { type Params, parseForm, text } from './query.ts';
import * as tags from './tags.ts';
import * as groups from './target-groups.ts';
import { Throttle } from './throttle.ts';
import { type Answer, toXml } from './xml.ts';

type Handler = (cloud: Cloud, params: Params) => Answer;

const ELB: Readonly<Record<string, Handler>> = {
  AddListenerCertificates: listeners.addListenerCertificates,
  AddTags: tags.addTags,
  CreateListener: listeners.createListener,
  CreateLoadBalancer: balancers.createLoadBalancer,
  CreateTargetGroup: groups.createTargetGroup,
  DeleteListener: listeners.deleteListener,
  DeleteLoadBalancer: balancers.deleteLoadBalancer,
  DeleteTargetGroup: groups.deleteTargetGroup,
  DeregisterTargets: groups.deregisterTargets,
  DescribeListenerAttributes: listeners.describeListenerAttributes,
  DescribeListenerCertificates: listeners.describeListenerCertificates,
  DescribeListeners: listeners.describeListeners,
  DescribeLoadBalancerAttributes: balancers.describeLoadBalancerAttributes,
  DescribeLoadBalancers: balancers.describeLoadBalancers,
  DescribeTags: tags.describeTags,
  DescribeTargetGroupAttributes: groups.describeTargetGroupAttributes,
  DescribeTargetGroups: groups.describeTargetGroups,
  DescribeTargetHealth: groups.describeTargetHealth,
  ModifyListener: listeners.modifyListener,
  ModifyListenerAttributes: listeners.modifyListenerAttributes,
  ModifyLoadBalancerAttributes: balancers.modifyLoadBalancerAttributes,
  ModifyTargetGroup: groups.modifyTargetGroup,
  ModifyTargetGroupAttributes: groups.modifyTargetGroupAttributes,
  RegisterTargets: groups.registerTargets,
  RemoveListenerCertificates: listeners.removeListenerCertificates,
  RemoveTags: tags.removeTags,
  SetIpAddressType: balancers.setIpAddressType,
  SetSecurityGroups: balancers.setSecurityGroups,
  SetSubnets: balancers.setSubnets,
};

const EC2: Readonly<Record<string, Handler>> = {
  AuthorizeSecurityGroupIngress: ec2.authorizeIngress,
  CreateSecurityGroup: ec2.createSecurityGroup,
  CreateTags: ec2.createTags,
  DeleteSecurityGroup: ec2.deleteSecurityGroup,
  DeleteTags: ec2.deleteTags,
  DescribeNetworkInterfaces: ec2.describeNetworkInterfaces,
  DescribeRouteTables: ec2.describeRouteTables,
  DescribeSecurityGroups: ec2.describeSecurityGroups,
  DescribeSubnets: ec2.describeSubnets,
  RevokeSecurityGroupIngress: ec2.revokeIngress,
};

export interface Call {
  readonly action: string;
  /** The error's code, where there was one. */
  readonly fault?: string;
}

export interface EmulatorOptions {
  readonly clock?: Clock;
  readonly host?: string;
  /** 0: any. */
  readonly port?: number;
}

export class AwsEmulator {
  readonly cloud: Cloud;
  /** Every call, in order; emptied by whoever counts. */
  readonly calls: Call[] = [];
  /** Whether the answer of a call is lost, before it takes effect or after; for one call at a time. */
  loseAnswer: (action: string) => 'before' | 'after' | 'no' = () => 'no';
  readonly #throttle: Throttle;
  readonly #server: Server;
  #endpoint = '';

  private constructor(cloud: Cloud) {
    this.cloud = cloud;
    this.#throttle = new Throttle(cloud.clock);
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  static async start({
    clock = systemClock,
    host = '127.0.0.1',
    port = 0,
  }: EmulatorOptions = {}): Promise<AwsEmulator> {
    const emulator = new AwsEmulator(new Cloud(clock));
    const server = emulator.#server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, resolve);
    });
    const address = server.address() as AddressInfo; // it listens on a port
    emulator.#endpoint = `http://${host}:${address.port}`;
    return emulator;
  }

  /** For AWS_ENDPOINT_URL, or the `endpoint` of a CloudAccount. */
  get endpoint(): string {
    return this.#endpoint;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer);
    } catch {
      return; // the client went away
    }
    const params = parseForm(Buffer.concat(chunks).toString());
    const action = text(params, 'Action') ?? '';
    const service = text(params, 'Version')?.startsWith('2016') ? 'ec2' : 'elb';
    const lost = this.loseAnswer(action);
    if (lost === 'before') {
      request.socket.destroy();
      return;
    }
    const { status, body } = this.#answer(service, action, params);
    if (lost === 'after') {
      request.socket.destroy();
      return;
    }
    response.writeHead(status, { 'content-type': 'text/xml' }).end(body);
  }

  #answer(service: 'ec2' | 'elb', action: string, params: Params): { status: number; body: string } {
    const id = this.cloud.serial();
    try {
      const answer = this.#call(service, action, params);
      this.calls.push({ action });
      return {
        status: 200,
        body: service === 'ec2' ? ec2Body(action, answer, id) : elbBody(action, answer, id),
      };
    } catch (error) {
      const fault = error instanceof Fault ? error : new Fault('InternalFailure', String(error), 500);
      this.calls.push({ action, fault: fault.code });
      return { status: fault.status, body: service === 'ec2' ? ec2Fault(fault, id) : elbFault(fault, id) };
    }
  }

  #call(service: 'ec2' | 'elb', action: string, params: Params): Answer {
    const { buckets, denied, expired } = this.cloud.behaviour;
    const handler = (service === 'ec2' ? EC2 : ELB)[action];
    if (!handler) throw new Fault('InvalidAction', `the emulator does not know ${action}`);
    if (expired)
      throw new Fault(
        service === 'ec2' ? 'RequestExpired' : 'ExpiredToken',
        'The security token included in the request is expired',
        403,
      );
    if (denied.has(action)) {
      const code = service === 'ec2' ? 'UnauthorizedOperation' : 'AccessDenied';
      throw new Fault(
        code,
        `User is not authorized to perform: ${service === 'ec2' ? 'ec2' : 'elasticloadbalancing'}:${action}`,
        403,
      );
    }
    const kind = bucketOf(action);
    if (buckets && !this.#throttle.take(`${service} ${kind}`, buckets[kind]))
      throw service === 'ec2'
        ? new Fault('RequestLimitExceeded', 'Request limit exceeded.', 503)
        : new Fault('Throttling', 'Rate exceeded');
    return handler(this.cloud, params);
  }
}

/** Elastic Load Balancing API, "API throttling": categories of actions. */
function bucketOf(action: string): 'describe' | 'mutate' | 'register' {
  if (action.startsWith('Describe')) return 'describe';
  return action === 'RegisterTargets' || action === 'DeregisterTargets' ? 'register' : 'mutate';
}

function elbBody(action: string, answer: Answer, id: string): string {
  const result = toXml(`${action}Result`, answer, 'member');
  const metadata = toXml('ResponseMetadata', { RequestId: id }, 'member');
  const namespace = 'http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/';
  return `<${action}Response xmlns="${namespace}">${result}${metadata}</${action}Response>`;
}

function elbFault({ code, message }: Fault, id: string): string {
  const error = { Error: { Type: 'Sender', Code: code, Message: message }, RequestId: id };
  return toXml('ErrorResponse', error, 'member');
}

function ec2Body(action: string, answer: Answer, id: string): string {
  const inner = toXml(action, answer, 'item').slice(action.length + 2, -(action.length + 3));
  const namespace = 'http://ec2.amazonaws.com/doc/2016-11-15/';
  return `<${action}Response xmlns="${namespace}"><requestId>${id}</requestId>${inner}</${action}Response>`;
}

function ec2Fault({ code, message }: Fault, id: string): string {
  const errors = [{ Code: code, Message: message }];
  const body = `<Errors>${errors.map((error) => toXml('Error', error, 'item')).join('')}</Errors>`;
  return `<Response>${body}<RequestID>${id}</RequestID></Response>`;
}
