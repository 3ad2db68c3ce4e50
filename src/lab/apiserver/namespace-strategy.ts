// Namespaces: what they start with, and their end, which takes all that lies in them along.
import { forbidden } from './api-error.ts';
import type { ApiObject } from './api-object.ts';
import type { Strategy } from './kinds.ts';

export const SYSTEM_NAMESPACES = ['default', 'kube-node-lease', 'kube-public', 'kube-system'];
/** kube-apiserver lets go of kube-node-lease only. */
const UNDELETABLE = new Set(['default', 'kube-public', 'kube-system']);

/** `end`: called with a namespace that has just been marked, or written while it is marked. */
export function namespaceStrategy(end: (namespace: string) => void): Strategy {
  return {
    prepare(object, previous) {
      const { metadata } = object;
      const labels = { ...metadata.labels, 'kubernetes.io/metadata.name': metadata.name };
      return {
        ...object,
        metadata: { ...metadata, labels },
        spec: previous?.spec ?? { finalizers: ['kubernetes'] },
        status: previous?.status ?? { phase: 'Active' },
      };
    },
    deleting(object: ApiObject) {
      const { name } = object.metadata;
      if (UNDELETABLE.has(name)) throw forbidden('namespaces', '', name, 'this namespace may not be deleted');
      return { ...object, status: { ...object.status, phase: 'Terminating' } };
    },
    stored({ metadata }) {
      if (metadata.deletionTimestamp) end(metadata.name);
    },
  };
}
