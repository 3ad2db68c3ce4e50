// The schemas that the API server has of our kinds, held to what the readers know and the issue promises.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { load } from 'js-yaml';
import { describe, expect, it } from 'vitest';
import { ADVERTISEMENT_FIELDS, PREFERRED_NODE_FIELDS } from '../../src/api/advertisement.ts';
import {
  ACCOUNT_FIELDS,
  AWS_ACCOUNT_FIELDS,
  RATE_LIMIT_FIELDS,
  RATE_LIMITS_FIELDS,
  SCHEMES,
  SECRET_REF_FIELDS,
  SECURITY_GROUP_POLICIES,
  TARGET_TYPES,
} from '../../src/api/cloud-account.ts';
import { POOL_ALLOCATION_FIELDS, POOL_FIELDS } from '../../src/api/pool.ts';
import { QUOTA_FIELDS } from '../../src/api/quota.ts';
import { RESERVATION_FIELDS, RESERVED_SERVICE_FIELDS } from '../../src/api/reservation.ts';
import { ip } from '../../src/net/address.ts';
import { announcementOf, MOST_NODES } from '../../src/status/announcement.ts';

interface Schema {
  readonly type?: string;
  readonly description?: string;
  readonly maxItems?: number;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly additionalProperties?: Schema;
  readonly enum?: readonly string[];
}

interface Definition {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly group: string;
    readonly scope: string;
    readonly names: { readonly kind: string; readonly plural: string };
    readonly versions: readonly {
      readonly name: string;
      readonly served: boolean;
      readonly storage: boolean;
      readonly subresources: object;
      readonly additionalPrinterColumns: readonly { readonly name: string; readonly jsonPath: string }[];
      readonly schema: { readonly openAPIV3Schema: Schema };
    }[];
  };
}

function definition(plural: string): Definition {
  const file = join(import.meta.dirname, `../../deploy/crds/${plural}.yaml`);
  return load(readFileSync(file, 'utf8')) as Definition; // a broken shape fails the tests below
}

/** The schema at a path such as `spec.serviceAllocation.namespaces[]`. */
function at(plural: string, path: string): Schema {
  let schema = definition(plural).spec.versions[0]?.schema.openAPIV3Schema;
  for (const part of path.split('.')) {
    schema = schema?.properties?.[part.replace('[]', '')];
    if (part.endsWith('[]')) schema = schema?.items;
  }
  return schema ?? expect.fail(`${plural} has no ${path}`);
}

function fields(plural: string, path: string): string[] {
  return Object.keys(at(plural, path).properties ?? {}).sort();
}

const POOLS = 'ipaddresspools';
const ADVERTISEMENTS = 'l2advertisements';
const ACCOUNTS = 'cloudaccounts';
const RESERVATIONS = 'addressreservations';
const QUOTAS = 'addressquotas';

describe.each([
  [POOLS, 'IPAddressPool'],
  [ADVERTISEMENTS, 'L2Advertisement'],
  [ACCOUNTS, 'CloudAccount'],
  [RESERVATIONS, 'AddressReservation'],
  [QUOTAS, 'AddressQuota'],
])('the definition of %s', (plural, kind) => {
  const { metadata, spec } = definition(plural);

  it('is cluster-scoped fairlead.dev/v1alpha1 with a status subresource', () => {
    expect(metadata.name).toBe(`${plural}.fairlead.dev`);
    expect(spec).toMatchObject({ group: 'fairlead.dev', scope: 'Cluster', names: { kind, plural } });
    expect(spec.versions).toHaveLength(1);
    expect(spec.versions[0]).toMatchObject({
      name: 'v1alpha1',
      served: true,
      storage: true,
      subresources: { status: {} },
    });
  });

  it('shows in its columns whether the object is valid, and how old it is', () => {
    const columns = spec.versions[0]?.additionalPrinterColumns.map(({ name }) => name);
    expect(columns).toEqual(expect.arrayContaining(['Valid', 'Age']));
  });

  it('has conditions as metav1 has them', () => {
    expect(fields(plural, 'status.conditions[]')).toEqual(
      ['lastTransitionTime', 'message', 'observedGeneration', 'reason', 'status', 'type'].sort(),
    );
  });
});

describe('the definition of announcements', () => {
  const ANNOUNCEMENTS = 'announcements';

  it('has the fields that agents write', () => {
    const { status } = announcementOf(
      {
        address: ip('192.0.2.1'),
        services: [],
        pool: 'lan',
        node: 'a',
        since: new Date(),
        interfaces: [],
        reason: '',
        standbys: [],
        losers: new Map(),
        conflict: undefined,
        keeps: false,
        verdict: undefined,
      },
      undefined,
      new Date(),
    );
    expect(fields(ANNOUNCEMENTS, 'status')).toEqual(Object.keys(status).sort());
    for (const list of ['standbys', 'excluded'])
      expect(fields(ANNOUNCEMENTS, `status.${list}[]`)).toEqual(['node', 'reason']);
    for (const list of ['services', 'standbys', 'excluded'])
      expect(at(ANNOUNCEMENTS, `status.${list}`).maxItems).toBe(MOST_NODES);
  });

  it('is cluster-scoped, and shows in its columns who announces what, since when, and how it goes', () => {
    const { spec } = definition(ANNOUNCEMENTS);
    expect(spec).toMatchObject({ group: 'fairlead.dev', scope: 'Cluster', names: { kind: 'Announcement' } });
    expect(spec.versions[0]?.additionalPrinterColumns.map(({ name }) => name)).toEqual([
      'Address',
      'Node',
      'Interfaces',
      'Announced',
      'Conflict',
      'Verified',
      'Since',
      'Services',
      'Why',
    ]);
  });
});

