// What an administrator installs with `kubectl apply -k`: complete, as the commands understand it, and with no more
// power than is said. test/deploy/chart.test.ts holds the Helm chart to the same.
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { agentCommand } from '../../src/commands/agent.ts';
import { controllerCommand } from '../../src/commands/controller.ts';
import type { KubeObject } from '../../src/kube/objects.ts';
import { startTestServer, type TestServer } from '../lab/apiserver/running-server.ts';
import { objectsIn } from './chart.ts';
import { build, DEPLOY, overlay } from './kustomize.ts';
import { containerOf, named, podOf } from './workload.ts';

const ROOT = join(import.meta.dirname, '../..');

const base = build(DEPLOY);
const kinds = (objects: readonly KubeObject[]) => objects.map(({ kind }) => kind);

function yamlFiles(folder: string): string[] {
  return readdirSync(join(DEPLOY, folder)).map((file) => `${folder}/${file}`);
}

describe('kubectl apply -k deploy', () => {
  it('holds every definition and every account, in a namespace of its own', () => {
    const given = yamlFiles('crds').concat(yamlFiles('rbac'));
    const objects = given.flatMap((file) => objectsIn(readFileSync(join(DEPLOY, file), 'utf8')));
    for (const { kind, metadata } of objects) expect(named(base, kind ?? '', metadata.name)).toBeDefined();
    const namespaced = base.filter(({ metadata }) => metadata.namespace !== undefined);
    expect(new Set(namespaced.map(({ metadata }) => metadata.namespace))).toEqual(
      new Set(['fairlead-system']),
    );
    expect(kinds(base)).toEqual(expect.arrayContaining(['Namespace', 'Deployment', 'DaemonSet']));
  });

  it.each<[string, string, () => Command]>([
    ['Deployment', 'fairlead-controller', controllerCommand],
    ['DaemonSet', 'fairlead-agent', agentCommand],
  ])('starts the %s %s with flags that the command knows', (kind, name, command) => {
    const [word, ...flags] = containerOf(named(base, kind, name)).args;
    expect(command().name()).toBe(word);
    // Throws where a flag's value is none; what it does not know it gives back.
    expect(
      command()
        .exitOverride()
        .parseOptions([...flags]),
    ).toEqual({ operands: [], unknown: [] });
  });

  it('runs two controllers with no power at all, of which a drain leaves one', () => {
    const deployment = named(base, 'Deployment', 'fairlead-controller');
    expect(deployment).toMatchObject({ spec: { replicas: 2 } });
    expect(podOf(deployment)).toMatchObject({
      serviceAccountName: 'fairlead-controller',
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    });
    expect(containerOf(deployment).securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    expect(named(base, 'PodDisruptionBudget', 'fairlead-controller')).toMatchObject({
      spec: { maxUnavailable: 1 },
    });
  });

  it('runs one agent on every node, in its network, with two capabilities, and replaces one at a time', () => {
    const daemonSet = named(base, 'DaemonSet', 'fairlead-agent');
    expect(daemonSet).toMatchObject({
      spec: { updateStrategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: 1 } } },
    });
    expect(podOf(daemonSet)).toMatchObject({
      hostNetwork: true,
      priorityClassName: 'system-node-critical',
      tolerations: [{ operator: 'Exists' }],
    });
    expect(containerOf(daemonSet).securityContext).toEqual({
      runAsUser: 0,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'], add: ['NET_ADMIN', 'NET_RAW'] },
    });
  });

  it('leaves forwarding to kube-proxy until a component says otherwise, in whatever order components come', () => {
    const args = (...components: string[]) =>
      containerOf(named(overlay(...components), 'DaemonSet', 'fairlead-agent')).args;
    expect(args()).toContain('--no-proxy');
    expect(args('replace-kube-proxy')).not.toContain('--no-proxy');
    expect(args('replace-kube-proxy', 'monitoring')).toEqual(args('monitoring', 'replace-kube-proxy'));
    expect(args('monitoring')).toContain('--metrics-bind-address=:9121');
  });

  it('has components for monitoring and a NetworkPolicy', () => {
    const more = kinds(overlay('monitoring', 'network-policy')).filter((kind) => !kinds(base).includes(kind));
    expect(more.toSorted()).toEqual(['NetworkPolicy', 'PodMonitor', 'PodMonitor', 'PrometheusRule']);
  });

  it('has a policy that warns of a Service and never refuses one, answer or no answer', () => {
    const objects = overlay('admission-policy');
    const [name, binding] = ['services.fairlead.dev', 'ValidatingAdmissionPolicyBinding'];
    expect(named(objects, 'ValidatingAdmissionPolicy', name)).toMatchObject({
      spec: { failurePolicy: 'Ignore' },
    });
    expect(named(objects, binding, name)).toMatchObject({
      spec: { policyName: name, validationActions: ['Warn'] },
    });
  });

  it('alerts on figures that there are', () => {
    const rules = readFileSync(join(DEPLOY, 'components/monitoring/rules.yaml'), 'utf8');
    const metrics = readFileSync(join(ROOT, 'docs/metrics.md'), 'utf8');
    const names = new Set(rules.match(/fairlead_\w+/g));
    expect(names.size).toBeGreaterThan(3);
    for (const name of names) expect(metrics).toContain(`\`${name}\``);
  });
});

