// What clients ask before they start: groups, resources, version.
import { apiVersionOf, type Kind } from './kinds.ts';

const VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];

/** The answer to a discovery path; undefined where the path is none. */
export function discover(path: string, kinds: readonly Kind[]): object | undefined {
  if (path === '/version')
    return { major: '1', minor: '36', gitVersion: 'v1.36.0-fairlead-lab', platform: 'linux/amd64' };
  if (path === '/api') return { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] };
  if (path === '/apis') return { kind: 'APIGroupList', apiVersion: 'v1', groups: groups(kinds) };
  const within = kinds.filter(({ resource }) => `/${rootOf(apiVersionOf(resource))}` === path);
  const apiGroup = /^\/apis\/([^/]+)$/.exec(path)?.[1];
  if (apiGroup !== undefined) return groups(kinds).find(({ name }) => name === apiGroup);
  const [first] = within;
  return (
    first && {
      kind: 'APIResourceList',
      apiVersion: 'v1',
      groupVersion: apiVersionOf(first.resource),
      resources: within.flatMap(resources),
    }
  );
}

/** All groups with their versions, as `apiVersion` names them. */
export function versions(kinds: readonly Kind[]): string[] {
  return [...new Set(kinds.map(({ resource }) => apiVersionOf(resource)))];
}

/** Where a version's resources lie, without the leading slash. */
export function rootOf(version: string): string {
  return version.includes('/') ? `apis/${version}` : `api/${version}`;
}

function groups(kinds: readonly Kind[]) {
  const names = [...new Set(kinds.map(({ resource }) => resource.group))].filter((name) => name !== '');
  return names.map((name) => {
    const own = versions(kinds.filter(({ resource }) => resource.group === name)).map((groupVersion) => ({
      groupVersion,
      version: groupVersion.split('/')[1],
    }));
    return { name, versions: own, preferredVersion: own[0] };
  });
}

function resources({ resource, singular, shortNames, categories, hasStatus }: Kind): object[] {
  const { plural: name, namespaced, kind } = resource;
  const main = {
    name,
    singularName: singular,
    namespaced,
    kind,
    verbs: VERBS,
    ...(shortNames.length > 0 ? { shortNames } : {}),
    ...(categories.length > 0 ? { categories } : {}),
  };
  return hasStatus
    ? [
        main,
        { name: `${name}/status`, singularName: '', namespaced, kind, verbs: ['get', 'patch', 'update'] },
      ]
    : [main];
}
