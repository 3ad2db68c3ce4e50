// The provider above passes: accounts, when to ask again, and what a restart may forget.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VirtualClock } from '../../../src/clock/virtual-clock.ts';
import type { ServiceObject } from '../../../src/kube/objects.ts';
import type { AwsApi } from '../../../src/providers/aws/aws-api.ts';
import { AwsProvider, type OpenAccount } from '../../../src/providers/aws/aws-provider.ts';
import { CLOUD_ACCOUNT, type Wishes, World } from './world.ts';

const KEY = { key: 'default/web' };
/** Nobody else is at work. */
const ALONE = () => {};

let clock: VirtualClock;
let world: World;
let provider: AwsProvider;
let wishes: Wishes;
let gone: boolean;
let told: string[];

function open(more: Partial<OpenAccount['account']> = {}): OpenAccount {
  return { account: { ...CLOUD_ACCOUNT, ...more }, api: world.api };
}

function start(): AwsProvider {
  const inputs = () => world.inputs(wishes);
  const made = new AwsProvider({
    random: () => 0,
    sources: {
      service: (): ServiceObject | undefined => (gone ? undefined : inputs().service),
      nodes: () => inputs().nodes,
      slices: () => inputs().slices,
    },
  });
  made.setAccounts(new Map([['main', open()]]));
  made.subscribe((key) => told.push(key));
  return made;
}

beforeEach(async () => {
  clock = new VirtualClock();
  world = await World.open(clock);
  [wishes, gone, told] = [{}, false, []];
  provider = start();
});

afterEach(async () => {
  await world.close();
});

describe('the AWS provider', () => {
  it('gives a Service a host name and its account as the source, the same again when asked again', async () => {
    const outcome = await provider.ensure(KEY, ALONE);
    expect(outcome).toEqual({
      kind: 'done',
      addresses: [],
      hostnames: [expect.stringMatching(/^k8s-default-web-/)],
      source: 'main',
      again: expect.any(Number),
    });
    expect(await provider.ensure(KEY, ALONE)).toEqual(outcome);
    expect(await provider.listOwned()).toEqual(['default/web']);
    await provider.remove('default/web', ALONE);
    expect(await provider.listOwned()).toEqual([]);
    expect(world.cloud.loadBalancers.size).toBe(0);
  });

  it('is to be asked again within a minute, and puts right what a hand changed', async () => {
    const { again } = await provider.ensure(KEY, ALONE);
    expect(again).toBeLessThan(60_000);
    world.cloud.listeners.clear();
    await provider.ensure(KEY, ALONE);
    expect(world.cloud.listeners.size).toBe(1);
  });

  it('is to be asked again when AWS may be ready, and shows the name meanwhile', async () => {
    world.cloud.behaviour.provisioning = 20_000;
    const pending = await provider.ensure(KEY, ALONE);
    expect(pending).toMatchObject({
      kind: 'pending',
      reason: 'Provisioning',
      hostnames: [expect.stringMatching(/./)],
    });
    expect(pending.again).toBeLessThanOrEqual(20_000);
    await clock.advance(20_000);
    expect(await provider.ensure(KEY, ALONE)).toMatchObject({ kind: 'done' });
  });

  it('says which account is missing, and asks again when accounts come', async () => {
    provider.setAccounts(new Map());
    expect(await provider.ensure(KEY, ALONE)).toMatchObject({
      kind: 'pending',
      reason: 'NoCloudAccount',
      message: expect.stringContaining('spec.default: true'),
    });
    wishes = { annotations: { 'fairlead.dev/cloud-account': 'second' } };
    expect(await provider.ensure(KEY, ALONE)).toMatchObject({
      reason: 'NoCloudAccount',
      message: expect.stringContaining('"second"'),
    });
    provider.setAccounts(new Map([['second', open({ name: 'second', isDefault: false })]]));
    expect(told).toContain('default/web');
    expect(await provider.ensure(KEY, ALONE)).toMatchObject({ kind: 'done', source: 'second' });
  });

  it('removes from the old account what moved to a new one, after the new one serves', async () => {
    const second = open({ name: 'second', isDefault: false, clusterName: 'other' });
    provider.setAccounts(
      new Map([
        ['main', open()],
        ['second', second],
      ]),
    );
    await provider.ensure(KEY, ALONE);
    wishes = { annotations: { 'fairlead.dev/cloud-account': 'second' } };
    world.cloud.behaviour.release = 30_000;
    expect(await provider.ensure(KEY, ALONE)).toMatchObject({
      kind: 'pending',
      reason: 'Settling',
      source: 'second',
    });
    await clock.advance(30_000);
    expect(await provider.ensure(KEY, ALONE)).toMatchObject({ kind: 'done', source: 'second' });
    expect(world.cloud.securityGroups.size).toBe(1);
    expect([...world.cloud.loadBalancers.values()].map(({ tags }) => tags['elbv2.k8s.aws/cluster'])).toEqual([
      'other',
    ]);
  });

  it('says by name what cannot be changed, and keeps serving', async () => {
    await provider.ensure(KEY, ALONE);
    wishes = { annotations: { name: 'edge' } };
    expect(await provider.ensure(KEY, ALONE)).toMatchObject({
      kind: 'refused',
      reason: 'NotChangeable',
      hostnames: [expect.any(String)],
    });
  });

  it('keeps the name that the status shows where the wishes are wrong', async () => {
    await world.ensure();
    wishes = { annotations: { scheme: 'x' } };
    expect(await provider.ensure(KEY, ALONE)).toMatchObject({
      kind: 'refused',
      reason: 'InvalidRequest',
      hostnames: [world.hostname],
    });
    expect(await provider.keep(KEY)).toEqual({ addresses: [], hostnames: [world.hostname] });
  });

  it('after a restart removes what an earlier process made', async () => {
    await world.ensure();
    provider = start();
    await provider.remove('default/web', ALONE);
    expect(world.cloud.loadBalancers.size).toBe(0);
  });

  it('sends AWS nothing more once another controller may be at work on the Service', async () => {
    let left = 4;
    const lost = new Error('the lease is lost');
    const untilLost = () => {
      if (left-- === 0) throw lost;
    };
    const guarded: AwsApi = (action, input, beforeSending) => {
      beforeSending?.();
      return world.api(action, input);
    };
    provider.setAccounts(new Map([['main', { ...open(), api: guarded }]]));
    await expect(provider.ensure(KEY, untilLost)).rejects.toBe(lost);
    expect(world.cloud.loadBalancers.size).toBe(0);
    await provider.ensure(KEY, ALONE);
    left = 2;
    await expect(provider.remove('default/web', untilLost)).rejects.toBe(lost);
    expect(world.cloud.loadBalancers.size).toBe(1);
  });

  it('does not forget what AWS has not let go of yet', async () => {
    await provider.ensure(KEY, ALONE);
    gone = true;
    world.cloud.behaviour.release = 30_000;
    await expect(provider.remove('default/web', ALONE)).rejects.toMatchObject({
      name: 'RemovalPending',
      reason: 'Settling',
    });
    expect(await provider.listOwned()).toEqual(['default/web']);
    await clock.advance(30_000);
    await provider.remove('default/web', ALONE);
    expect(world.cloud.securityGroups.size).toBe(0);
  });
});
