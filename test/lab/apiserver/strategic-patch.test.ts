import { describe, expect, it } from 'vitest';
import type { Json } from '../../../src/lab/apiserver/api-object.ts';
import { builtInListTypes } from '../../../src/lab/apiserver/list-keys.ts';
import { strategicPatch } from '../../../src/lab/apiserver/strategic-patch.ts';

describe('a strategic merge patch', () => {
  const types = builtInListTypes('Service');
  const ports = [
    { name: 'http', port: 80, protocol: 'TCP' },
    { name: 'https', port: 443, protocol: 'TCP' },
  ];
  const service: Json = { metadata: { finalizers: ['a'] }, spec: { ports, externalIPs: ['192.0.2.1'] } };
  const patched = (patch: Json) =>
    strategicPatch(service, patch, types) as { spec: { ports: Json; externalIPs: Json } };

  it('changes the port that it names and leaves the others', () => {
    const { spec } = patched({ spec: { ports: [{ port: 443, targetPort: 8443 }] } });
    expect(spec.ports).toEqual([ports[0], { ...ports[1], targetPort: 8443 }]);
  });

  it('adds a port that is not there', () => {
    expect(patched({ spec: { ports: [{ port: 81 }] } }).spec.ports).toEqual([...ports, { port: 81 }]);
  });

  it('deletes, and replaces, where it is told to', () => {
    expect(patched({ spec: { ports: [{ $patch: 'delete', port: 80 }] } }).spec.ports).toEqual([ports[1]]);
    expect(patched({ spec: { ports: [{ $patch: 'replace' }, { port: 81 }] } }).spec.ports).toEqual([
      { port: 81 },
    ]);
    expect(patched({ spec: { $patch: 'replace', type: 'ClusterIP' } }).spec).toEqual({ type: 'ClusterIP' });
  });

  it('orders ports as $setElementOrder says, which kubectl edit sends', () => {
    const order = { '$setElementOrder/ports': [{ port: 443 }, { port: 80 }] };
    expect(patched({ spec: { ...order, ports: [{ port: 80, name: 'web' }] } }).spec.ports).toEqual([
      ports[1],
      { ...ports[0], name: 'web' },
    ]);
  });

  it('replaces lists that have no key', () => {
    expect(patched({ spec: { externalIPs: ['192.0.2.9'] } }).spec.externalIPs).toEqual(['192.0.2.9']);
  });

  it('adds to sets, and takes from them by $deleteFromPrimitiveList', () => {
    expect(strategicPatch(service, { metadata: { finalizers: ['b'] } }, types)).toMatchObject({
      metadata: { finalizers: ['a', 'b'] },
    });
    const taken = strategicPatch(
      service,
      { metadata: { '$deleteFromPrimitiveList/finalizers': ['a'] } },
      types,
    );
    expect(taken).toMatchObject({ metadata: { finalizers: [] } });
  });

  it.each<[string, Json]>([
    ['an element without its key', { spec: { ports: [{ name: 'http' }] } }],
    ['an element that is no object', { spec: { ports: [80] } }],
  ])('refuses %s', (_, patch) => {
    expect(() => patched(patch)).toThrow(expect.objectContaining({ code: 400 }));
  });
});
