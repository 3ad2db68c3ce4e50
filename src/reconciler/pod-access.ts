// Pods that wait for a load balancer, read and written by name: the controller follows none.
import type { Clock } from '../clock/clock.ts';
import { type KubeApi, KubeError } from '../kube/kube-api.ts';
import { PODS } from '../kube/resources.ts';
import type { PodAccess } from '../providers/aws/readiness.ts';
import { FIELD_MANAGER } from './service-writer.ts';

export function podAccess(api: KubeApi, clock: Clock): PodAccess {
  return {
    async get(namespace, name) {
      try {
        return await api.get(PODS, { namespace, name });
      } catch (error) {
        if (error instanceof KubeError && error.status === 404) return undefined;
        throw error;
      }
    },
    async setCondition({ metadata, status }, condition) {
      const { namespace = '', name, resourceVersion } = metadata;
      const others = (status?.conditions ?? []).filter(({ type }) => type !== condition.type);
      const lastTransitionTime = clock
        .wallTime()
        .toISOString()
        .replace(/\.\d+Z$/, 'Z');
      // A merge patch replaces the list: only for the version that it was made of.
      const patch = {
        metadata: { resourceVersion },
        status: { conditions: [...others, { ...condition, lastTransitionTime }] },
      };
      const options = { type: 'merge', subresource: 'status', fieldManager: FIELD_MANAGER } as const;
      try {
        await api.patch(PODS, { namespace, name }, patch, options);
      } catch (error) {
        // Gone, or another version: the next look is soon.
        if (!(error instanceof KubeError && (error.status === 404 || error.status === 409))) throw error;
      }
    },
  };
}
