import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FieldTree, Json } from '../../../src/lab/apiserver/api-object.ts';
import {
  differing,
  intersect,
  leaves,
  overlay,
  removeFields,
  subtract,
  treeOf,
  union,
} from '../../../src/lab/apiserver/field-tree.ts';
import { builtInListTypes } from '../../../src/lab/apiserver/list-keys.ts';

const types = builtInListTypes('Service');

const port = fc.record(
  {
    port: fc.constantFrom(80, 443, 53),
    protocol: fc.constantFrom('TCP', 'UDP'),
    name: fc.constantFrom('a', 'b'),
    targetPort: fc.constantFrom(1, 2),
  },
  { requiredKeys: ['port', 'protocol'] },
);
const service: fc.Arbitrary<Json> = fc
  .record(
    {
      metadata: fc.record(
        {
          labels: fc.dictionary(fc.constantFrom('a', 'b'), fc.constantFrom('1', '2')),
          finalizers: fc.uniqueArray(fc.constantFrom('x', 'y')),
        },
        { requiredKeys: [] },
      ),
      spec: fc.record(
        {
          type: fc.constantFrom('ClusterIP', 'LoadBalancer'),
          selector: fc.dictionary(fc.constantFrom('a', 'b'), fc.constantFrom('1', '2')),
          externalIPs: fc.array(fc.constantFrom('192.0.2.1', '192.0.2.2'), { maxLength: 2 }),
          ports: fc.uniqueArray(port, { selector: (each) => `${each.port}/${each.protocol}`, maxLength: 4 }),
        },
        { requiredKeys: [] },
      ),
    },
    { requiredKeys: [] },
  )
  .map((value) => value as unknown as Json); // plain JSON, whose optional fields are absent

const fields = (value: Json): FieldTree => treeOf(value, '', types);

describe('a set of fields', () => {
  it('names elements by their keys, sets by their values, and atomic values whole', () => {
    const tree = fields({
      metadata: { finalizers: ['x'] },
      spec: { selector: { a: '1' }, externalIPs: ['192.0.2.1'], ports: [{ port: 80, protocol: 'TCP' }] },
    });
    expect(leaves(tree)).toEqual([
      '.metadata.finalizers[="x"]',
      '.spec.selector',
      '.spec.externalIPs',
      '.spec.ports[port=80,protocol="TCP"]',
      '.spec.ports[port=80,protocol="TCP"].port',
      '.spec.ports[port=80,protocol="TCP"].protocol',
    ]);
  });

  it('less another and with it again is the union of both', () => {
    fc.assert(
      fc.property(service, service, (a, b) => {
        const both = union(fields(a), fields(b));
        expect(union(subtract(fields(a), fields(b)), fields(b))).toEqual(both);
        expect(union(fields(b), fields(a))).toEqual(both);
      }),
    );
  });

  it('less itself is nothing, and has itself in common with itself', () => {
    fc.assert(
      fc.property(service, (a) => {
        expect(subtract(fields(a), fields(a))).toEqual({});
        expect(leaves(intersect(fields(a), fields(a)))).toEqual(leaves(fields(a)));
      }),
    );
  });

  it('of an object that is laid over another is there with its values', () => {
    fc.assert(
      fc.property(service, service, (live, applied) => {
        const merged = overlay(live, applied, '', types);
        expect(differing(fields(applied), merged, applied, types)).toEqual({});
        // What only the live one had is as it was.
        const kept = subtract(fields(live), fields(applied));
        expect(differing(kept, merged, live, types)).toEqual({});
      }),
    );
  });

  it('differs nowhere from itself, and somewhere from another value', () => {
    fc.assert(
      fc.property(service, (a) => {
        expect(differing(fields(a), a, a, types)).toEqual({});
      }),
    );
    const a: Json = { spec: { type: 'ClusterIP', ports: [{ port: 80, protocol: 'TCP', targetPort: 1 }] } };
    const b: Json = { spec: { type: 'ClusterIP', ports: [{ port: 80, protocol: 'TCP', targetPort: 2 }] } };
    expect(leaves(differing(fields(a), a, b, types))).toEqual([
      '.spec.ports[port=80,protocol="TCP"].targetPort',
    ]);
  });

  it('that is removed is gone, and nothing else', () => {
    fc.assert(
      fc.property(service, service, (a, b) => {
        const gone = subtract(fields(b), fields(a));
        const merged = overlay(a, b, '', types);
        const rest = removeFields(merged, gone, types);
        expect(leaves(intersect(fields(rest), gone))).toEqual([]);
        expect(differing(fields(a), merged, rest, types)).toEqual({});
      }),
    );
  });
});
