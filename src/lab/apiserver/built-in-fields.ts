// Fields of metadata and of built-in kinds, as k8s.io/api has them, for kinds whose mistakes people should hear of.
import type { Schema } from './schema.ts';

export const STRING: Schema = { type: 'string' };
export const INTEGER: Schema = { type: 'integer' };
export const BOOLEAN: Schema = { type: 'boolean' };
const PORT: Schema = { 'x-kubernetes-int-or-string': true };
export const STRINGS = list(STRING);
const STRING_MAP: Schema = { type: 'object', additionalProperties: STRING };

const CONDITION = object({
  type: STRING,
  status: STRING,
  observedGeneration: INTEGER,
  lastTransitionTime: STRING,
  reason: STRING,
  message: STRING,
});

const REFERENCE = object({
  kind: STRING,
  namespace: STRING,
  name: STRING,
  uid: STRING,
  apiVersion: STRING,
  resourceVersion: STRING,
  fieldPath: STRING,
});

const OWNER = object({
  apiVersion: STRING,
  kind: STRING,
  name: STRING,
  uid: STRING,
  controller: BOOLEAN,
  blockOwnerDeletion: BOOLEAN,
});

const MANAGED = object({
  manager: STRING,
  operation: STRING,
  apiVersion: STRING,
  time: STRING,
  fieldsType: STRING,
  fieldsV1: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
  subresource: STRING,
});

/** Every kind's (apimachinery, meta/v1 ObjectMeta). */
export const METADATA_FIELDS = object({
  name: STRING,
  generateName: STRING,
  namespace: STRING,
  selfLink: STRING,
  uid: STRING,
  resourceVersion: STRING,
  generation: INTEGER,
  creationTimestamp: STRING,
  deletionTimestamp: STRING,
  deletionGracePeriodSeconds: INTEGER,
  labels: STRING_MAP,
  annotations: STRING_MAP,
  finalizers: STRINGS,
  ownerReferences: list(OWNER),
  managedFields: list(MANAGED),
});

export const SERVICE_FIELDS = object({
  spec: object({
    type: STRING,
    selector: STRING_MAP,
    ports: list(
      object({
        name: STRING,
        protocol: STRING,
        appProtocol: STRING,
        port: INTEGER,
        targetPort: PORT,
        nodePort: INTEGER,
      }),
    ),
    clusterIP: STRING,
    clusterIPs: STRINGS,
    ipFamilies: STRINGS,
    ipFamilyPolicy: STRING,
    externalName: STRING,
    externalIPs: STRINGS,
    externalTrafficPolicy: STRING,
    internalTrafficPolicy: STRING,
    trafficDistribution: STRING,
    sessionAffinity: STRING,
    sessionAffinityConfig: object({ clientIP: object({ timeoutSeconds: INTEGER }) }),
    loadBalancerClass: STRING,
    loadBalancerIP: STRING,
    loadBalancerSourceRanges: STRINGS,
    allocateLoadBalancerNodePorts: BOOLEAN,
    healthCheckNodePort: INTEGER,
    publishNotReadyAddresses: BOOLEAN,
  }),
  status: object({
    loadBalancer: object({
      ingress: list(
        object({
          ip: STRING,
          hostname: STRING,
          ipMode: STRING,
          ports: list(object({ port: INTEGER, protocol: STRING, error: STRING })),
        }),
      ),
    }),
    conditions: list(CONDITION),
  }),
});

export const ENDPOINT_SLICE_FIELDS = object({
  addressType: STRING,
  endpoints: list(
    object({
      addresses: STRINGS,
      conditions: object({ ready: BOOLEAN, serving: BOOLEAN, terminating: BOOLEAN }),
      hostname: STRING,
      targetRef: REFERENCE,
      deprecatedTopology: STRING_MAP,
      nodeName: STRING,
      zone: STRING,
      hints: object({ forZones: list(object({ name: STRING })), forNodes: list(object({ name: STRING })) }),
    }),
  ),
  ports: list(object({ name: STRING, protocol: STRING, port: INTEGER, appProtocol: STRING })),
});

export const CONFIG_MAP_FIELDS = object({ data: STRING_MAP, binaryData: STRING_MAP, immutable: BOOLEAN });

export const SECRET_FIELDS = object({
  data: STRING_MAP,
  stringData: STRING_MAP,
  type: STRING,
  immutable: BOOLEAN,
});

export const LEASE_FIELDS = object({
  spec: object({
    holderIdentity: STRING,
    leaseDurationSeconds: INTEGER,
    acquireTime: STRING,
    renewTime: STRING,
    leaseTransitions: INTEGER,
    strategy: STRING,
    preferredHolder: STRING,
  }),
});

/** Of the rest the server looks at these fields alone, and takes all others as they are. */
export const NAMESPACE_FIELDS = open({
  spec: open({ finalizers: STRINGS }),
  status: open({ phase: STRING }),
});

export const NODE_FIELDS = open({
  spec: open({
    unschedulable: BOOLEAN,
    podCIDR: STRING,
    podCIDRs: STRINGS,
    taints: list(open({ key: STRING })),
  }),
  status: open({
    conditions: list(open({ type: STRING, status: STRING })),
    addresses: list(open({ type: STRING, address: STRING })),
    nodeInfo: open({ kubeletVersion: STRING }),
  }),
});

export const SERVICE_CIDR_FIELDS = object({
  spec: object({ cidrs: STRINGS }),
  status: object({ conditions: list(CONDITION) }),
});

export const POD_FIELDS = open({
  spec: open({ nodeName: STRING, containers: list(open({ name: STRING })) }),
  status: open({
    phase: STRING,
    reason: STRING,
    podIP: STRING,
    podIPs: list(open({ ip: STRING })),
    conditions: list(open({ type: STRING, status: STRING })),
    containerStatuses: list(open({ ready: BOOLEAN })),
  }),
});

const ANY_EVENT = {
  reason: STRING,
  type: STRING,
  action: STRING,
  reportingInstance: STRING,
  eventTime: STRING,
  related: REFERENCE,
  series: open({ count: INTEGER, lastObservedTime: STRING }),
};

export const EVENT_FIELDS = open({
  ...ANY_EVENT,
  regarding: REFERENCE,
  note: STRING,
  reportingController: STRING,
  deprecatedLastTimestamp: STRING,
});

export const CORE_EVENT_FIELDS = open({
  ...ANY_EVENT,
  involvedObject: REFERENCE,
  message: STRING,
  reportingComponent: STRING,
  lastTimestamp: STRING,
});

function object(properties: Readonly<Record<string, Schema>>): Schema {
  return { type: 'object', properties };
}

/** An object that may have other fields too. */
export function open(properties: Readonly<Record<string, Schema>>): Schema {
  return { type: 'object', properties, 'x-kubernetes-preserve-unknown-fields': true };
}

export function list(items: Schema): Schema {
  return { type: 'array', items };
}
