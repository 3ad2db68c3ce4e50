// CloudAccount (fairlead.dev/v1alpha1): where load balancers are made, with whose credentials, and what a Service
// gets that does not say otherwise.
import type { KubeObject } from '../kube/objects.ts';
import type { Problem, Read } from './problem.ts';
import { Reader } from './reader.ts';

export const SCHEMES = ['internal', 'internet-facing'] as const;
export type Scheme = (typeof SCHEMES)[number];
export const TARGET_TYPES = ['instance', 'ip'] as const;
export type TargetType = (typeof TARGET_TYPES)[number];
/**
 * `Managed`: a front-end group for each Service that names none, and rules in the groups of nodes and pods;
 * `FrontEnd`: without those rules; `None`: load balancers without groups.
 */
export const SECURITY_GROUP_POLICIES = ['Managed', 'FrontEnd', 'None'] as const;
export type SecurityGroupPolicy = (typeof SECURITY_GROUP_POLICIES)[number];

export interface CloudAccount {
  readonly name: string;
  /** In tags and in the hashes of names: two clusters in one cloud account need two. */
  readonly clusterName: string;
  /** Serves the Services that name no account. */
  readonly isDefault: boolean;
  readonly aws: AwsAccount;
}

export interface AwsAccount {
  readonly region: string;
  readonly vpcId: string;
  /** Undefined: the SDK's own, which reads AWS_ENDPOINT_URL. */
  readonly endpoint?: string;
  /** Undefined: the SDK's own chain (environment, web identity, instance role). */
  readonly credentialsSecret?: { readonly namespace: string; readonly name: string };
  readonly scheme: Scheme;
  readonly targetType: TargetType;
  readonly tags: Readonly<Record<string, string>>;
  /** Subnet ids or Name tags; empty: discovery. */
  readonly subnets: readonly string[];
  readonly securityGroupPolicy: SecurityGroupPolicy;
  readonly rateLimits: RateLimits;
}

export interface RateLimit {
  readonly perSecond: number;
  readonly burst: number;
}

/** Token buckets of this account, by what a call does. */
export interface RateLimits {
  readonly read: RateLimit;
  readonly write: RateLimit;
  /** RegisterTargets and DeregisterTargets. */
  readonly register: RateLimit;
}

// AWS refills its buckets with 10/s up to 40 for reads, 3/s and 4/s up to 20 for writes and registrations. What a call
// takes on its way must not make two bursts of one: a quarter of each is left.
const DEFAULT_LIMITS: RateLimits = {
  read: { perSecond: 8, burst: 30 },
  write: { perSecond: 3, burst: 15 },
  register: { perSecond: 4, burst: 15 },
};

export const ACCOUNT_FIELDS = ['provider', 'clusterName', 'default', 'aws'] as const;
export const AWS_ACCOUNT_FIELDS = [
  'region',
  'vpcID',
  'endpoint',
  'credentialsSecretRef',
  'scheme',
  'targetType',
  'tags',
  'subnets',
  'securityGroupPolicy',
  'rateLimits',
] as const;
export const SECRET_REF_FIELDS = ['namespace', 'name'] as const;
export const RATE_LIMITS_FIELDS = ['read', 'write', 'register'] as const;
export const RATE_LIMIT_FIELDS = ['perSecond', 'burst'] as const;

export function readCloudAccount(object: KubeObject): Read<CloudAccount> {
  const { name } = object.metadata;
  const reader = new Reader(`CloudAccount/${name}`);
  const spec = reader.fields('spec', (object as { spec?: unknown }).spec, ACCOUNT_FIELDS);
  choice(reader, 'spec.provider', spec.provider, ['aws'], undefined);
  const account: CloudAccount = {
    name,
    clusterName: text(reader, 'spec.clusterName', spec.clusterName, /^[\w.:/=+@-]{1,100}$/, 'production'),
    isDefault: reader.boolean('spec.default', spec.default, false),
    aws: readAws(reader, spec.aws),
  };
  return reader.problems.length > 0
    ? { kind: 'invalid', problems: reader.problems }
    : { kind: 'valid', value: account };
}

function readAws(reader: Reader, value: unknown): AwsAccount {
  const at = 'spec.aws';
  const aws = reader.fields(at, value, AWS_ACCOUNT_FIELDS);
  const secret = aws.credentialsSecretRef;
  return {
    region: text(reader, `${at}.region`, aws.region, /^[a-z]{2}(-[a-z]+)+-\d$/, 'eu-central-1'),
    vpcId: text(reader, `${at}.vpcID`, aws.vpcID, /^vpc-[0-9a-f]{8,17}$/, 'vpc-0a1b2c3d4e5f60718'),
    ...(aws.endpoint === undefined ? {} : { endpoint: endpoint(reader, aws.endpoint) }),
    ...(secret === undefined ? {} : { credentialsSecret: secretRef(reader, secret) }),
    scheme: choice(reader, `${at}.scheme`, aws.scheme, SCHEMES, 'internal'),
    targetType: choice(reader, `${at}.targetType`, aws.targetType, TARGET_TYPES, 'instance'),
    tags: readTags(reader, aws.tags),
    subnets: reader.strings(`${at}.subnets`, aws.subnets),
    securityGroupPolicy: choice(
      reader,
      `${at}.securityGroupPolicy`,
      aws.securityGroupPolicy,
      SECURITY_GROUP_POLICIES,
      'Managed',
    ),
    rateLimits: readLimits(reader, aws.rateLimits),
  };
}

