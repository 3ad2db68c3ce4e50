// The Helm chart renders what kustomize makes, and refuses values that it does not know. Needs Go, for Helm's engine.
import { beforeAll, describe, expect, it } from 'vitest';
import type { KubeObject } from '../../src/kube/objects.ts';
import { readQueueAddress } from '../../src/queue/queue-address.ts';
import { buildRenderer, findGo, render } from './chart.ts';
import { overlay } from './kustomize.ts';
import { containerOf, named, podOf } from './workload.ts';

/** Milliseconds: the first build fetches and compiles Helm's engine. */
const BUILD_DEADLINE = 900_000;
const MISSING = 'left out: there is no Go (1.24 or newer, https://go.dev/dl) to build Helm’s engine with';

const go = findGo();
const leftOut = go === undefined && !process.env.CI;

const QUEUE = { address: 'redis://redis:6379', passwordSecret: { name: 'fairlead-queue' } };

let program: string;

beforeAll(() => {
  if (leftOut) return;
  if (go === undefined) throw new Error(MISSING);
  program = buildRenderer(go);
}, BUILD_DEADLINE);

/** By kind and name, without the namespace itself, which `helm --create-namespace` makes. */
function byName(objects: readonly KubeObject[]): Record<string, KubeObject> {
  const kept = objects.filter(({ kind }) => kind !== 'Namespace');
  return Object.fromEntries(kept.map((each) => [`${each.kind} ${each.metadata.name}`, each]));
}

