// Connections to the Redis that --queue names, and whether it may serve.
import { readFileSync } from 'node:fs';
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import type { RedisAddress } from '../queue-address.ts';
import type { Client } from './bull.ts';

/** Milliseconds without an answer to what was asked, after which a connection is as good as dead. */
const SILENCE = 3_000;
/** Milliseconds between two tries to connect. */
const RECONNECT = { first: 50, most: 1_000 };
/** BRPOPLPUSH, scripts that may ask for the time before they write, maxmemory_policy in INFO: all older than this. */
const OLDEST = [6, 2] as const;

const REFUSED = /^(WRONGPASS|NOAUTH|NOPERM|ERR AUTH|ERR invalid password)/;
/** What Redis answered to a login that it refused: ioredis ends the connection then, and commands only hear of that. */
const refusals = new WeakMap<Client, string>();

/** Opens one connection; it connects by itself, and again whenever it breaks. Throws when a file cannot be read. */
export function connectRedis(address: RedisAddress): Client {
  const { servers, username, db } = address;
  const password = address.passwordFile ? read(address.passwordFile).trim() : address.password;
  const tls = address.tls ? { tls: address.ca ? { ca: read(address.ca) } : {} } : {};
  const options: RedisOptions = {
    ...(username ? { username } : {}),
    ...(password ? { password } : {}),
    ...tls,
    db,
    socketTimeout: SILENCE,
    connectTimeout: SILENCE,
    // What fails is tried again by the queue, which knows what is still wanted.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    // With any other number, commands under way when a connection breaks would never be heard of again.
    maxRetriesPerRequest: 0,
    enableReadyCheck: false, // bull insists
    retryStrategy: pause,
    disableClientInfo: true,
  };
  const client = open(servers, options, address);
  client.on('error', (error: Error) => REFUSED.test(error.message) && refusals.set(client, error.message));
  client.on('ready', () => refusals.delete(client));
  return client;
}

function open(servers: RedisAddress['servers'], options: RedisOptions, address: RedisAddress): Client {
  switch (servers.kind) {
    case 'one':
      return new Redis({ ...options, host: servers.host, port: servers.port });
    case 'sentinels': {
      const file = address.sentinelPasswordFile;
      return new Redis({
        ...options,
        sentinels: [...servers.hosts],
        name: servers.master,
        sentinelRetryStrategy: pause,
        ...(file ? { sentinelPassword: read(file).trim() } : {}),
        ...(options.tls ? { sentinelTLS: options.tls, enableTLSForSentinelMode: true } : {}),
      });
    }
    case 'cluster':
      return new Cluster([...servers.hosts], {
        redisOptions: options,
        enableOfflineQueue: false,
        enableReadyCheck: false,
        clusterRetryStrategy: pause,
        // Hosts as they are: a certificate names them, not their addresses.
        ...(options.tls ? { dnsLookup: (host, callback) => callback(null, host) } : {}),
      });
  }
}

function pause(times: number): number {
  return Math.min(RECONNECT.most, RECONNECT.first * times);
}

function read(file: string): string {
  return readFileSync(file, 'utf8');
}

export type Fitness =
  | { readonly kind: 'fit' }
  /** Nobody answers, or not yet. */
  | { readonly kind: 'away'; readonly error: string }
  | { readonly kind: 'unfit'; readonly problem: string };

/** Whether the Redis behind the connection may serve as the queue. */
export async function fitness(client: Client): Promise<Fitness> {
  let info: string;
  try {
    info = await client.info();
  } catch (error) {
    const message = refusals.get(client) ?? (error as Error).message; // ioredis throws nothing else
    if (REFUSED.test(message))
      return { kind: 'unfit', problem: `it refuses us: ${message}; give the right user and password` };
    return { kind: 'away', error: message };
  }
  const field = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? '';
  const version = field('redis_version');
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]))
    return {
      kind: 'unfit',
      problem: `its version ${version} is too old; ${OLDEST.join('.')} or newer serves`,
    };
  const policy = field('maxmemory_policy');
  if (policy !== 'noeviction')
    return {
      kind: 'unfit',
      problem:
        `its maxmemory-policy is "${policy}", by which it throws away keys that are waiting; ` +
        'set it to noeviction',
    };
  if (field('role') === 'slave')
    return {
      kind: 'unfit',
      problem: 'it is a replica, which takes no writes; give the address of its master',
    };
  return { kind: 'fit' };
}
