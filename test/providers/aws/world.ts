// A Service, its account, and the emulator behind the real SDK, for tests of passes.
import { expect } from 'vitest';
import type { CloudAccount } from '../../../src/api/cloud-account.ts';
import type { Clock } from '../../../src/clock/clock.ts';
import type { NodeObject, ServiceObject } from '../../../src/kube/objects.ts';
import { AwsEmulator } from '../../../src/lab/aws/emulator.ts';
import type { AwsAction, AwsActions, AwsApi } from '../../../src/providers/aws/aws-api.ts';
import type { Owner } from '../../../src/providers/aws/ownership.ts';
import {
  ensure,
  type Inputs,
  type PassResult,
  type RemovalResult,
  remove,
} from '../../../src/providers/aws/pass.ts';
import { type AwsConnection, connectAws } from '../../../src/providers/aws/sdk.ts';
import { ACCOUNT, CERTIFICATE, service } from '../../api/aws-builders.ts';

export const CLOUD_ACCOUNT: CloudAccount = {
  name: 'main',
  clusterName: 'demo',
  isDefault: true,
  aws: ACCOUNT,
};
export const CLUSTER_UID = '00000000-aaaa-bbbb-cccc-000000000000';
const CREDENTIALS = { accessKeyId: 'test', secretAccessKey: 'test' };

export interface Wishes {
  readonly annotations?: Readonly<Record<string, string>>;
  readonly spec?: Partial<ServiceObject['spec']>;
  readonly meta?: Partial<ServiceObject['metadata']>;
  readonly nodes?: readonly string[];
}

/** A controller that died at a call. */
class Killed extends Error {}

export class World {
  readonly emulator: AwsEmulator;
  readonly #connection: AwsConnection;
  /** Calls without an answer. */
  #underWay = 0;
  /** What the Service's status shows. */
  hostname: string | undefined;

  private constructor(emulator: AwsEmulator, connection: AwsConnection) {
    this.emulator = emulator;
    this.#connection = connection;
    for (const each of ['a', 'b', 'c']) emulator.cloud.addInstance(instance(each));
    emulator.cloud.certificates.add(CERTIFICATE).add(`${CERTIFICATE}2`);
  }

  static async open(clock: Clock): Promise<World> {
    const emulator = await AwsEmulator.start({ clock });
    const connection = await connectAws({ region: ACCOUNT.region, endpoint: emulator.endpoint }, CREDENTIALS);
    return new World(emulator, connection);
  }

  async close(): Promise<void> {
    this.#connection.close();
    await this.emulator.close();
  }

  get cloud(): AwsEmulator['cloud'] {
    return this.emulator.cloud;
  }

  readonly api: AwsApi = async (action, input) => {
    this.#underWay++;
    try {
      return await this.#connection.api(action, input);
    } finally {
      this.#underWay--;
    }
  };

