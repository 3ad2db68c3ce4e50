// The kinds that Fairlead reads and writes, by their place in the REST tree.
import type { Resource } from './kube-api.ts';
import type { LeaseObject } from './lease.ts';
import type {
  ConfigMapObject,
  EndpointSliceObject,
  NamespaceObject,
  NodeObject,
  PodObject,
  SecretObject,
  ServiceCidrObject,
  ServiceObject,
} from './objects.ts';

export const SERVICES: Resource<ServiceObject> = {
  group: '',
  version: 'v1',
  plural: 'services',
  kind: 'Service',
  namespaced: true,
};

export const NODES: Resource<NodeObject> = {
  group: '',
  version: 'v1',
  plural: 'nodes',
  kind: 'Node',
  namespaced: false,
};

export const NAMESPACES: Resource<NamespaceObject> = {
  group: '',
  version: 'v1',
  plural: 'namespaces',
  kind: 'Namespace',
  namespaced: false,
};

export const ENDPOINT_SLICES: Resource<EndpointSliceObject> = {
  group: 'discovery.k8s.io',
  version: 'v1',
  plural: 'endpointslices',
  kind: 'EndpointSlice',
  namespaced: true,
};

export const PODS: Resource<PodObject> = {
  group: '',
  version: 'v1',
  plural: 'pods',
  kind: 'Pod',
  namespaced: true,
};

/** Since Kubernetes 1.33. */
export const SERVICE_CIDRS: Resource<ServiceCidrObject> = {
  group: 'networking.k8s.io',
  version: 'v1',
  plural: 'servicecidrs',
  kind: 'ServiceCIDR',
  namespaced: false,
};

export const EVENTS: Resource = {
  group: 'events.k8s.io',
  version: 'v1',
  plural: 'events',
  kind: 'Event',
  namespaced: true,
};

export const IP_ADDRESS_POOLS: Resource = {
  group: 'fairlead.dev',
  version: 'v1alpha1',
  plural: 'ipaddresspools',
  kind: 'IPAddressPool',
  namespaced: false,
};

export const L2_ADVERTISEMENTS: Resource = {
  group: 'fairlead.dev',
  version: 'v1alpha1',
  plural: 'l2advertisements',
  kind: 'L2Advertisement',
  namespaced: false,
};

export const ANNOUNCEMENTS: Resource = {
  group: 'fairlead.dev',
  version: 'v1alpha1',
  plural: 'announcements',
  kind: 'Announcement',
  namespaced: false,
};

export const LEASES: Resource<LeaseObject> = {
  group: 'coordination.k8s.io',
  version: 'v1',
  plural: 'leases',
  kind: 'Lease',
  namespaced: true,
};

export const CLOUD_ACCOUNTS: Resource = {
  group: 'fairlead.dev',
  version: 'v1alpha1',
  plural: 'cloudaccounts',
  kind: 'CloudAccount',
  namespaced: false,
};

export const ADDRESS_QUOTAS: Resource = {
  group: 'fairlead.dev',
  version: 'v1alpha1',
  plural: 'addressquotas',
  kind: 'AddressQuota',
  namespaced: false,
};
export const ADDRESS_RESERVATIONS: Resource = {
  group: 'fairlead.dev',
  version: 'v1alpha1',
  plural: 'addressreservations',
  kind: 'AddressReservation',
  namespaced: false,
};

export const CONFIG_MAPS: Resource<ConfigMapObject> = {
  group: '',
  version: 'v1',
  plural: 'configmaps',
  kind: 'ConfigMap',
  namespaced: true,
};

export const SECRETS: Resource<SecretObject> = {
  group: '',
  version: 'v1',
  plural: 'secrets',
  kind: 'Secret',
  namespaced: true,
};