function secretRef(reader: Reader, value: unknown): { namespace: string; name: string } {
  const at = 'spec.aws.credentialsSecretRef';
  const { namespace, name } = reader.fields(at, value, SECRET_REF_FIELDS);
  const pattern = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;
  return {
    namespace: text(reader, `${at}.namespace`, namespace, pattern, 'fairlead-system'),
    name: text(reader, `${at}.name`, name, pattern, 'aws-credentials'),
  };
}

function endpoint(reader: Reader, value: unknown): string {
  return text(reader, 'spec.aws.endpoint', value, /^https?:\/\/[^\s/]+\/?$/, 'https://aws.example.net:4566');
}

/** Keys that say whose a cloud object is. */
const OWN_TAG = /^(aws:|elbv2\.k8s\.aws\/|service\.k8s\.aws\/|fairlead\.dev\/)/i;

/** What is wrong with a tag, or undefined (AWS General Reference, "Tag your AWS resources"). */
export function mendOfTag(key: string, value: string): string | undefined {
  if (OWN_TAG.test(key))
    return 'is a key that says whose the object is, and not for users; choose another key';
  if (key.length > 128 || value.length > 256)
    return 'is too long; a key has at most 128 characters, a value 256';
  if (!/^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u.test(key + value))
    return 'has a character that tags may not have; use letters, digits, spaces and _ . : / = + - @';
  return undefined;
}

function readTags(reader: Reader, value: unknown): Readonly<Record<string, string>> {
  const at = 'spec.aws.tags';
  if (value === undefined || value === null) return {};
  if (typeof value !== 'object' || Array.isArray(value)) {
    reader.problem(at, value, 'is no map; write key: value below it');
    return {};
  }
  const tags: Record<string, string> = {};
  for (const [key, each] of Object.entries(value)) {
    const mend = typeof each === 'string' ? mendOfTag(key, each) : 'is no text; put it in quotes';
    if (mend) reader.problem(`${at}.${key}`, each, mend);
    else tags[key] = String(each);
  }
  return tags;
}

function readLimits(reader: Reader, value: unknown): RateLimits {
  const limits = reader.fields('spec.aws.rateLimits', value, RATE_LIMITS_FIELDS);
  const limit = (kind: keyof RateLimits): RateLimit => {
    const at = `spec.aws.rateLimits.${kind}`;
    const { perSecond, burst } = reader.fields(at, limits[kind], RATE_LIMIT_FIELDS);
    const { perSecond: rate, burst: most } = DEFAULT_LIMITS[kind];
    return {
      perSecond: reader.integer(`${at}.perSecond`, perSecond, { least: 1, most: 1000, fallback: rate }),
      burst: reader.integer(`${at}.burst`, burst, { least: 1, most: 1000, fallback: most }),
    };
  };
  return { read: limit('read'), write: limit('write'), register: limit('register') };
}

function text(reader: Reader, field: string, value: unknown, pattern: RegExp, example: string): string {
  if (typeof value === 'string' && pattern.test(value)) return value;
  const mend = value === undefined ? 'is missing' : 'is not of the right form';
  reader.problem(field, value ?? '', `${mend}; write something like ${example}`);
  return '';
}

/** `fallback` undefined: must be written. */
function choice<T extends string>(
  reader: Reader,
  field: string,
  value: unknown,
  choices: readonly [T, ...T[]],
  fallback: T | undefined,
): T {
  const chosen = choices.find((each) => each === value);
  if (chosen) return chosen;
  if (value === undefined && fallback !== undefined) return fallback;
  reader.problem(field, value ?? '', `is not known; write ${choices.join(' or ')}`);
  return choices[0];
}

export interface CheckedAccounts {
  readonly accounts: ReadonlyMap<string, CloudAccount>;
  /** By account name; these are set aside. */
  readonly problems: ReadonlyMap<string, readonly Problem[]>;
}

/** Reads all accounts at once. Of several defaults the first by name is the one. */
export function checkAccounts(objects: readonly KubeObject[]): CheckedAccounts {
  const accounts = new Map<string, CloudAccount>();
  const problems = new Map<string, readonly Problem[]>();
  let chosen: string | undefined;
  for (const object of [...objects].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))) {
    const { name } = object.metadata;
    const read = readCloudAccount(object);
    if (read.kind === 'invalid') {
      problems.set(name, read.problems);
    } else if (read.value.isDefault && chosen !== undefined) {
      const mend = `is said by CloudAccount "${chosen}" already; write false in one of the two`;
      problems.set(name, [{ object: `CloudAccount/${name}`, field: 'spec.default', value: 'true', mend }]);
    } else {
      if (read.value.isDefault) chosen = name;
      accounts.set(name, read.value);
    }
  }
  return { accounts, problems };
}
