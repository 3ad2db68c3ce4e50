// OpenAPI as far as kubectl needs it: what a custom resource holds, and that the server checks fields itself.
import { rootOf, versions } from './discovery.ts';
import { apiVersionOf, type Kind } from './kinds.ts';

/** How kubectl before 1.27 asks for version 2. */
export const OPENAPI_V2_ACCEPT = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';
/** How it is answered: the same without the "@", which no media type may hold (RFC 6838 §4.2). */
export const OPENAPI_V2_TYPE = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';

/** A document of version 2 that describes nothing: swagger "2.0", info { title "Kubernetes", version "v1" }. */
export const EMPTY_OPENAPI_V2 = Buffer.concat([
  field(1, Buffer.from('2.0')),
  field(2, Buffer.concat([field(1, Buffer.from('Kubernetes')), field(2, Buffer.from('v1'))])),
]);

/** The answer to an OpenAPI path; undefined where the path is none. */
export function openApi(path: string, kinds: readonly Kind[]): object | undefined {
  if (path === '/openapi/v2') return { swagger: '2.0', info: INFO, paths: {}, definitions: {} };
  const roots = versions(kinds).map(rootOf);
  if (path === '/openapi/v3') {
    const paths = roots.map((root) => [root, { serverRelativeURL: `/openapi/v3/${root}` }]);
    return { paths: Object.fromEntries(paths) };
  }
  const root = roots.find((each) => path === `/openapi/v3/${each}`);
  return root === undefined
    ? undefined
    : schemasOf(kinds.filter(({ resource }) => rootOf(apiVersionOf(resource)) === root));
}

const INFO = { title: 'Kubernetes', version: 'v1' };
const PARAMETERS = ['fieldValidation', 'fieldManager', 'dryRun'].map((name) => ({
  name,
  in: 'query',
  schema: { type: 'string' },
}));

function schemasOf(kinds: readonly Kind[]): object {
  const paths: Record<string, object> = {};
  const schemas: Record<string, object> = {};
  for (const { resource, schema } of kinds) {
    const { group, version, kind, plural, namespaced } = resource;
    const gvk = { group, version, kind };
    const within = namespaced ? '/namespaces/{namespace}' : '';
    const patch = {
      parameters: PARAMETERS,
      'x-kubernetes-action': 'patch',
      'x-kubernetes-group-version-kind': gvk,
      responses: {},
    };
    paths[`/${rootOf(apiVersionOf(resource))}${within}/${plural}/{name}`] = { patch };
    const own = { type: 'object', ...schema, 'x-kubernetes-group-version-kind': [gvk] };
    schemas[`${group === '' ? 'core' : group}.${version}.${kind}`] = own;
  }
  return { openapi: '3.0.0', info: INFO, paths, components: { schemas } };
}

/** A protobuf field of bytes, of fewer than 128. */
function field(number: number, bytes: Buffer): Buffer {
  const LENGTH_DELIMITED = 2;
  return Buffer.concat([Buffer.from([(number << 3) | LENGTH_DELIMITED, bytes.length]), bytes]);
}
