// Desired states from Services, for tests of plans.
import { expect } from 'vitest';
import { readAwsService } from '../../../src/api/aws-request.ts';
import { describe as sentence } from '../../../src/api/problem.ts';
import type { ServiceObject } from '../../../src/kube/objects.ts';
import { type DesiredState, desiredState } from '../../../src/providers/aws/model.ts';
import { ACCOUNT, service } from '../../api/aws-builders.ts';

export interface Wishes {
  readonly annotations?: Readonly<Record<string, string>>;
  readonly spec?: Partial<ServiceObject['spec']>;
  readonly subnets?: readonly string[];
  readonly targets?: readonly string[];
  /** Of the targets, which let load balancers in. */
  readonly groups?: readonly string[];
}

export function desired({
  annotations,
  spec,
  subnets = ['subnet-a', 'subnet-b'],
  targets = ['i-1', 'i-2'],
  groups,
}: Wishes = {}): DesiredState {
  const read = readAwsService(service(annotations, spec), ACCOUNT);
  const request = read.kind === 'valid' ? read.value : expect.fail(read.problems.map(sentence).join('\n'));
  return desiredState({
    request,
    owner: { cluster: 'demo', key: request.key, uid: request.uid, clusterUid: '' },
    vpc: ACCOUNT.vpcId,
    scheme: request.scheme ?? 'internal',
    subnets: request.subnets.length > 0 ? request.subnets : subnets,
    givenGroups: request.securityGroups.kind === 'given' ? request.securityGroups.groups : [],
    nodeGroups: groups,
    targets: new Map(
      request.listeners.map(({ port, nodePort = 8080 }) => [
        port,
        targets.map((id) => ({ id, port: nodePort })),
      ]),
    ),
  });
}