  /** Resolves when no call is under way, and what follows from the last one has begun. */
  async quiet(): Promise<void> {
    do await new Promise(setImmediate);
    while (this.#underWay > 0);
  }

  inputs({ annotations, spec, meta, nodes = ['a', 'b'] }: Wishes = {}): Inputs {
    const shown = this.hostname
      ? { status: { loadBalancer: { ingress: [{ hostname: this.hostname }] } } }
      : {};
    return {
      clusterUid: CLUSTER_UID,
      service: { ...service(annotations, spec, meta), ...shown },
      nodes: nodes.map(
        (name): NodeObject => ({
          metadata: { name },
          spec: { providerID: `aws:///eu-central-1a/${instance(name)}` },
          status: { conditions: [{ type: 'Ready', status: 'True' }] },
        }),
      ),
      slices: [
        {
          metadata: { name: 'web-1' },
          addressType: 'IPv4',
          ports: [{ name: 'web', port: 8080 }],
          endpoints: [{ addresses: ['10.0.0.11'] }, { addresses: ['10.0.0.12'] }],
        },
      ],
    };
  }

  async ensure(wishes: Wishes = {}, api = this.api): Promise<PassResult> {
    const result = await ensure(api, CLOUD_ACCOUNT, this.inputs(wishes));
    if (result.hostname) this.hostname = result.hostname;
    return result;
  }

  /** As often as the result asks for. */
  async settle(wishes: Wishes = {}): Promise<string> {
    for (let i = 0; i < 6; i++) {
      const result = await this.ensure(wishes);
      if (result.kind === 'done') return result.hostname;
      if (result.kind === 'refused') expect.fail(`${result.reason}: ${result.message}`);
    }
    return expect.fail('the Service never settles');
  }

  owner(): Owner {
    return {
      cluster: 'demo',
      key: 'default/web',
      uid: service().metadata.uid ?? '',
      clusterUid: CLUSTER_UID,
    };
  }

  remove(api = this.api, explicitName?: string): Promise<RemovalResult> {
    return remove(api, CLOUD_ACCOUNT, this.owner(), { explicitName, last: true });
  }

  /** An API whose process dies at the writing call of that number, before the call took effect or after it. */
  dyingAt(call: number, when: 'before' | 'after'): AwsApi {
    let calls = 0;
    let dead = false;
    return async <A extends AwsAction>(action: A, input: AwsActions[A][0]): Promise<AwsActions[A][1]> => {
      const mine = action.startsWith('Describe') ? -1 : calls++;
      if (dead || (mine === call && when === 'before')) {
        dead = true;
        throw new Killed(`dead at ${action}`);
      }
      const output = await this.api(action, input);
      if (mine !== call) return output;
      dead = true;
      throw new Killed(`dead after ${action}`);
    };
  }

  /** Whether it died; anything else that goes wrong is a failure. */
  static died(work: Promise<unknown>): Promise<boolean> {
    return work.then(
      () => false,
      (error) => {
        if (error instanceof Killed) return true;
        throw error;
      },
    );
  }

  /** How many calls read and how many write, since the last time. */
  takeCalls(): { readonly reads: number; readonly writes: number; readonly actions: readonly string[] } {
    const actions = this.emulator.calls.splice(0).map(({ action }) => action);
    const writes = actions.filter((action) => !action.startsWith('Describe'));
    return { reads: actions.length - writes.length, writes: writes.length, actions: writes };
  }

  /** What there is, without identifiers, so that two ends can be compared. */
  essence(): unknown {
    const { loadBalancers, listeners, targetGroups, securityGroups } = this.cloud;
    const resource = (arn: string) => targetGroups.get(arn)?.tags['service.k8s.aws/resource'];
    return structuredClone({
      loadBalancers: [...loadBalancers.values()].map(
        ({ scheme, mappings, groups, attributes, tags, addressType }) => ({
          scheme,
          addressType,
          subnets: mappings.map(({ subnet }) => subnet),
          groups: groups.map((id) => securityGroups.get(id)?.name),
          attributes,
          tags,
        }),
      ),
      listeners: [...listeners.values()]
        .map(({ port, protocol, certificate, extraCertificates, attributes, targetGroup, tags }) => ({
          port,
          protocol,
          certificate,
          extraCertificates,
          attributes,
          to: resource(targetGroup),
          tags,
        }))
        .sort((a, b) => a.port - b.port),
      targetGroups: [...targetGroups.values()]
        .map(({ protocol, targetType, healthCheck, attributes, tags, targets }) => ({
          protocol,
          targetType,
          healthCheck,
          attributes,
          tags,
          targets: [...targets.values()]
            .filter(({ drainsUntil }) => drainsUntil === undefined)
            .map(({ id, port }) => `${id}:${port}`)
            .sort(),
        }))
        .sort((a, b) => (JSON.stringify(a.tags) < JSON.stringify(b.tags) ? -1 : 1)),
      securityGroups: [...securityGroups.values()].map(({ name, rules, tags }) => ({
        name,
        rules: rules.map((rule) => JSON.stringify(rule)).sort(),
        tags,
      })),
    });
  }
}

export function instance(node: string): string {
  return `i-0000000${node}`;
}
