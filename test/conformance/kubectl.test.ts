// The real kubectl against the server, as a person would use it. Holds for kubectl 1.20 (Debian 12) and later.
import { type ExecFileException, execFile, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { KubeObject } from '../../src/kube/objects.ts';
import { DEFINITIONS, untilDefinitionIsGone } from '../lab/apiserver/definitions-end.ts';
import { MERGE, RawClient } from '../lab/apiserver/raw-client.ts';
import { CRD_FOLDER, startTestServer, type TestServer } from '../lab/apiserver/running-server.ts';

const KUBECTL = 'kubectl';
const POOL = `
apiVersion: fairlead.dev/v1alpha1
kind: IPAddressPool
metadata: {name: lan}
spec: {addresses: [192.0.2.0/24]}
`;
const SERVICE = `
apiVersion: v1
kind: Service
metadata: {name: web, labels: {app: web}}
spec:
  type: LoadBalancer
  selector: {app: web}
  ports:
  - {name: http, port: 80, targetPort: 8080}
  - {name: https, port: 443, targetPort: 8443}
`;

let running: TestServer;
let folder: string;

beforeAll(async () => {
  const { code } = await run(KUBECTL, ['version', '--client'], {});
  if (code === 'ENOENT') {
    throw new Error(
      'these tests need kubectl on the PATH: apt-get install kubernetes-client, or https://kubernetes.io/docs/tasks/tools/',
    );
  }
});

beforeEach(async () => {
  running = await startTestServer();
  folder = dirname(running.kubeconfig);
});

afterEach(() => running.close());

/** Milliseconds: the API server looks every five seconds whether all objects of a definition that goes are gone. */
const DEADLINE = 60_000;

interface Outcome {
  readonly code: number | string | null | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

function run(command: string, args: readonly string[], env: object): Promise<Outcome> {
  return new Promise((resolve) => {
    const options = { env: { ...process.env, ...env }, timeout: DEADLINE };
    execFile(command, args, options, (error: ExecFileException | null, stdout, stderr) =>
      resolve({ code: error ? error.code : 0, stdout, stderr }),
    );
  });
}

/** kubectl's cache lies in the folder of the kubeconfig, which goes with the server. */
function environment() {
  return { KUBECONFIG: running.kubeconfig, HOME: folder };
}

async function refused(...args: string[]): Promise<string> {
  const { code, stderr } = await run(KUBECTL, args, environment());
  expect(code).toBe(1);
  return stderr;
}

async function kubectl(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(KUBECTL, args, environment());
  if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: exit status ${code}: ${stderr}`);
  return stdout;
}

function manifest(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
}

/** The words of each line of a table. */
function rows(text: string): string[][] {
  return text
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s{2,}/));
}

describe('kubectl apply', () => {
  it('defines the project’s resources, and creates, leaves and changes one', async () => {
    await kubectl('apply', '-f', CRD_FOLDER);
    const file = manifest('pool.yaml', POOL);
    expect(await kubectl('apply', '-f', file)).toBe('ipaddresspool.fairlead.dev/lan created\n');
    expect(await kubectl('apply', '-f', file)).toBe('ipaddresspool.fairlead.dev/lan unchanged\n');
    manifest('pool.yaml', POOL.replace('192.0.2.0/24', '198.51.100.0/24'));
    expect(await kubectl('apply', '-f', file)).toBe('ipaddresspool.fairlead.dev/lan configured\n');
    expect(rows(await kubectl('get', 'ipaddresspools'))).toEqual([
      ['NAME', 'ADDRESSES', 'TOTAL-IPV4', 'USED-IPV4', 'AVAILABLE-IPV4', 'EXHAUSTED', 'VALID', 'AGE'],
      ['lan', '["198.51.100.0/24"]', expect.stringMatching(/^\d+s$/)],
    ]);
  });

  it('is told which field is wrong, with validation and without', async () => {
    await kubectl('apply', '-f', CRD_FOLDER);
    const file = manifest('pool.yaml', POOL.replace('[192.0.2.0/24]', '7'));
    for (const validate of ['true', 'false']) {
      const message = await refused('apply', `--validate=${validate}`, '-f', file);
      // The real server adds that it did not ask the rules in CEL, and makes a list of the two.
      expect(message).toMatch(
        /The IPAddressPool "lan" is invalid: (\n\* )?spec\.addresses: Invalid value: "integer"/,
      );
    }
  });

  it('changes one port of a Service, removes another, and keeps what the server gave', async () => {
    const file = manifest('service.yaml', SERVICE);
    expect(await kubectl('apply', '-f', file)).toBe('service/web created\n');
    expect(await kubectl('apply', '-f', file)).toBe('service/web unchanged\n');
    const before = JSON.parse(await kubectl('get', 'service', 'web', '-o', 'json'));
    manifest('service.yaml', SERVICE.replace('8080', '9090').replace(/ {2}- .name: https.*\n/, ''));
    expect(await kubectl('apply', '-f', file)).toBe('service/web configured\n');
    const after = JSON.parse(await kubectl('get', 'service', 'web', '-o', 'json'));
    const [http] = before.spec.ports;
    expect(after.spec.ports).toEqual([{ ...http, targetPort: 9090 }]);
    expect(after.spec.clusterIP).toBe(before.spec.clusterIP);
  });

  it('on the server side tells of a conflict, and takes over by force', async () => {
    const file = manifest('service.yaml', SERVICE);
    expect(await kubectl('apply', '--server-side', '-f', file)).toBe('service/web serverside-applied\n');
    manifest('service.yaml', SERVICE.replace('8080', '9090'));
    const other = ['apply', '--server-side', '--field-manager=other', '-f', file];
    expect(await refused(...other)).toMatch(
      /conflict with "kubectl".*\.spec\.ports\[port=80,protocol="TCP"\]\.targetPort/,
    );
    await kubectl(...other, '--force-conflicts');
    expect(await kubectl('get', 'svc', 'web', '-o', 'jsonpath={.spec.ports[*].targetPort}')).toBe(
      '9090 8443',
    );
  });
});

describe('kubectl get', () => {
  it('shows a Service as its address comes', async () => {
    await kubectl('apply', '-f', manifest('service.yaml', SERVICE));
    const [header, pending] = rows(await kubectl('get', 'svc', 'web', '-o', 'wide'));
    expect(header).toEqual(['NAME', 'TYPE', 'CLUSTER-IP', 'EXTERNAL-IP', 'PORT(S)', 'AGE', 'SELECTOR']);
    expect(pending).toEqual([
      'web',
      'LoadBalancer',
      expect.stringMatching(/^10\.96\./),
      '<pending>',
      expect.stringMatching(/^80:3\d{4}\/TCP,443:3\d{4}\/TCP$/),
      expect.any(String),
      'app=web',
    ]);
    const raw = await RawClient.open(running.kubeconfig);
    const status = { status: { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } } };
    await raw.patch('/api/v1/namespaces/default/services/web/status', MERGE, status);
    expect(rows(await kubectl('get', 'all', '-l', 'app=web'))[1]?.slice(0, 4)).toEqual([
      'service/web',
      'LoadBalancer',
      expect.stringMatching(/^10\.96\./),
      '192.0.2.1',
    ]);
  });

  it('follows changes with --watch', async () => {
    const child = spawn(KUBECTL, ['get', 'nodes', '--watch', '-o', 'name'], {
      env: { ...process.env, ...environment() },
    });
    try {
      const raw = await RawClient.open(running.kubeconfig);
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
      await raw.post('/api/v1/nodes', { metadata: { name: 'n1' } });
      expect((await lines.next()).value).toBe('node/n1');
      await raw.post('/api/v1/nodes', { metadata: { name: 'n2' } });
      expect((await lines.next()).value).toBe('node/n2');
    } finally {
      child.kill();
    }
  });

  it('says what is not there', async () => {
    expect(await refused('get', 'svc', 'nope')).toBe(
      'Error from server (NotFound): services "nope" not found\n',
    );
    expect(await refused('get', 'unicorns')).toContain('the server doesn\'t have a resource type "unicorns"');
  });
});

describe('kubectl describe', () => {
  it('shows a Service with its events', async () => {
    await kubectl('apply', '-f', manifest('service.yaml', SERVICE));
    const { metadata } = JSON.parse(await kubectl('get', 'svc', 'web', '-o', 'json'));
    const raw = await RawClient.open(running.kubeconfig);
    await raw.post('/apis/events.k8s.io/v1/namespaces/default/events', {
      metadata: { name: 'web.1' },
      eventTime: new Date().toISOString().replace('Z', '000Z'),
      reportingController: 'fairlead.dev/controller',
      reportingInstance: 'c-1',
      action: 'Allocate',
      reason: 'IPAllocated',
      type: 'Normal',
      note: 'got 192.0.2.1 from pool lan',
      regarding: { apiVersion: 'v1', kind: 'Service', name: 'web', namespace: 'default', uid: metadata.uid },
    });
    const text = await kubectl('describe', 'svc', 'web');
    expect(text).toMatch(/^Type: +LoadBalancer$/m);
    expect(text).toMatch(/^External Traffic Policy: +Cluster$/m);
    expect(text).toMatch(/Normal +IPAllocated .*got 192\.0\.2\.1 from pool lan/);
    expect(rows(await kubectl('get', 'events'))[1]?.slice(1)).toEqual([
      'Normal',
      'IPAllocated',
      'service/web',
      'got 192.0.2.1 from pool lan',
    ]);
  });

  it('shows a node and a pool', async () => {
    await kubectl('apply', '-f', CRD_FOLDER);
    await kubectl('apply', '-f', manifest('pool.yaml', POOL));
    await kubectl('apply', '-f', manifest('node.yaml', 'apiVersion: v1\nkind: Node\nmetadata: {name: n1}\n'));
    expect(await kubectl('describe', 'ipaddresspool', 'lan')).toMatch(/^ {4}192\.0\.2\.0\/24$/m);
    expect(await kubectl('describe', 'node', 'n1')).toMatch(/^Name: +n1$/m);
    expect(rows(await kubectl('get', 'nodes'))[1]?.slice(0, 3)).toEqual(['n1', 'Unknown', '<none>']);
  });
});

describe('kubectl patch, label and create', () => {
  it('patches a Service by strategic merge, merge and JSON patch', async () => {
    await kubectl('apply', '-f', manifest('service.yaml', SERVICE));
    const patch = (...args: string[]) => kubectl('patch', 'svc', 'web', ...args);
    await patch('-p', '{"spec":{"ports":[{"port":443,"targetPort":1}]}}');
    await patch('--type=json', '-p', '[{"op":"replace","path":"/spec/ports/0/targetPort","value":2}]');
    await patch('--type=merge', '-p', '{"spec":{"externalTrafficPolicy":"Local"}}');
    const { spec } = JSON.parse(await kubectl('get', 'svc', 'web', '-o', 'json'));
    expect(spec.ports.map((each: { targetPort: number }) => each.targetPort)).toEqual([2, 1]);
    expect(spec.healthCheckNodePort).toBeGreaterThanOrEqual(30_000);
    await kubectl('label', 'svc', 'web', 'zone=a');
    expect(rows(await kubectl('get', 'svc', '-l', 'zone=a'))).toHaveLength(2);
    expect(await refused('patch', 'svc', 'web', '-p', '{"spec":{"clusterIP":"10.96.9.9"}}')).toContain(
      'may not change once set',
    );
  });

  it('makes namespaces, Services and config maps by the commands that have their names', async () => {
    expect(await kubectl('create', 'namespace', 'shop')).toBe('namespace/shop created\n');
    await kubectl('create', '-n', 'shop', 'service', 'loadbalancer', 'front', '--tcp=80:8080');
    await kubectl('create', '-n', 'shop', 'configmap', 'settings', '--from-literal=a=b');
    const { spec, metadata } = JSON.parse(await kubectl('get', '-n', 'shop', 'svc', 'front', '-o', 'json'));
    expect([spec.type, spec.ports[0].targetPort, metadata.labels]).toEqual([
      'LoadBalancer',
      8080,
      { app: 'front' },
    ]);
    expect(await kubectl('get', '-n', 'shop', 'cm', 'settings', '-o', 'jsonpath={.data.a}')).toBe('b');
    expect(await kubectl('auth', 'can-i', 'create', 'services')).toBe('yes\n');
  });
});

describe('kubectl delete', () => {
  it('waits for the end of a Service and of a definition with all that is in it', {
    timeout: 2 * DEADLINE,
  }, async () => {
    await kubectl('apply', '-f', CRD_FOLDER);
    await kubectl('apply', '-f', manifest('pool.yaml', POOL));
    await kubectl('apply', '-f', manifest('service.yaml', SERVICE));
    expect(await kubectl('delete', 'svc', 'web')).toMatch(/^service "web" deleted/);
    expect(await kubectl('get', 'svc', '-l', 'app=web', '-o', 'name')).toBe('');
    await kubectl('delete', '-f', join(folder, 'pool.yaml'));
    const raw = await RawClient.open(running.kubeconfig);
    const names: string[] = (await raw.get(DEFINITIONS)).body.items.map(
      (each: KubeObject) => each.metadata.name,
    );
    await Promise.all([
      kubectl('delete', '-f', CRD_FOLDER),
      ...names.map((name) => untilDefinitionIsGone(raw, name)),
    ]);
    expect(await kubectl('get', 'crd', '-o', 'name')).toBe('');
  });
});