describe('the schema', () => {
  it.each([
    [POOLS, 'spec', POOL_FIELDS],
    [POOLS, 'spec.serviceAllocation', POOL_ALLOCATION_FIELDS],
    [ADVERTISEMENTS, 'spec', ADVERTISEMENT_FIELDS],
    [RESERVATIONS, 'spec', RESERVATION_FIELDS],
    [RESERVATIONS, 'spec.service', RESERVED_SERVICE_FIELDS],
    [QUOTAS, 'spec', QUOTA_FIELDS],
    [ADVERTISEMENTS, 'spec.preferredNodeSelectors[]', PREFERRED_NODE_FIELDS],
    [ACCOUNTS, 'spec', ACCOUNT_FIELDS],
    [ACCOUNTS, 'spec.aws', AWS_ACCOUNT_FIELDS],
    [ACCOUNTS, 'spec.aws.credentialsSecretRef', SECRET_REF_FIELDS],
    [ACCOUNTS, 'spec.aws.rateLimits', RATE_LIMITS_FIELDS],
    [ACCOUNTS, 'spec.aws.rateLimits.read', RATE_LIMIT_FIELDS],
    [ACCOUNTS, 'spec.aws.rateLimits.write', RATE_LIMIT_FIELDS],
    [ACCOUNTS, 'spec.aws.rateLimits.register', RATE_LIMIT_FIELDS],
  ])('of %s has under %s the fields that the reader knows', (plural, path, known) => {
    expect(fields(plural, path)).toEqual([...known].sort());
  });

  it.each([
    [POOLS, 'spec.serviceAllocation.namespaceSelectors[]'],
    [POOLS, 'spec.serviceAllocation.serviceSelectors[]'],
    [QUOTAS, 'spec.namespaceSelectors[]'],
    [ADVERTISEMENTS, 'spec.ipAddressPoolSelectors[]'],
    [ADVERTISEMENTS, 'spec.nodeSelectors[]'],
    [ADVERTISEMENTS, 'spec.serviceSelectors[]'],
    [ADVERTISEMENTS, 'spec.preferredNodeSelectors[].preference'],
  ])('of %s has a label selector at %s', (plural, path) => {
    expect(fields(plural, path)).toEqual(['matchExpressions', 'matchLabels']);
    expect(at(plural, `${path}.matchLabels`).additionalProperties).toEqual({ type: 'string' });
    expect(fields(plural, `${path}.matchExpressions[]`)).toEqual(['key', 'operator', 'values']);
    expect(at(plural, `${path}.matchExpressions[].operator`).enum).toEqual([
      'In',
      'NotIn',
      'Exists',
      'DoesNotExist',
    ]);
  });

  it.each([POOLS, ADVERTISEMENTS, ACCOUNTS, RESERVATIONS, QUOTAS, 'announcements'])(
    'of %s describes every field, and bounds every list, as rules in CEL need it',
    (plural) => {
      const bare: string[] = [];
      const look = (schema: Schema, path: string) => {
        for (const [name, each] of Object.entries(schema.properties ?? {})) {
          const at = `${path}.${name}`;
          if (each.description === undefined && at !== '.metadata') bare.push(`${at}: description`);
          if (each.type === 'array' && each.maxItems === undefined && !at.startsWith('.status'))
            bare.push(`${at}: maxItems`);
          look(each, at);
          if (each.items) look(each.items, `${at}[]`);
        }
      };
      look(definition(plural).spec.versions[0]?.schema.openAPIV3Schema ?? {}, '');
      expect(bare).toEqual([]);
    },
  );

  it('of a pool shows in its columns how many addresses there are, in use and free', () => {
    const columns = definition(POOLS).spec.versions[0]?.additionalPrinterColumns.map(({ name }) => name);
    expect(columns?.slice(1, 4)).toEqual(['Total-IPv4', 'Used-IPv4', 'Available-IPv4']);
  });

  it('of a pool counts addresses in its status', () => {
    expect(fields(POOLS, 'status')).toEqual([
      'assignedIPv4',
      'assignedIPv6',
      'availableIPv4',
      'availableIPv6',
      'conditions',
      'totalIPv4',
      'totalIPv6',
    ]);
    expect(at(POOLS, 'status.availableIPv6')).toMatchObject({ type: 'integer', format: 'int64' });
  });

  it('of an account offers the choices that the reader knows', () => {
    expect(at(ACCOUNTS, 'spec.aws.scheme').enum).toEqual(SCHEMES);
    expect(at(ACCOUNTS, 'spec.aws.targetType').enum).toEqual(TARGET_TYPES);
    expect(at(ACCOUNTS, 'spec.aws.securityGroupPolicy').enum).toEqual(SECURITY_GROUP_POLICIES);
  });
});
