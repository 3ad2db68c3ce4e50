import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RawClient } from '../lab/apiserver/raw-client.ts';
import { startTestServer, type TestServer } from '../lab/apiserver/running-server.ts';

let running: TestServer;
let raw: RawClient;
const NODES = '/api/v1/nodes';
/** Of which the server itself makes none. */
const SECRETS = '/api/v1/secrets';

beforeAll(async () => {
  running = await startTestServer();
  raw = await RawClient.open(running.kubeconfig);
  for (const [name, zone] of [
    ['a', 'x'],
    ['b', 'y'],
    ['c', 'x'],
    ['d', 'y'],
    ['e', 'x'],
  ] as const)
    await raw.post(NODES, {
      metadata: { name, labels: { zone, [`only-${name}`]: '' } },
      spec: { unschedulable: zone === 'y' },
    });
  for (const namespace of ['default', 'kube-system'])
    for (const name of ['p', 'q'])
      await raw.post(`/api/v1/namespaces/${namespace}/secrets`, { metadata: { name } });
});

afterAll(() => running.close());

interface Listed {
  readonly items: readonly { metadata: { name: string; namespace?: string } }[];
}

function names({ items }: Listed): string[] {
  return items.map(({ metadata: { name, namespace } }) => (namespace ? `${namespace}/${name}` : name));
}

/** All pages of a list, and how often the server was asked. */
async function pages(path: string, limit: number): Promise<{ found: string[]; versions: Set<string> }> {
  const found: string[] = [];
  const versions = new Set<string>();
  const join = path.includes('?') ? '&' : '?';
  for (let token = ''; ; ) {
    const { body } = await raw.get(`${path}${join}limit=${limit}&continue=${token}`);
    found.push(...names(body));
    versions.add(body.metadata.resourceVersion);
    token = body.metadata.continue ?? '';
    if (token === '') return { found, versions };
    expect(body.items.length).toBe(limit);
  }
}

describe('a list in pages', () => {
  it('gives the same as one list, whatever the size of a page', async () => {
    const { body: whole } = await raw.get(SECRETS);
    expect(names(whole)).toEqual(['default/p', 'default/q', 'kube-system/p', 'kube-system/q']);
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(NODES, SECRETS, `${NODES}?labelSelector=zone%3Dx`),
        fc.integer({ min: 1, max: 6 }),
        async (path, limit) => {
          const { body } = await raw.get(path);
          const { found, versions } = await pages(path, limit);
          expect(found).toEqual(names(body));
          // A real server writes objects of its own between two lists.
          const [version, ...others] = [...versions].map(Number);
          expect(others).toEqual([]);
          expect(version).toBeGreaterThanOrEqual(Number(body.metadata.resourceVersion));
        },
      ),
      { numRuns: 20 },
    );
  });

  it('says how many remain', async () => {
    const { body } = await raw.get(`${NODES}?limit=2`);
    expect(body.metadata).toMatchObject({ continue: expect.any(String), remainingItemCount: 3 });
    const { body: selected } = await raw.get(`${NODES}?limit=2&labelSelector=zone%3Dx`);
    expect(selected.metadata.remainingItemCount).toBeUndefined();
  });

  it('shows one version to its end, whatever changes meanwhile', async () => {
    const { body: first } = await raw.get(`${NODES}?limit=2`);
    await raw.delete(`${NODES}/d`);
    await raw.post(NODES, { metadata: { name: 'ca' } });
    const { body: rest } = await raw.get(`${NODES}?limit=10&continue=${first.metadata.continue}`);
    expect(names(rest)).toEqual(['c', 'd', 'e']);
    expect(rest.metadata.resourceVersion).toBe(first.metadata.resourceVersion);
    await raw.delete(`${NODES}/ca`);
    await raw.post(NODES, {
      metadata: { name: 'd', labels: { zone: 'y', 'only-d': '' } },
      spec: { unschedulable: true },
    });
  });

  it('answers 410 to a token whose version is gone, and 400 to one that it never gave', async () => {
    const { body: first } = await raw.get(`${NODES}?limit=2`);
    await raw.post(NODES, { metadata: { name: 'z' } });
    await raw.delete(`${NODES}/z`);
    await running.server.forgetHistory();
    const { status, body } = await raw.get(`${NODES}?limit=2&continue=${first.metadata.continue}`);
    expect([status, body.reason, body.code]).toEqual([410, 'Expired', 410]);
    expect(body.message).toMatch(/continue parameter is too old/);
    expect((await raw.get(`${NODES}?continue=nonsense`)).status).toBe(400);
    expect((await raw.get(`${NODES}?limit=few`)).status).toBe(400);
  });
});

describe('a list at a version', () => {
  it('is the newest unless that version is wanted exactly', async () => {
    const { body: before } = await raw.get(NODES);
    const { resourceVersion } = before.metadata;
    await raw.post(NODES, { metadata: { name: 'later' } });
    const exact = await raw.get(`${NODES}?resourceVersion=${resourceVersion}&resourceVersionMatch=Exact`);
    expect(exact.body).toEqual(before);
    const newer = await raw.get(`${NODES}?resourceVersion=${resourceVersion}`);
    expect(names(newer.body)).toContain('later');
    await raw.delete(`${NODES}/later`);
  });

  it('that is yet to come is refused', async () => {
    expect((await raw.get(`${NODES}?resourceVersion=999999`)).status).toBe(504);
  });
});

describe('selectors', () => {
  it.each([
    ['zone=x', 'ace'],
    ['zone==x', 'ace'],
    ['zone!=x', 'bd'],
    ['zone in (x,y)', 'abcde'],
    ['zone notin (x), only-b', 'b'],
    ['only-a', 'a'],
    ['!only-a,zone=x', 'ce'],
    ['zone in (x),zone notin (y),!only-c', 'ae'],
    ['nothing', ''],
    ['nothing!=1', 'abcde'],
  ])('labelSelector %s finds %s', async (selector, expected) => {
    const { body } = await raw.get(`${NODES}?labelSelector=${encodeURIComponent(selector)}`);
    expect(names(body).join('')).toBe(expected);
  });

  it.each([
    ['metadata.name=a', 'a'],
    ['metadata.name!=a', 'bcde'],
    ['spec.unschedulable=true,metadata.name==d', 'd'],
  ])('fieldSelector %s finds %s', async (selector, expected) => {
    const { body } = await raw.get(`${NODES}?fieldSelector=${encodeURIComponent(selector)}`);
    expect(names(body).join('')).toBe(expected);
  });

  it.each([
    ['labelSelector', 'zone=x=y'],
    ['labelSelector', 'zone inn (x)'],
    ['fieldSelector', 'spec.podCIDR=1'],
    ['fieldSelector', 'metadata.name'],
  ])('refuses the %s %s', async (name, selector) => {
    const { status, body } = await raw.get(`${NODES}?${name}=${encodeURIComponent(selector)}`);
    expect([status, body.reason]).toEqual([400, 'BadRequest']);
  });

  it('narrow a list to one namespace', async () => {
    const { body } = await raw.get('/api/v1/namespaces/kube-system/secrets');
    expect(names(body)).toEqual(['kube-system/p', 'kube-system/q']);
    const { body: selected } = await raw.get(`${SECRETS}?fieldSelector=metadata.namespace%3Ddefault`);
    expect(names(selected)).toEqual(['default/p', 'default/q']);
  });
});