let test: TestServer;
beforeAll(async () => {
  test = await startTestServer();
});
afterAll(() => test.close());

/** What kubectl says on both streams. The server is in this process, which must not wait for it. */
async function apply(...files: readonly string[]): Promise<string> {
  const args = ['--kubeconfig', test.kubeconfig, 'apply', '--server-side'];
  const { stdout, stderr } = await promisify(execFile)('kubectl', [
    ...args,
    ...files.flatMap((file) => ['-f', file]),
  ]);
  return stdout + stderr;
}

describe('the embedded API server', () => {
  it('takes all of it that it has kinds for, and has no word to say on any field', async () => {
    const known = base.filter(({ kind }) =>
      ['Namespace', 'CustomResourceDefinition', 'ServiceAccount'].includes(kind ?? ''),
    );
    const folder = mkdtempSync(join(tmpdir(), 'fairlead-manifests-'));
    const file = join(folder, 'list.json');
    writeFileSync(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: known }));
    const said = (await apply(file)).trim().split('\n');
    rmSync(folder, { recursive: true });
    expect(said).toHaveLength(known.length);
    for (const line of said) expect(line).toMatch(/ serverside-applied$/);
  });
});

describe('the example', () => {
  it('of an overlay names an image, a pool and a way to the API server', () => {
    const objects = build(join(ROOT, 'examples/overlay'));
    for (const workload of [
      named(objects, 'Deployment', 'fairlead-controller'),
      named(objects, 'DaemonSet', 'fairlead-agent'),
    ])
      expect(containerOf(workload).image).toBe('registry.example.com/fairlead:0.1.0');
    expect(named(objects, 'IPAddressPool', 'lan')).toBeDefined();
  });

  it.each([
    'overlay/pool.yaml',
    'service.yaml',
    'advertisement.yaml',
    'aws/account.yaml',
    'aws/service.yaml',
  ])('%s is taken by it', async (file) => {
    expect(await apply(join(ROOT, 'examples', file))).toMatch(/ serverside-applied\n$/);
  });

  it('of a job to let go of everything calls the controller with flags that it knows', () => {
    const [job] = objectsIn(readFileSync(join(ROOT, 'examples/cleanup-job.yaml'), 'utf8'));
    const [word, ...flags] = containerOf(job).args;
    expect(word).toBe('controller');
    expect(
      controllerCommand()
        .exitOverride()
        .parseOptions([...flags]).unknown,
    ).toEqual([]);
  });
});