describe.skipIf(leftOut)(leftOut ? `the chart (${MISSING})` : 'the chart', () => {
  it.each<[string, string[], object]>([
    ['with its defaults', [], {}],
    ['with monitoring', ['monitoring'], { monitoring: { podMonitors: true, rules: true } }],
    ['with a NetworkPolicy', ['network-policy'], { networkPolicy: { enabled: true } }],
    ['with its admission policy', ['admission-policy'], { admissionPolicy: true }],
    ['with its queue on Redis', ['redis-queue'], { queue: QUEUE }],
    [
      'with its queue on Redis and a NetworkPolicy',
      ['network-policy', 'redis-queue'],
      { queue: QUEUE, networkPolicy: { enabled: true } },
    ],
    ['in place of kube-proxy', ['replace-kube-proxy'], { agent: { proxy: true } }],
  ])('%s is what kustomize makes', (_, components, values) => {
    expect(byName(render(program, values))).toEqual(byName(overlay(...components)));
  });

  it('names the image by digest where there is one, and by its version otherwise', () => {
    const digest = `sha256:${'a'.repeat(64)}`;
    const image = (values: object) =>
      containerOf(named(render(program, { image: values }), 'DaemonSet', 'fairlead-agent')).image;
    expect(image({})).toBe('fairlead:0.1.0');
    expect(image({ repository: 'r.example.com/f', tag: 'x' })).toBe('r.example.com/f:x');
    expect(image({ repository: 'r.example.com/f', tag: 'x', digest })).toBe(`r.example.com/f@${digest}`);
  });

  it('passes on what it is told', () => {
    const objects = render(program, {
      loadBalancerClasses: ['a', 'example.com/b'],
      classless: false,
      apiServer: { host: '192.0.2.2' },
      agent: { announce: false, excludeInterfaces: '^(eth9|x: y)$', onConflict: 'keep' },
      controller: { replicas: 1, podDisruptionBudget: false, onConflict: 'reallocate' },
      imagePullSecrets: [{ name: 'key' }],
      monitoring: { rules: true, labels: { release: 'prometheus' } },
    });
    const agent = named(objects, 'DaemonSet', 'fairlead-agent');
    const classes = ['--lb-class=a', '--lb-class=example.com/b', '--no-classless'];
    expect(containerOf(agent).args).toEqual(
      expect.arrayContaining([
        ...classes,
        '--no-announce',
        '--exclude-interfaces=^(eth9|x: y)$',
        '--on-conflict=keep',
      ]),
    );
    expect(podOf(agent)).toMatchObject({ imagePullSecrets: [{ name: 'key' }] });
    const controller = named(objects, 'Deployment', 'fairlead-controller');
    expect(containerOf(controller).args).toEqual(
      expect.arrayContaining([...classes, '--on-conflict=reallocate']),
    );
    expect(containerOf(controller)).toMatchObject({
      env: [
        { name: 'KUBERNETES_SERVICE_HOST', value: '192.0.2.2' },
        { name: 'KUBERNETES_SERVICE_PORT', value: '6443' },
      ],
    });
    expect(named(objects, 'PodDisruptionBudget', 'fairlead-controller')).toBeUndefined();
    expect(named(objects, 'PrometheusRule', 'fairlead')?.metadata.labels).toEqual({ release: 'prometheus' });
  });

  it('gives the controller the Redis that it is told, with passwords and certificates from Secrets', () => {
    const objects = render(program, {
      queue: {
        address: 'rediss+sentinel://us,eu:26379/main/2',
        passwordSecret: { name: 'redis', key: 'pass' },
        sentinelPasswordSecret: { name: 'sentinels' },
        caSecret: { name: 'authority' },
      },
      networkPolicy: { enabled: true, queuePorts: [6380, 26379] },
    });
    const controller = named(objects, 'Deployment', 'fairlead-controller');
    const flag = containerOf(controller).args?.find((each) => each.startsWith('--queue=')) ?? '';
    expect(readQueueAddress(flag.replace('--queue=', ''))).toMatchObject({
      kind: 'valid',
      value: {
        tls: true,
        db: 2,
        ca: '/etc/fairlead/queue/ca',
        passwordFile: '/etc/fairlead/queue/password',
        sentinelPasswordFile: '/etc/fairlead/queue/sentinel-password',
        servers: { kind: 'sentinels', master: 'main' },
      },
    });
    expect(podOf(controller)).toMatchObject({
      volumes: [
        {
          projected: {
            sources: [
              { secret: { name: 'authority', items: [{ key: 'ca.crt', path: 'ca' }] } },
              { secret: { name: 'redis', items: [{ key: 'pass', path: 'password' }] } },
              { secret: { name: 'sentinels', items: [{ key: 'password', path: 'sentinel-password' }] } },
            ],
          },
        },
      ],
    });
    const policy = JSON.stringify(named(objects, 'NetworkPolicy', 'fairlead-controller'));
    for (const port of [6380, 26379]) expect(policy).toContain(`"port":${port}`);
    const open = named(
      render(program, { queue: { address: 'redis+cluster://one,two' } }),
      'Deployment',
      'fairlead-controller',
    );
    expect(containerOf(open).args).toContain('--queue=redis+cluster://one,two');
    expect(podOf(open)).not.toHaveProperty('volumes');
  });

  it.each<[string, object, string]>([
    ['a queue that is none', { queue: { address: 'disk' } }, '/queue/address'],
    ['a password in an address', { queue: { address: 'redis://secret@redis:6379' } }, '/queue/address'],
    ['files in an address', { queue: { address: 'redis://redis?ca=/ca' } }, '/queue/address'],
    ['a value that is not there', { agent: { prxy: true } }, "additional properties 'prxy' not allowed"],
    ['a word for a switch', { agent: { proxy: 'yes' } }, 'got string, want boolean'],
    ['a level that is none', { logLevel: 'loud' }, '/logLevel'],
    [
      'a time without its unit',
      { controller: { leaderElection: { leaseDuration: '15' } } },
      '/leaseDuration',
    ],
    ['a port that is too high', { agent: { healthPort: 70_000 } }, '/agent/healthPort'],
    ['a digest that is none', { image: { digest: 'latest' } }, '/image/digest'],
    ['no class', { loadBalancerClasses: [] }, '/loadBalancerClasses'],
  ])('refuses %s', (_, values, words) => {
    expect(() => render(program, values)).toThrow(words);
  });
});
