// The commands that look and end, run for real: lint on files, plan and import against an API server too.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadAll } from 'js-yaml';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster } from '../commands/cluster.ts';
import { startTestServer, type TestServer } from '../lab/apiserver/running-server.ts';

const FAIRLEAD = join(import.meta.dirname, '../../bin/fairlead');

interface Ended {
  readonly status: number | null;
  readonly lines: readonly string[];
  readonly errors: readonly string[];
}

function fairlead(words: readonly string[], input = ''): Promise<Ended> {
  const { KUBERNETES_SERVICE_HOST: _, ...env } = process.env;
  const child = spawn(FAIRLEAD, words, { env });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (data) => (stdout += data));
  child.stderr.on('data', (data) => (stderr += data));
  child.stdin.end(input);
  const linesOf = (text: string) => text.split('\n').filter((line) => line !== '');
  return new Promise((resolve) =>
    child.once('close', (status) => resolve({ status, lines: linesOf(stdout), errors: linesOf(stderr) })),
  );
}

function poolYaml(name: string, ...addresses: readonly string[]): string {
  return `apiVersion: fairlead.dev/v1alpha1\nkind: IPAddressPool\nmetadata: {name: ${name}}\nspec: {addresses: [${addresses.join(', ')}]}\n---\n`;
}

function quotaYaml(name: string, fields: string): string {
  return `apiVersion: fairlead.dev/v1alpha1\nkind: AddressQuota\nmetadata: {name: ${name}}\nspec: {${fields}}\n---\n`;
}

let folder: string;
let test: TestServer;
let cluster: Cluster;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fairlead-offline-'));
  test = await startTestServer({ crds: true });
  cluster = new Cluster(test.api);
});
afterAll(async () => {
  await cluster.close();
  await test.close();
  rmSync(folder, { recursive: true });
});

