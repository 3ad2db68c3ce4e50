// What the embedded API server does not evaluate of a definition, and says so.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RawClient } from './raw-client.ts';
import { startEmbeddedServer, type TestServer } from './running-server.ts';

let running: TestServer;
let raw: RawClient;
const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';

beforeAll(async () => {
  running = await startEmbeddedServer();
  raw = await RawClient.open(running.kubeconfig);
});

afterAll(() => running.close());

function definition(plural: string, kind: string, schema: object) {
  return {
    metadata: { name: `${plural}.example.dev` },
    spec: {
      group: 'example.dev',
      scope: 'Namespaced',
      names: { plural, kind },
      versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: schema } }],
    },
  };
}

describe('a definition', () => {
  it('with rules in CEL that nobody evaluates here is told so: refused where the client is strict', async () => {
    const rules = { 'x-kubernetes-validations': [{ rule: 'isIP(self.a)' }] };
    const listed = { type: 'array', items: { type: 'object', ...rules } };
    const body = definition('ruled', 'Rule', { type: 'object', properties: { spec: listed } });
    const field = 'spec.versions[0].schema.openAPIV3Schema.properties[spec].items.x-kubernetes-validations';
    const strict = await raw.post(`${CRDS}?fieldValidation=Strict`, body);
    expect([strict.status, strict.body.message]).toEqual([400, expect.stringContaining(field)]);
    const warned = await raw.post(CRDS, body);
    expect([warned.status, warned.headers.warning]).toEqual([201, `299 - "unknown field \\"${field}\\""`]);
  });

  it('with a pattern that JavaScript cannot read is told so, and the pattern holds always', async () => {
    const schema = { type: 'object', properties: { colour: { type: 'string', pattern: '(?i)^red$' } } };
    const { status, headers } = await raw.post(CRDS, definition('paints', 'Paint', schema));
    expect([status, headers.warning]).toEqual([201, expect.stringContaining('properties[colour].pattern')]);
    const path = '/apis/example.dev/v1/namespaces/default/paints';
    expect(
      (
        await raw.post(path, {
          apiVersion: 'example.dev/v1',
          kind: 'Paint',
          metadata: { name: 'p' },
          colour: 'RED',
        })
      ).status,
    ).toBe(201);
  });
});
