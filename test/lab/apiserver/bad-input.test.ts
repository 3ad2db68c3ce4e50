import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { load } from 'js-yaml';
import { describe, expect, it } from 'vitest';
import { VirtualClock } from '../../../src/clock/virtual-clock.ts';
import { ApiError } from '../../../src/lab/apiserver/api-error.ts';
import type { Json } from '../../../src/lab/apiserver/api-object.ts';
import { Cluster } from '../../../src/lab/apiserver/cluster.ts';
import { presented, resourceId } from '../../../src/lab/apiserver/kinds.ts';
import { tableOf } from '../../../src/lab/apiserver/table.ts';
import type { Range } from '../../../src/net/range.ts';
import { CRD_FOLDER } from './running-server.ts';

const OPTIONS = { manager: 'test', dryRun: false, fieldValidation: 'Warn', force: true, warn: () => {} };
const NOW = new Date('2026-01-01T00:00:00Z');
const PATCHES = ['merge-patch+json', 'strategic-merge-patch+json', 'apply-patch+yaml', 'json-patch+json'];

const PREFIX: Range = { family: 'IPv4', first: 0x0a60_0000n, last: 0x0a60_00ffn };

function newCluster(): Cluster {
  const cluster = new Cluster({ clock: new VirtualClock(), servicePrefixes: [PREFIX], history: 10 });
  const definitions = cluster.find({
    group: 'apiextensions.k8s.io',
    version: 'v1',
    plural: 'customresourcedefinitions',
  });
  if (!definitions) throw new Error('there are no definitions');
  for (const file of readdirSync(CRD_FOLDER))
    cluster.registry.create(
      definitions,
      undefined,
      load(readFileSync(join(CRD_FOLDER, file), 'utf8')),
      OPTIONS,
    );
  return cluster;
}

const COUNT = newCluster().kinds.length;

/** Anything, often below a name that some kind knows, so that it is looked at. */
const NAMES = [
  'metadata',
  'spec',
  'status',
  'name',
  'labels',
  'annotations',
  'finalizers',
  'ownerReferences',
  'managedFields',
  'ports',
  'port',
  'type',
  'selector',
  'clusterIPs',
  'ipFamilies',
  'loadBalancer',
  'ingress',
  'conditions',
  'endpoints',
  'addresses',
  'group',
  'names',
  'plural',
  'versions',
  'schema',
  'openAPIV3Schema',
  'properties',
  'data',
  'stringData',
  'regarding',
  'involvedObject',
  'serviceAllocation',
  'containers',
  'nodeInfo',
] as const;
const { anything } = fc.letrec<{ anything: Json }>((tie) => ({
  anything: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom<Json>(null, true, 0, -1, 1.5, '', 'x', 'ClusterIP', 'LoadBalancer', '10.0.0.1', 'IPv4'),
    fc.array(tie('anything'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom(...NAMES), tie('anything'), { maxKeys: 4 }),
  ),
}));
const body = fc.oneof(
  anything,
  fc.record(
    { metadata: fc.oneof(fc.constant<Json>({ name: 'a' }), anything), spec: anything, status: anything },
    { requiredKeys: ['metadata'] },
  ),
);

/** A refusal is an answer; anything else that is thrown would be a 500. */
function attempt(write: () => unknown): void {
  try {
    write();
  } catch (error) {
    if (!(error instanceof ApiError) || error.code >= 500) throw error;
  }
}

describe('whatever a client sends', () => {
  it('is taken or refused, and what was taken can be shown', () => {
    const write = fc.record({
      kind: fc.nat(COUNT - 1),
      body,
      verb: fc.constantFrom('create', 'update', ...PATCHES),
      onStatus: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(write, { minLength: 1, maxLength: 4 }), (writes) => {
        const cluster = newCluster();
        const { registry, storage } = cluster;
        for (const { kind: index, body, verb, onStatus } of writes) {
          const kind = cluster.kinds[index];
          if (!kind) continue;
          const namespace = kind.resource.namespaced ? 'default' : undefined;
          const subresource = onStatus && kind.hasStatus ? 'status' : undefined;
          const place = { kind, namespace, name: 'a', subresource };
          attempt(() => registry.create(kind, namespace, { metadata: { name: 'a' } }, OPTIONS));
          const given = structuredClone(body) as Json;
          if (verb === 'create') attempt(() => registry.create(kind, namespace, given, OPTIONS));
          else if (verb === 'update') attempt(() => registry.update(place, given, OPTIONS));
          else attempt(() => registry.patch(place, `application/${verb}`, given, OPTIONS));
        }
        for (const kind of cluster.kinds) {
          const objects = storage.list(resourceId(kind)).map((object) => presented(kind, object));
          expect(JSON.stringify(tableOf(kind, objects, {}, NOW))).toContain('Table');
        }
      }),
      { numRuns: 300 },
    );
  });
});
