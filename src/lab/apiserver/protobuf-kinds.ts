// The kinds that kubectl's `create` commands send as protobuf, by the field numbers of k8s.io/api's generated.proto.
// What a client does not set on a create is left out: times, ownership, status.

export interface Field {
  readonly name: string;
  readonly type:
    | 'string'
    | 'integer'
    | 'boolean'
    /** Bytes, base64 in JSON. */
    | 'blob'
    | 'integer or string'
    /** Maps from strings. */
    | 'strings'
    | 'blobs'
    /** A message whose fields are the parent's in JSON. */
    | 'inline'
    | Message;
  readonly repeated?: true;
}

/** Fields by their number. */
export interface Message {
  readonly [number: number]: Field;
}

const string = (name: string): Field => ({ name, type: 'string' });
const integer = (name: string): Field => ({ name, type: 'integer' });
const boolean = (name: string): Field => ({ name, type: 'boolean' });
const strings = (name: string): Field => ({ name, type: 'strings' });
const list = (name: string, type: Field['type'] = 'string'): Field => ({ name, type, repeated: true });
const message = (name: string, type: Message): Field => ({ name, type });

/** runtime.Unknown: the type, and the object's own bytes. */
export const ENVELOPE: Message = { 1: { name: '', type: 'inline' }, 2: { name: 'raw', type: 'blob' } };

const OWNER: Message = {
  1: string('kind'),
  3: string('name'),
  4: string('uid'),
  5: string('apiVersion'),
  6: boolean('controller'),
  7: boolean('blockOwnerDeletion'),
};

const METADATA: Message = {
  1: string('name'),
  2: string('generateName'),
  3: string('namespace'),
  5: string('uid'),
  6: string('resourceVersion'),
  11: strings('labels'),
  12: strings('annotations'),
  13: list('ownerReferences', OWNER),
  14: list('finalizers'),
};

const SERVICE_PORT: Message = {
  1: string('name'),
  2: string('protocol'),
  3: integer('port'),
  4: { name: 'targetPort', type: 'integer or string' },
  5: integer('nodePort'),
  6: string('appProtocol'),
};

const SERVICE_SPEC: Message = {
  1: list('ports', SERVICE_PORT),
  2: strings('selector'),
  3: string('clusterIP'),
  4: string('type'),
  5: list('externalIPs'),
  7: string('sessionAffinity'),
  8: string('loadBalancerIP'),
  9: list('loadBalancerSourceRanges'),
  10: string('externalName'),
  11: string('externalTrafficPolicy'),
  12: integer('healthCheckNodePort'),
  13: boolean('publishNotReadyAddresses'),
  14: message('sessionAffinityConfig', { 1: message('clientIP', { 1: integer('timeoutSeconds') }) }),
  17: string('ipFamilyPolicy'),
  18: list('clusterIPs'),
  19: list('ipFamilies'),
  20: boolean('allocateLoadBalancerNodePorts'),
  21: string('loadBalancerClass'),
  22: string('internalTrafficPolicy'),
  23: string('trafficDistribution'),
};

const BLOBS = { name: 'data', type: 'blobs' } as const;
const metadata = message('metadata', METADATA);
const NAMED: Message = { 1: string('name') };

export const PROTOBUF_KINDS: Readonly<Record<string, Message>> = {
  Namespace: { 1: metadata },
  Service: { 1: metadata, 2: message('spec', SERVICE_SPEC) },
  ConfigMap: {
    1: metadata,
    2: strings('data'),
    3: { ...BLOBS, name: 'binaryData' },
    4: boolean('immutable'),
  },
  Secret: { 1: metadata, 2: BLOBS, 3: string('type'), 4: strings('stringData'), 5: boolean('immutable') },
  ServiceAccount: {
    1: metadata,
    3: list('imagePullSecrets', NAMED),
    4: boolean('automountServiceAccountToken'),
  },
  SelfSubjectAccessReview: { 1: metadata },
  DeleteOptions: {
    1: integer('gracePeriodSeconds'),
    2: message('preconditions', { 1: string('uid'), 2: string('resourceVersion') }),
    4: string('propagationPolicy'),
    5: list('dryRun'),
  },
};
