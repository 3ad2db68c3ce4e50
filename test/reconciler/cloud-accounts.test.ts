// Accounts and their credentials over time: Secrets that change, expire, go and come back, with the real SDK against
// the emulator.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import type { Condition, KubeObject, SecretObject } from '../../src/kube/objects.ts';
import { CLOUD_ACCOUNTS, SECRETS } from '../../src/kube/resources.ts';
import { Store } from '../../src/kube/store.ts';
import { AwsEmulator } from '../../src/lab/aws/emulator.ts';
import { createLogger } from '../../src/observe/logger.ts';
import type { AwsProvider, OpenAccount } from '../../src/providers/aws/aws-provider.ts';
import { connectAws } from '../../src/providers/aws/sdk.ts';
import { MemoryTokenBuckets } from '../../src/queue/token-buckets.ts';
import { CloudAccounts } from '../../src/reconciler/cloud-accounts.ts';
import { LoopbackApi } from './loopback-api.ts';

const PATIENCE = { timeout: 10_000, interval: 5 };

let clock: VirtualClock;
let emulator: AwsEmulator;
let secrets: Store<SecretObject>;
let accounts: Store<KubeObject>;
/** As the provider was given them, each time. */
let given: ReadonlyMap<string, OpenAccount>[];
let closed: number;
let version: number;
let stop: AbortController;

beforeEach(async () => {
  clock = new VirtualClock();
  emulator = await AwsEmulator.start({ clock });
  [secrets, accounts] = [new Store(), new Store()];
  [given, closed, version, stop] = [[], 0, 0, new AbortController()];
});

afterEach(async () => {
  stop.abort();
  await emulator.close();
});

function writeSecret(key: string): void {
  const encoded = Buffer.from(key).toString('base64');
  secrets.set({
    metadata: { name: 'aws', namespace: 'default', resourceVersion: `${++version}` },
    data: { AWS_ACCESS_KEY_ID: encoded, AWS_SECRET_ACCESS_KEY: encoded },
  });
}

function writeAccount(name = 'main'): void {
  const account: KubeObject & { readonly spec: object } = {
    metadata: { name, resourceVersion: '1' },
    spec: {
      provider: 'aws',
      clusterName: name,
      aws: {
        region: 'eu-central-1',
        vpcID: emulator.cloud.vpc,
        endpoint: emulator.endpoint,
        credentialsSecretRef: { namespace: 'default', name: 'aws' },
      },
    },
  };
  accounts.set(account);
}

async function start(): Promise<void> {
  const api = new LoopbackApi();
  api.follow(SECRETS, secrets);
  api.follow(CLOUD_ACCOUNTS, accounts);
  const provider = {
    setAccounts: (all: ReadonlyMap<string, OpenAccount>) => void given.push(all),
    orphansIn: () => [],
  } as unknown as AwsProvider; // no more of it is asked
  const cloudAccounts = new CloudAccounts({
    api,
    accounts,
    provider,
    ready: async () => {},
    connect: async (account, credentials) => {
      const connection = await connectAws(account, credentials);
      const close = () => {
        closed++;
        connection.close();
      };
      return { ...connection, close };
    },
    leads: () => true,
    clock,
    log: createLogger({ component: 'test', level: 'silent' }),
  });
  await cloudAccounts.start(stop.signal, new MemoryTokenBuckets(clock));
}

/** By the connection that the provider has now. */
async function call(name = 'main'): Promise<void> {
  await given.at(-1)?.get(name)?.api('DescribeLoadBalancers', {});
}

/** Once what there is to say was written. */
async function works(name = 'main'): Promise<Partial<Condition>> {
  await clock.advance(200);
  const { status } = accounts.get(name) as { status?: { conditions?: readonly Condition[] } }; // our own kind
  return status?.conditions?.find(({ type }) => type === 'Works') ?? {};
}

describe('credentials of a cloud account', () => {
  it('are taken from a Secret that was rotated, within half a minute and without a restart', async () => {
    emulator.cloud.behaviour.keys = new Set(['one']);
    writeSecret('one');
    writeAccount();
    await start();
    await call();
    expect(await works()).toMatchObject({ status: 'True' });

    emulator.cloud.behaviour.keys = new Set(['two']);
    await expect(call()).rejects.toMatchObject({ name: 'InvalidClientTokenId' });
    expect(await works()).toMatchObject({ status: 'False', reason: 'CredentialsInvalid' });

    writeSecret('two');
    await clock.advance(30_000);
    await vi.waitFor(() => expect(given).toHaveLength(2), PATIENCE);
    await call();
    expect(await works()).toMatchObject({ status: 'True' });
    // What is under way on the old connection may end.
    expect(closed).toBe(0);
    await clock.advance(60_000);
    expect(closed).toBe(1);
  });

  it('that expired are told, and work again when they do', async () => {
    writeSecret('one');
    writeAccount();
    await start();
    emulator.cloud.behaviour.expired = true;
    await expect(call()).rejects.toMatchObject({ name: 'ExpiredToken' });
    expect(await works()).toMatchObject({
      status: 'False',
      reason: 'CredentialsInvalid',
      message: expect.stringContaining('check the credentials of the CloudAccount'),
    });
    emulator.cloud.behaviour.expired = false;
    await call();
    expect(await works()).toMatchObject({ status: 'True' });
  });

  it('stay as they are while their Secret is away or unchanged, and are told missing where there were none', async () => {
    writeSecret('one');
    writeAccount();
    await start();
    secrets.delete('default/aws');
    writeAccount('second');
    await clock.advance(30_000);
    await call();
    expect(await works('second')).toMatchObject({ status: 'False', reason: 'CredentialsMissing' });
    writeSecret('one');
    for (let i = 0; i < 3 && given.length < 2; i++) await clock.advance(30_000);
    await vi.waitFor(() => expect(given.at(-1)?.has('second')).toBe(true), PATIENCE);
    // The same as before: nobody is asked to look at the Services of an account that did not change.
    expect(given.at(-1)?.get('main')).toBe(given[0]?.get('main'));
    const times = given.length;
    await clock.advance(120_000);
    expect(given).toHaveLength(times);
    expect(closed).toBe(0);
  });

  it('that lack a key are named', async () => {
    secrets.set({ metadata: { name: 'aws', namespace: 'default', resourceVersion: '1' }, data: {} });
    writeAccount();
    await start();
    expect(await works()).toMatchObject({
      reason: 'CredentialsMissing',
      message: expect.stringContaining('Secret/default/aws lacks AWS_ACCESS_KEY_ID'),
    });
  });
});

it('closes an account that goes before anything else was heard of it', async () => {
  writeSecret('one');
  writeAccount();
  await start();
  expect([...(given.at(-1)?.keys() ?? [])]).toEqual(['main']);
  accounts.delete('main');
  await vi.waitFor(() => expect([...(given.at(-1)?.keys() ?? [])]).toEqual([]), PATIENCE);
  expect(closed).toBe(1);
});
