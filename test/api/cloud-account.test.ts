import { describe, expect, it } from 'vitest';
import { checkAccounts, readCloudAccount } from '../../src/api/cloud-account.ts';
import { describe as sentence } from '../../src/api/problem.ts';
import type { KubeObject } from '../../src/kube/objects.ts';

const AWS = { region: 'eu-central-1', vpcID: 'vpc-0a1b2c3d4e5f60718' };

function object(spec: unknown, name = 'main'): KubeObject {
  return { metadata: { name }, spec } as KubeObject; // `spec` is what users write
}

function problemsOf(spec: unknown): string[] {
  const read = readCloudAccount(object(spec));
  return read.kind === 'invalid' ? read.problems.map(sentence) : [];
}

describe('a CloudAccount', () => {
  it('needs provider, cluster name, region and VPC alone', () => {
    const read = readCloudAccount(object({ provider: 'aws', clusterName: 'demo', aws: AWS }));
    expect(read).toEqual({
      kind: 'valid',
      value: {
        name: 'main',
        clusterName: 'demo',
        isDefault: false,
        aws: {
          region: 'eu-central-1',
          vpcId: 'vpc-0a1b2c3d4e5f60718',
          scheme: 'internal',
          targetType: 'instance',
          tags: {},
          subnets: [],
          securityGroupPolicy: 'Managed',
          rateLimits: {
            read: { perSecond: 8, burst: 30 },
            write: { perSecond: 3, burst: 15 },
            register: { perSecond: 4, burst: 15 },
          },
        },
      },
    });
  });

  it('has every field that it promises', () => {
    const read = readCloudAccount(
      object({
        provider: 'aws',
        clusterName: 'demo',
        default: true,
        aws: {
          ...AWS,
          endpoint: 'http://127.0.0.1:4566',
          credentialsSecretRef: { namespace: 'fairlead-system', name: 'aws' },
          scheme: 'internet-facing',
          targetType: 'ip',
          tags: { team: 'red' },
          subnets: ['subnet-1', 'public b'],
          securityGroupPolicy: 'None',
          rateLimits: { write: { perSecond: 1, burst: 2 } },
        },
      }),
    );
    expect(read).toMatchObject({
      value: {
        isDefault: true,
        aws: {
          endpoint: 'http://127.0.0.1:4566',
          credentialsSecret: { namespace: 'fairlead-system', name: 'aws' },
          scheme: 'internet-facing',
          targetType: 'ip',
          tags: { team: 'red' },
          subnets: ['subnet-1', 'public b'],
          securityGroupPolicy: 'None',
          rateLimits: { read: { perSecond: 8, burst: 30 }, write: { perSecond: 1, burst: 2 } },
        },
      },
    });
  });

  it('says everything that is wrong with it at once', () => {
    const problems = problemsOf({
      provider: 'gcp',
      clusterName: '',
      aws: {
        region: 'Frankfurt',
        vpcID: 'vpc',
        endpoint: 'ftp://x',
        scheme: 'public',
        tags: { 'aws:x': 'y', n: 1 },
        rateLimits: { read: { burst: 0 } },
        zone: 'a',
      },
    });
    for (const part of [
      'spec.aws.zone "zone" is no field here',
      'spec.provider "gcp" is not known; write aws',
      'spec.clusterName "" is not of the right form',
      'spec.aws.region "Frankfurt" is not of the right form; write something like eu-central-1',
      'spec.aws.vpcID "vpc"',
      'spec.aws.endpoint "ftp://x"',
      'spec.aws.scheme "public" is not known; write internal or internet-facing',
      'spec.aws.tags.aws:x "y" is a key that says whose the object is',
      'spec.aws.tags.n "1" is no text',
      'spec.aws.rateLimits.read.burst "0" is no whole number from 1 to 1000',
    ])
      expect(problems).toContainEqual(expect.stringContaining(part));
    expect(problems).toHaveLength(10);
    expect(problemsOf(undefined)).toHaveLength(4);
  });
});

describe('several CloudAccounts', () => {
  it('may have one default', () => {
    const spec = { provider: 'aws', clusterName: 'demo', default: true, aws: AWS };
    const { accounts, problems } = checkAccounts([object(spec, 'b'), object(spec, 'a'), object({}, 'c')]);
    expect([...accounts.keys()]).toEqual(['a']);
    expect(problems.get('b')?.map(sentence)).toEqual([
      'CloudAccount/b: spec.default "true" is said by CloudAccount "a" already; write false in one of the two',
    ]);
    expect(problems.has('c')).toBe(true);
  });
});
