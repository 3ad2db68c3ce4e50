// What is in a lab's API server at the start: our kinds, and the nodes and pods of the plan.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { load } from 'js-yaml';
import type { KubeApi } from '../kube/kube-api.ts';
import type { KubeObject } from '../kube/objects.ts';
import { NODES } from '../kube/resources.ts';
import { CUSTOM_RESOURCE_DEFINITIONS, PODS } from './kinds.ts';
import type { LabNode, LabPlan, LabPod } from './plan.ts';
import { POD_PORT } from './pod-answer.ts';

const CRDS = join(import.meta.dirname, '../../deploy/crds');
/** The pods' label. */
export const APP = 'web';
/** No image at all: the pods are processes of the lab. */
const IMAGE = 'fairlead.dev/lab';
const NAMESPACE = 'default';
const STATUS = { type: 'merge', subresource: 'status', fieldManager: 'fairlead-lab' } as const;

export async function createObjects(api: KubeApi, { nodes, aws }: LabPlan): Promise<void> {
  for (const file of readdirSync(CRDS)) {
    const definition = load(readFileSync(join(CRDS, file), 'utf8')) as KubeObject; // our own manifests
    await api.create(CUSTOM_RESOURCE_DEFINITIONS, definition);
  }
  for (const node of nodes) {
    await createNode(api, node, aws !== undefined);
    for (const pod of node.pods) await createPod(api, node, pod);
  }
}

async function createNode(
  api: KubeApi,
  { name, addresses, instance }: LabNode,
  inAws: boolean,
): Promise<void> {
  await api.create(NODES, {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { 'kubernetes.io/hostname': name } },
    ...(inAws ? { spec: { providerID: `aws:///eu-central-1a/${instance}` } } : {}),
  });
  const status = { addresses: addresses.map((address) => ({ type: 'InternalIP', address })) };
  await api.patch(NODES, { name }, { status }, STATUS);
}

async function createPod(api: KubeApi, node: LabNode, { name, addresses }: LabPod): Promise<void> {
  const ports = [{ name: 'http', containerPort: POD_PORT }];
  await api.create(PODS, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: NAMESPACE, labels: { app: APP } },
    spec: { nodeName: node.name, containers: [{ name: APP, image: IMAGE, ports }] },
  });
  const podIPs = addresses.map((ip) => ({ ip }));
  const containerStatuses = [{ name: APP, image: IMAGE, imageID: '', ready: true, restartCount: 0 }];
  const status = { phase: 'Running', podIP: addresses[0], podIPs, containerStatuses };
  await api.patch(PODS, { name, namespace: NAMESPACE }, { status }, STATUS);
}