function file(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

describe('fairlead lint', () => {
  it('has status 0 for good files', async () => {
    const good = file('good.yaml', poolYaml('lan', '192.0.2.0/24') + poolYaml('wan', '198.51.100.0/24'));
    expect(await fairlead(['lint', '-f', good])).toEqual({
      status: 0,
      lines: ['2 checked, 0 problems'],
      errors: [],
    });
  });

  it('has status 1 for problems, which it names one a line', async () => {
    const answer = await fairlead(['lint', '-f', '-'], poolYaml('lan', '192.0.2.300'));
    expect(answer).toEqual({
      status: 1,
      lines: [
        'IPAddressPool/lan: spec.addresses[0] "192.0.2.300" is not an IP address: "300" is not 0 to 255',
        '1 checked, 1 problem',
      ],
      errors: [],
    });
  });

  it.each([
    ['no file', () => ['lint'], 'required option'],
    [
      'a file that is not there',
      () => ['lint', '-f', '/nowhere/x.yaml'],
      '"/nowhere/x.yaml" cannot be read (ENOENT)',
    ],
    ['what is no YAML', () => ['lint', '-f', file('broken.yaml', 'a: [')], 'is no YAML'],
    [
      'what is no object',
      () => ['lint', '-f', file('list.yaml', '- 1')],
      'it needs a kind and a metadata.name',
    ],
  ])('has status 2 for %s', async (_, words, message) => {
    const { status, errors } = await fairlead(words());
    expect(status).toBe(2);
    expect(errors.join()).toContain(message);
  });
});

describe('fairlead plan', () => {
  it('tells what the pools of a file would do, and does nothing', async () => {
    await cluster.createPool('lan', ['192.0.2.1-192.0.2.2']);
    await cluster.createService('web');
    await cluster.patchStatus('web', { loadBalancer: { ingress: [{ ip: '192.0.2.1', ipMode: 'VIP' }] } });
    const smaller = file('smaller.yaml', poolYaml('lan', '192.0.2.2') + poolYaml('bad', '10.0.0.0/33'));
    const words = ['plan', '--kubeconfig', test.kubeconfig, '-f', smaller];
    const { status, lines } = await fairlead(words);
    expect(lines).toEqual([
      'problem IPAddressPool/bad: spec.addresses[0] "10.0.0.0/33" has the prefix length "33"; IPv4 allows 0 to 32',
      'moves   default/web 192.0.2.1 (lan) -> 192.0.2.2 (lan)',
      '1 Service changes, 0 stay as they are',
    ]);
    expect(status).toBe(1);
    const json = await fairlead([...words, '--json']);
    expect(JSON.parse(json.lines[0] ?? '')).toMatchObject({
      changes: [{ kind: 'moved', service: 'default/web', after: { addresses: ['192.0.2.2'] } }],
    });
    expect((await cluster.pool('lan', () => true)).spec).toMatchObject({
      addresses: ['192.0.2.1-192.0.2.2'],
    });
  });

  it('lets the API server check the objects too, and has status 0 where nobody loses anything', async () => {
    const words = ['plan', '--kubeconfig', test.kubeconfig, '--server-dry-run', '-f'];
    const good = file('good.yaml', poolYaml('lan', '192.0.2.1-192.0.2.9'));
    expect(await fairlead([...words, good])).toMatchObject({
      status: 0,
      lines: ['0 Services change, 1 stay as they are'],
    });
    const bad = file('bad.yaml', poolYaml('lan', '192.0.2.1').replace('spec: {', 'spec: {reuse: never, '));
    const { status, lines } = await fairlead([...words, bad]);
    expect(status).toBe(1);
    expect(lines.join('\n')).toMatch(/problem IPAddressPool\/lan: the API server refuses it: .*spec.reuse/);
    // What its rules in CEL forbid is all that our own reading may not have said.
    const ruled = file('ruled.yaml', quotaYaml('all', '') + poolYaml('lan', '192.0.2.1-192.0.2.9'));
    const both = await fairlead([...words, ruled]);
    expect(both.lines).toEqual([
      expect.stringMatching(
        'problem AddressQuota/all: spec .* limits nothing; write maxIPv4, maxIPv6 or both',
      ),
      expect.stringMatching(
        'problem AddressQuota/all: the API server refuses it: .*write maxIPv4, maxIPv6 or both',
      ),
      '0 Services change, 1 stay as they are',
    ]);
    expect((await cluster.pool('lan', () => true)).spec).toMatchObject({
      addresses: ['192.0.2.1-192.0.2.2'],
    });
  });

  it('knows quotas of the file, and of the cluster', async () => {
    const words = ['plan', '--kubeconfig', test.kubeconfig, '-f'];
    await cluster.createQuota('none', { maxIPv4: 0, namespaces: ['default'] });
    await cluster.createService('new');
    const why = 'AddressQuota \\"none\\" allows: 0';
    const more = file('more.yaml', poolYaml('lan', '192.0.2.1-192.0.2.9'));
    expect(await fairlead([...words, more])).toMatchObject({
      lines: ['0 Services change, 2 stay as they are'],
    });
    const smaller = file('smaller.yaml', poolYaml('lan', '192.0.2.2'));
    expect((await fairlead([...words, smaller, '--json'])).lines.join()).toContain(why);
    const raised = file('raised.yaml', quotaYaml('none', 'maxIPv4: 5'));
    expect((await fairlead([...words, raised])).lines).toEqual([
      'gains   default/new 192.0.2.2 (lan)',
      '1 Service changes, 1 stay as they are',
    ]);
    await cluster.deleteService('new');
    await cluster.deleteQuota('none');
  });

  it('has status 2 where the files hold no pools', async () => {
    const none = file('none.yaml', 'kind: Service\nmetadata: {name: x}\n');
    const { status, errors } = await fairlead(['plan', '--kubeconfig', test.kubeconfig, '-f', none]);
    expect(status).toBe(2);
    expect(errors.join()).toContain('there is no IPAddressPool, AddressReservation or AddressQuota');
  });
});

const METALLB = `
apiVersion: v1
kind: List
items:
  - apiVersion: metallb.io/v1beta1
    kind: IPAddressPool
    metadata: {name: lan, namespace: metallb-system, uid: x, resourceVersion: "7"}
    spec: {addresses: [192.0.2.1/24], autoAssign: true}
  - apiVersion: metallb.io/v1beta1
    kind: L2Advertisement
    metadata: {name: all, namespace: metallb-system}
  - apiVersion: metallb.io/v1beta2
    kind: BGPPeer
    metadata: {name: router, namespace: metallb-system}
    spec: {myASN: 64512}
  - apiVersion: v1
    kind: Service
    metadata: {name: web, namespace: shop, annotations: {metallb.io/address-pool: lan}}
    spec: {type: LoadBalancer, clusterIP: 10.96.0.9, clusterIPs: [10.96.0.9], ports: [{port: 80}]}
    status: {loadBalancer: {ingress: [{ip: 192.0.2.77}]}}
`;

describe('fairlead import metallb', () => {
  it('writes what lint has nothing against, reports the rest, and keeps live addresses', async () => {
    const answer = await fairlead(['import', 'metallb', '--annotations', '-f', '-'], METALLB);
    expect(answer.status).toBe(0);
    expect(loadAll(answer.lines.join('\n'))).toEqual([
      {
        apiVersion: 'fairlead.dev/v1alpha1',
        kind: 'IPAddressPool',
        metadata: { name: 'lan' },
        spec: { addresses: ['192.0.2.0/24'], autoAssign: true },
      },
      { apiVersion: 'fairlead.dev/v1alpha1', kind: 'L2Advertisement', metadata: { name: 'all' }, spec: {} },
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'web', namespace: 'shop', annotations: { 'fairlead.dev/address-pool': 'lan' } },
      },
    ]);
    expect(answer.errors).toEqual([
      'carried over: IPAddressPools 1, L2Advertisements 1',
      'BGPPeer/metallb-system/router has no counterpart: Fairlead does not speak BGP',
      'Services with annotations of MetalLB, which Fairlead reads as they are: 1',
      'Services that keep their addresses: 1 of 1',
    ]);
    const linted = await fairlead(['lint', '-f', '-'], answer.lines.join('\n'));
    expect(linted).toMatchObject({ status: 0, lines: ['2 checked, 0 problems'] });
  });

  it('has status 1 where an address would not stay', async () => {
    const moved = METALLB.replace('192.0.2.77', '203.0.113.9');
    const { status, errors } = await fairlead(['import', 'metallb', '-f', '-'], moved);
    expect(status).toBe(1);
    expect(errors).toContain('Service shop/web would not keep 203.0.113.9: it would have 192.0.2.0');
  });

  it('has status 2 for a cluster without MetalLB', async () => {
    const { status, errors } = await fairlead(['import', 'metallb', '--kubeconfig', test.kubeconfig]);
    expect(status).toBe(2);
    expect(errors.join()).toContain('there is no IPAddressPool and no L2Advertisement of metallb.io');
  });
});
