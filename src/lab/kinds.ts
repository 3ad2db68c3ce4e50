// The kinds that the lab's stand-ins for kubelet and kube-controller-manager write.
import type { Resource } from '../kube/kube-api.ts';

export const CUSTOM_RESOURCE_DEFINITIONS: Resource = {
  group: 'apiextensions.k8s.io',
  version: 'v1',
  plural: 'customresourcedefinitions',
  kind: 'CustomResourceDefinition',
  namespaced: false,
};

/** Where kubelets keep their leases. */
export const LEASE_NAMESPACE = 'kube-node-lease';
