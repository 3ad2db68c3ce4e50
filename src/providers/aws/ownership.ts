// Whose a cloud object is, by its tags: the AWS controller's three, and one with the Service's UID, which decides.

export const UID_TAG = 'fairlead.dev/service-uid';
/** The UID of the cluster's namespace kube-system: two clusters under one name must not clear away each other's. */
export const CLUSTER_UID_TAG = 'fairlead.dev/cluster-uid';
export const CLUSTER_TAG = 'elbv2.k8s.aws/cluster';
export const STACK_TAG = 'service.k8s.aws/stack';
export const RESOURCE_TAG = 'service.k8s.aws/resource';

export type Tags = Readonly<Record<string, string>>;

export interface Owner {
  readonly cluster: string;
  /** `namespace/name` */
  readonly key: string;
  readonly uid: string;
  /** '' where it is not known. */
  readonly clusterUid: string;
}

/** `resource`: as the AWS controller names it, such as `LoadBalancer` or `shop/web:80`. */
export function ownerTags({ cluster, key, uid, clusterUid }: Owner, resource: string): Tags {
  return {
    [CLUSTER_TAG]: cluster,
    [STACK_TAG]: key,
    [RESOURCE_TAG]: resource,
    [UID_TAG]: uid,
    ...(clusterUid === '' ? {} : { [CLUSTER_UID_TAG]: clusterUid }),
  };
}

/** Of what all Services of a cluster share; the first two are the AWS controller's. */
export function backendTags({ cluster, clusterUid }: Owner): Tags {
  return {
    [CLUSTER_TAG]: cluster,
    'elbv2.k8s.aws/resource': 'backend-sg',
    ...(clusterUid === '' ? {} : { [CLUSTER_UID_TAG]: clusterUid }),
  };
}

export type Ownership =
  | 'ours'
  /** Another controller made it for this very Service. */
  | 'adoptable'
  | 'foreign';

export function ownershipOf(tags: Tags, { cluster, key, uid }: Owner): Ownership {
  if (tags[UID_TAG] !== undefined)
    return tags[UID_TAG] === uid && tags[CLUSTER_TAG] === cluster ? 'ours' : 'foreign';
  if (tags[CLUSTER_TAG] === cluster && tags[STACK_TAG] === key) return 'adoptable';
  const inTree =
    tags['kubernetes.io/service-name'] === key && tags[`kubernetes.io/cluster/${cluster}`] === 'owned';
  return inTree ? 'adoptable' : 'foreign';
}

/** Tags that are not ours to take away. */
export function isForeignTag(key: string): boolean {
  return key.startsWith('aws:') || key.startsWith('kubernetes.io/');
}
