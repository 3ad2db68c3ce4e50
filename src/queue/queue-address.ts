// Which queue a user asks for by --queue, and how its Redis is reached.

export interface RedisHost {
  readonly host: string;
  readonly port: number;
}

export interface RedisAddress {
  readonly kind: 'redis';
  readonly tls: boolean;
  readonly username?: string;
  readonly password?: string;
  readonly db: number;
  /** Files: certificates of the authority, passwords of Redis and of the sentinels. */
  readonly ca?: string;
  readonly passwordFile?: string;
  readonly sentinelPasswordFile?: string;
  readonly servers:
    | ({ readonly kind: 'one' } & RedisHost)
    | { readonly kind: 'sentinels'; readonly hosts: readonly RedisHost[]; readonly master: string }
    | { readonly kind: 'cluster'; readonly hosts: readonly RedisHost[] };
}

export type QueueAddress = { readonly kind: 'memory' } | RedisAddress;

export type ReadAddress =
  | { readonly kind: 'valid'; readonly value: QueueAddress }
  | { readonly kind: 'invalid'; readonly mend: string };

const SCHEMES = { '': 'one', '+sentinel': 'sentinels', '+cluster': 'cluster' } as const;
const PORTS = { one: 6379, sentinels: 26379, cluster: 6379 } as const;
const FILES = { ca: 'ca', 'password-file': 'passwordFile', 'sentinel-password-file': 'sentinelPasswordFile' };
const EXAMPLE = 'Write memory, or an address such as redis://redis.example:6379.';

/**
 * `memory`, or `redis[s][+sentinel|+cluster]://[[user]:password@]host[:port][,host[:port]…][/path][?file=…&…]`.
 * The path is a database number; with sentinels the master's name, and then the number.
 */
export function readQueueAddress(text: string): ReadAddress {
  if (text === 'memory') return { kind: 'valid', value: { kind: 'memory' } };
  const match =
    /^redis(s?)(\+sentinel|\+cluster|):\/\/(?:([^@/?]*)@)?([^/?@]*)(?:\/([^?]*))?(?:\?(.*))?$/.exec(text);
  if (!match) return invalid(EXAMPLE);
  const [, s, scheme = '', login = '', places = '', path = '', query = ''] = match;
  const kind = SCHEMES[scheme as keyof typeof SCHEMES]; // the expression lets nothing else through
  const hosts: RedisHost[] = [];
  for (const place of places.split(',')) {
    const host = readHost(place, PORTS[kind]);
    if (!host) return invalid(`"${place}" is no host[:port]; an IPv6 address goes in brackets.`);
    hosts.push(host);
  }
  const [first] = hosts;
  if (!first) return invalid(EXAMPLE);
  if (kind === 'one' && hosts.length > 1)
    return invalid('Write one host, or redis+sentinel:// or redis+cluster:// for several.');

  const names = path === '' ? [] : path.split('/');
  const master = kind === 'sentinels' ? names.shift() : undefined;
  if (kind === 'sentinels' && !master)
    return invalid('Name the master that the sentinels watch: redis+sentinel://HOST,HOST/MASTER.');
  const [db = '0', ...rest] = names;
  if (!/^\d{1,4}$/.test(db) || rest.length > 0) return invalid(`"/${path}" is no number of a database.`);
  if (kind === 'cluster' && db !== '0') return invalid('Redis Cluster has the database 0 only.');

  const files: Record<string, string> = {};
  for (const [name, value] of new URLSearchParams(query)) {
    const field = FILES[name as keyof typeof FILES] as string | undefined; // unknown names give undefined
    if (!field) return invalid(`"${name}" is unknown; there are ${Object.keys(FILES).join(', ')}.`);
    if (value === '') return invalid(`"${name}" names no file.`);
    files[field] = value;
  }
  if (files.ca && !s) return invalid('"ca" is for TLS: write rediss:// or leave it out.');
  if (files.sentinelPasswordFile && kind !== 'sentinels')
    return invalid('"sentinel-password-file" is for redis+sentinel://.');

  let [username, password] = ['', ''];
  try {
    const colon = login.indexOf(':');
    password = decodeURIComponent(login.slice(colon + 1));
    username = decodeURIComponent(login.slice(0, Math.max(0, colon)));
  } catch {
    return invalid('Write a % in the password as %25.');
  }
  if (password && files.passwordFile)
    return invalid('Give the password in the address or by password-file, not both.');
  const servers =
    kind === 'one' ? { kind, ...first } : kind === 'cluster' ? { kind, hosts } : { kind, hosts, master };
  return {
    kind: 'valid',
    value: {
      kind: 'redis',
      tls: s === 's',
      db: Number(db),
      ...(username ? { username } : {}),
      ...(password ? { password } : {}),
      ...files,
      servers: servers as RedisAddress['servers'], // there is a master where there are sentinels: see above
    },
  };
}

/** As logs may show it: without the password. */
export function withoutPassword(text: string): string {
  return text.replace(/^([^/]*:\/\/)[^@/?]*@/, '$1…@');
}

function readHost(place: string, port: number): RedisHost | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?$/.exec(place);
  const host = match?.[1] ?? match?.[2];
  const given = Number(match?.[3] ?? port);
  return host && given > 0 && given <= 65_535 ? { host, port: given } : undefined;
}

function invalid(mend: string): ReadAddress {
  return { kind: 'invalid', mend };
}
