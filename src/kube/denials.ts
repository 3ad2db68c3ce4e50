// Verbs that the API server denies: told to the operator once each, until they are granted.
import type { Logger } from '../observe/logger.ts';
import { type KubeApi, KubeError, type Resource } from './kube-api.ts';

/** As every authorizer's answer is worded (apiserver: responsewriters.Forbidden); admission says 403 in other words. */
const DENIED = /cannot \w+ resource "/;

/** Whether the caller lacks a permission, which no other try mends. */
export function isDenied(error: unknown): boolean {
  return error instanceof KubeError && error.status === 403 && DENIED.test(error.message);
}

/** The same API; what it denies is logged with verb and resource when it is denied first, and when it is granted. */
export function tellingDenials(api: KubeApi, log: Logger): KubeApi {
  const told = new Set<string>();
  const tell = async <T>(verb: string, resource: Resource, subresource: string, call: Promise<T>) => {
    const { group, plural } = resource;
    const name = `${plural}${subresource && `/${subresource}`}${group && ` in ${group}`}`;
    const key = `${verb} ${name}`;
    try {
      const answer = await call;
      if (told.delete(key)) log.info({ verb, resource: name }, 'the API server grants this verb now');
      return answer;
    } catch (error) {
      if (isDenied(error) && !told.has(key)) {
        told.add(key);
        const { message } = error as KubeError; // what isDenied() says
        log.error(
          { verb, resource: name, error: message },
          'the API server denies a verb that is needed; grant it (deploy/rbac)',
        );
      }
      throw error;
    }
  };
  return {
    list: (resource, options) => tell('list', resource, '', api.list(resource, options)),
    watch: (resource, options) => api.watch(resource, options),
    get: (resource, name) => tell('get', resource, '', api.get(resource, name)),
    create: (resource, object) => tell('create', resource, '', api.create(resource, object)),
    patch: (resource, name, body, options) =>
      tell('patch', resource, options.subresource ?? '', api.patch(resource, name, body, options)),
    delete: (resource, name) => tell('delete', resource, '', api.delete(resource, name)),
  };
}
