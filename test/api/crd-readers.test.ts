// The schemas that the API server checks objects with, and the readers in TypeScript, say the same of each field:
// its type, whether it must be there, what it is where it is absent, and which values it may have.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { load } from 'js-yaml';
import { describe, expect, it } from 'vitest';
import { readAdvertisement } from '../../src/api/advertisement.ts';
import { readCloudAccount } from '../../src/api/cloud-account.ts';
import { readPool } from '../../src/api/pool.ts';
import type { Problem, Read } from '../../src/api/problem.ts';
import { readQuota } from '../../src/api/quota.ts';
import { readReservation } from '../../src/api/reservation.ts';
import type { KubeObject } from '../../src/kube/objects.ts';

interface Schema {
  readonly type: 'object' | 'array' | 'string' | 'boolean' | 'integer';
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly required?: readonly string[];
  readonly enum?: readonly string[];
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly minItems?: number;
}

/** A field in an example: its keys from `spec` on, and how messages call it. */
interface Field {
  readonly keys: readonly (string | number)[];
  readonly path: string;
  readonly schema: Schema;
  readonly required: boolean;
}

const selector = {
  matchLabels: { a: 'b' },
  matchExpressions: [{ key: 'c', operator: 'In', values: ['d'] }],
};

/** Every field that there is, with a value that is not its default. */
const EXAMPLES: readonly (readonly [string, (object: KubeObject) => Read<unknown>, object])[] = [
  [
    'ipaddresspools',
    readPool,
    {
      addresses: ['192.0.2.0/24'],
      exclude: ['192.0.2.7'],
      autoAssign: false,
      avoidBuggyIPs: true,
      skipSubnetEnds: true,
      allowNodeAddresses: true,
      reuse: 'least-recent',
      drain: true,
      maxPerNamespace: 5,
      publish: [{ addresses: '192.0.2.0/28', as: '203.0.113.7' }],
      serviceAllocation: {
        priority: 1,
        namespaces: ['a'],
        namespaceSelectors: [selector],
        serviceSelectors: [selector],
      },
    },
  ],
  [
    'l2advertisements',
    readAdvertisement,
    {
      ipAddressPools: ['lan'],
      ipAddressPoolSelectors: [selector],
      nodeSelectors: [selector],
      interfaces: ['eth0'],
      serviceSelectors: [selector],
      preferredNodeSelectors: [{ weight: 5, preference: selector }],
    },
  ],
  [
    'addressreservations',
    readReservation,
    {
      addresses: ['192.0.2.1'],
      service: { namespace: 'default', name: 'web' },
      owner: 'network team',
      expires: '2030-01-01T00:00:00Z',
    },
  ],
  [
    'addressquotas',
    readQuota,
    { maxIPv4: 0, maxIPv6: 7, namespaces: ['shop'], namespaceSelectors: [selector] },
  ],
  [
    'cloudaccounts',
    readCloudAccount,
    {
      provider: 'aws',
      clusterName: 'production',
      default: true,
      aws: {
        region: 'eu-central-1',
        vpcID: 'vpc-0a1b2c3d4e5f60718',
        endpoint: 'https://aws.example.net:4566',
        credentialsSecretRef: { namespace: 'fairlead-system', name: 'aws' },
        scheme: 'internet-facing',
        targetType: 'ip',
        tags: { team: 'network' },
        subnets: ['subnet-1'],
        securityGroupPolicy: 'None',
        rateLimits: {
          read: { perSecond: 1, burst: 2 },
          write: { perSecond: 3, burst: 4 },
          register: { perSecond: 5, burst: 6 },
        },
      },
    },
  ],
];

function specSchema(plural: string): Schema {
  const file = join(import.meta.dirname, `../../deploy/crds/${plural}.yaml`);
  const definition = load(readFileSync(file, 'utf8')) as {
    spec: { versions: [{ schema: { openAPIV3Schema: { properties: { spec: Schema } } } }] };
  }; // our own file
  return definition.spec.versions[0].schema.openAPIV3Schema.properties.spec;
}

