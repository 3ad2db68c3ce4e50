// What deploy/rbac grants is what the commands use: no verb less, and none more.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadAll } from 'js-yaml';
import { expect, it } from 'vitest';
import type { Resource } from '../../src/kube/kube-api.ts';
import * as module from '../../src/kube/resources.ts';

const RESOURCES = new Map<string, Resource>(Object.entries(module));
const ROOT = join(import.meta.dirname, '../..');

interface Role {
  readonly kind: string;
  readonly rules: readonly {
    readonly apiGroups: string[];
    readonly resources: string[];
    readonly verbs: string[];
  }[];
}

/** `verb group/resource`, sorted. */
function granted(file: string): string[] {
  const documents = loadAll(readFileSync(join(ROOT, 'deploy/rbac', file), 'utf8')) as Role[]; // our own files
  const rules = documents.filter(({ kind }) => kind.endsWith('Role')).flatMap((role) => role.rules);
  return rules
    .flatMap(({ apiGroups, resources: kinds, verbs }) =>
      apiGroups.flatMap((group) => kinds.flatMap((kind) => verbs.map((verb) => `${verb} ${group}/${kind}`))),
    )
    .toSorted();
}

/** The kinds that a command's sources follow, as `list` and `watch` of each. */
function followed(command: string): string[] {
  const folder = join(ROOT, 'src/commands');
  const files = readdirSync(folder).filter((file) => file.startsWith(command));
  const text = files.map((file) => readFileSync(join(folder, file), 'utf8')).join('\n');
  const names = new Set([...text.matchAll(/\.follow\((?:only\()?(\w+)[,)]/g)].map(([, name]) => name ?? ''));
  return [...names].flatMap((name) => {
    const { group, plural } = RESOURCES.get(name) ?? {};
    return [`list ${group}/${plural}`, `watch ${group}/${plural}`];
  });
}

it('the agent may read what it follows, and write events, which interfaces there are and announcements alone', () => {
  expect(followed('agent').length).toBeGreaterThan(0);
  const writes = [
    'create events.k8s.io/events',
    'create fairlead.dev/announcements',
    'patch fairlead.dev/announcements',
    'patch fairlead.dev/l2advertisements/status',
  ];
  expect(granted('agent.yaml')).toEqual([...followed('agent'), ...writes].toSorted());
});

it('the controller may read what it follows, and write status, pods that wait for it, events, its lease and membership alone', () => {
  const writes = [
    'create /configmaps',
    'create /secrets',
    'create events.k8s.io/events',
    'delete fairlead.dev/announcements',
    'get /pods',
    'get /services',
    'patch /configmaps',
    'patch /pods/status',
    'patch /services/status',
    'patch fairlead.dev/addressquotas/status',
    'patch fairlead.dev/addressreservations/status',
    'patch fairlead.dev/announcements',
    'patch fairlead.dev/cloudaccounts/status',
    'patch fairlead.dev/ipaddresspools/status',
    'patch fairlead.dev/l2advertisements/status',
  ];
  const lease = ['create', 'get', 'patch'].map((verb) => `${verb} coordination.k8s.io/leases`);
  expect(granted('controller.yaml')).toEqual([...followed('controller'), ...writes, ...lease].toSorted());
});
