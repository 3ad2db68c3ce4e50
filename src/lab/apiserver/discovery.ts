// What clients ask before they start: groups, resources, version, and OpenAPI as far as kubectl needs it.
import { apiVersionOf, type Kind } from './kinds.ts';

const VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];

/** The answer to a discovery path; undefined where the path is none. */
export function discover(path: string, kinds: readonly Kind[]): object | undefined {
  if (path === '/version')
    return { major: '1', minor: '36', gitVersion: 'v1.36.0-fairlead-lab', platform: 'linux/amd64' };
  if (path === '/api') return { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] };
  if (path === '/apis') return { kind: 'APIGroupList', apiVersion: 'v1', groups: groups(kinds) };
  if (path === '/openapi/v2')
    return { swagger: '2.0', info: { title: 'Kubernetes', version: 'v1.36.0' }, paths: {}, definitions: {} };
  if (path === '/openapi/v3')
    return {
      paths: Object.fromEntries(
        versions(kinds).map((version) => [
          rootOf(version),
          { serverRelativeURL: `/openapi/v3/${rootOf(version)}` },
        ]),
      ),
    };
  const within = kinds.filter((kind) =>
    [
      `/${rootOf(apiVersionOf(kind.resource))}`,
      `/openapi/v3/${rootOf(apiVersionOf(kind.resource))}`,
    ].includes(path),
  );
  if (path.startsWith('/openapi/v3/')) return within.length > 0 ? openApi(within) : undefined;
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

function versions(kinds: readonly Kind[]): string[] {
  return [...new Set(kinds.map(({ resource }) => apiVersionOf(resource)))];
}

function rootOf(version: string): string {
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

function resources({ resource, singular, shortNames, hasStatus }: Kind): object[] {
  const { plural: name, namespaced, kind } = resource;
  const main = {
    name,
    singularName: singular,
    namespaced,
    kind,
    verbs: VERBS,
    ...(shortNames.length > 0 ? { shortNames } : {}),
  };
  return hasStatus
    ? [
        main,
        { name: `${name}/status`, singularName: '', namespaced, kind, verbs: ['get', 'patch', 'update'] },
      ]
    : [main];
}

/** Enough for kubectl to see that the server validates fields itself, and to explain custom resources. */
function openApi(kinds: readonly Kind[]): object {
  const paths: Record<string, object> = {};
  const schemas: Record<string, object> = {};
  for (const { resource, schema } of kinds) {
    const { group, version, kind, plural, namespaced } = resource;
    const gvk = { group, version, kind };
    const parameters = ['fieldValidation', 'fieldManager', 'dryRun'].map((name) => ({
      name,
      in: 'query',
      schema: { type: 'string' },
    }));
    const path = `/${rootOf(apiVersionOf(resource))}${namespaced ? '/namespaces/{namespace}' : ''}/${plural}/{name}`;
    paths[path] = {
      patch: {
        parameters,
        'x-kubernetes-action': 'patch',
        'x-kubernetes-group-version-kind': gvk,
        responses: {},
      },
    };
    schemas[`${group === '' ? 'core' : group}.${version}.${kind}`] = {
      type: 'object',
      ...schema,
      'x-kubernetes-group-version-kind': [gvk],
    };
  }
  return {
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version: 'v1.36.0' },
    paths,
    components: { schemas },
  };
}