/** All fields of the schema, those in the first entry of a list too. Throws where the example is without one. */
function fieldsOf(schema: Schema, example: unknown, keys: Field['keys'] = [], path = 'spec'): Field[] {
  const { properties, items, required = [] } = schema;
  if (items && Array.isArray(example)) {
    const field = { keys: [...keys, 0], path: `${path}[0]`, schema: items, required: false };
    return [field, ...fieldsOf(items, example[0], field.keys, field.path)];
  }
  return Object.entries(properties ?? {}).flatMap(([name, each]) => {
    const value = (example as Record<string, unknown>)[name]; // of a schema with properties
    if (value === undefined) throw new Error(`the example has no ${path}.${name}`);
    const field = {
      keys: [...keys, name],
      path: `${path}.${name}`,
      schema: each,
      required: required.includes(name),
    };
    return [field, ...fieldsOf(each, value, field.keys, field.path)];
  });
}

/** A copy with another value there; undefined: without the field. */
function withValue(example: object, keys: Field['keys'], value: unknown): object {
  const copy = structuredClone(example);
  const last = keys.at(-1) ?? '';
  const parent = keys.slice(0, -1).reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], copy);
  if (value === undefined) delete (parent as Record<string, unknown>)[last];
  else (parent as Record<string, unknown>)[last] = value;
  return copy;
}

const WRONG: Readonly<Record<Schema['type'], unknown>> = {
  object: 'text',
  array: 'text',
  string: 5,
  boolean: 'yes',
  integer: 'many',
};

describe.each(EXAMPLES)('the schema and the reader of %s', (plural, read, example) => {
  const fields = fieldsOf(specSchema(plural), example);
  const readSpec = (spec: object) => read({ metadata: { name: 'x' }, spec } as KubeObject);
  const problems = (spec: object): readonly Problem[] => {
    const outcome = readSpec(spec);
    return outcome.kind === 'invalid' ? outcome.problems : [];
  };
  /** Whether the reader has something against this value of the field. */
  const refuses = ({ keys, path }: Field, value: unknown) =>
    problems(withValue(example, keys, value)).some(({ field }) => field.startsWith(path));
  const failing = (isSo: (field: Field) => boolean) =>
    fields.filter((field) => !isSo(field)).map(({ path }) => path);

  it('have an example in common with every field', () => {
    expect(problems(example)).toEqual([]);
    expect(fields.length).toBeGreaterThan(4);
  });

  it('want the same types', () => {
    expect(failing((field) => refuses(field, WRONG[field.schema.type]))).toEqual([]);
  });

  it('want the same fields to be there', () => {
    const own = fields.filter(({ keys }) => typeof keys.at(-1) === 'string');
    const isDemanded = ({ keys }: Field) => problems(withValue(example, keys, undefined)).length > 0;
    const demanded = own.filter(isDemanded).map(({ path }) => path);
    // What a requirement's operator wants is a rule in CEL.
    const required = own.filter((field) => field.required).map(({ path }) => path);
    expect(demanded.filter((path) => !path.endsWith('].values'))).toEqual(required);
  });

  it('have the same defaults', () => {
    const differing = fields.filter(({ keys, schema }) => {
      if (schema.default === undefined) return false;
      const absent = readSpec(withValue(example, keys, undefined));
      const filled = readSpec(withValue(example, keys, schema.default));
      return !isDeepStrictEqual(absent, filled);
    });
    expect(differing.map(({ path }) => path)).toEqual([]);
  });

  it('offer the same choices, and no other', () => {
    const chosen = fields.filter(({ schema }) => schema.enum);
    for (const field of chosen) {
      for (const choice of field.schema.enum ?? []) {
        const exact = problems(withValue(example, field.keys, choice)).map((each) => each.field);
        expect(exact).not.toContain(field.path);
      }
      expect(refuses(field, 'nonsense')).toBe(true);
    }
  });

  it('have the same bounds', () => {
    const differing = fields.filter((field) => {
      const { minimum, maximum, minLength, minItems } = field.schema;
      const refused = [
        ...(minimum === undefined ? [] : [minimum - 1]),
        ...(maximum === undefined ? [] : [maximum + 1]),
        ...(minLength === undefined ? [] : ['']),
        ...(minItems === undefined ? [] : [[]]),
      ];
      const taken = [minimum, maximum].filter((each) => each !== undefined);
      return refused.some((value) => !refuses(field, value)) || taken.some((value) => refuses(field, value));
    });
    expect(differing.map(({ path }) => path)).toEqual([]);
  });
});
