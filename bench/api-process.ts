// An API server that costs next to nothing, in a process of its own: Services, EndpointSlices and a Node that were
// made up beforehand, in lists and watches, and changes on call. It takes every write and forgets it.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { answerCalls } from '../test/proxy/answer-calls.ts';
import { clusterAddress, endpointAddress } from './addresses.ts';

interface Item {
  readonly metadata: { readonly name: string; resourceVersion: string };
}

interface Collection {
  readonly kind: string;
  readonly apiVersion: string;
  readonly items: Map<string, Item>;
  readonly watchers: Set<ServerResponse>;
}

const collection = (apiVersion: string, kind: string): Collection => ({
  apiVersion,
  kind,
  items: new Map(),
  watchers: new Set(),
});
const slices = collection('discovery.k8s.io/v1', 'EndpointSlice');
const COLLECTIONS: Readonly<Record<string, Collection>> = {
  '/api/v1/services': collection('v1', 'Service'),
  '/api/v1/nodes': collection('v1', 'Node'),
  '/apis/discovery.k8s.io/v1/endpointslices': slices,
  '/apis/networking.k8s.io/v1/servicecidrs': collection('networking.k8s.io/v1', 'ServiceCIDR'),
};
let version = 1;

answerCalls({
  /** Fills it and listens; resolves with the URL. Each Service has so many endpoints; those above `ready` have none. */
  start: (services: number, endpoints: number, ready: number) => {
    put('/api/v1/nodes', {
      metadata: metadata('node'),
      status: { addresses: [{ type: 'InternalIP', address: '192.0.2.1' }] },
    });
    for (let i = 0; i < services; i++) {
      put('/api/v1/services', serviceObject(i));
      slices.items.set(`web-${i}`, sliceObject(i, i < ready ? endpoints : 0, 0));
    }
    return new Promise<string>((resolve) => {
      const server = createServer(answer).listen(0, '127.0.0.1', () =>
        resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
      );
    });
  },
  /** The slices of these Services have one endpoint now, by another address with each version. */
  change(numbers: readonly number[], to: number) {
    for (const i of numbers) {
      const object = sliceObject(i, 1, to);
      slices.items.set(`web-${i}`, object);
      const line = `${JSON.stringify({ type: 'MODIFIED', object: whole(slices, object) })}\n`;
      for (const watcher of slices.watchers) watcher.write(line);
    }
  },
});

function put(path: string, item: Item & Record<string, unknown>): void {
  COLLECTIONS[path]?.items.set(item.metadata.name, item);
}

/** As much as real objects carry besides what matters. */
function metadata(name: string) {
  return {
    name,
    uid: `6f1c9d4e-5f0a-4c1b-9a53-${version.toString(16).padStart(12, '0')}`,
    resourceVersion: String(++version),
    creationTimestamp: '2026-01-01T00:00:00Z',
    labels: { app: name, 'app.kubernetes.io/managed-by': 'bench' },
    managedFields: [
      {
        manager: 'bench',
        operation: 'Update',
        apiVersion: 'v1',
        time: '2026-01-01T00:00:00Z',
        fieldsType: 'FieldsV1',
        fieldsV1: { 'f:spec': { 'f:ports': {}, 'f:selector': {}, 'f:sessionAffinity': {}, 'f:type': {} } },
      },
    ],
  };
}

function serviceObject(i: number) {
  const address = clusterAddress(i);
  return {
    metadata: { ...metadata(`web-${i}`), namespace: 'default' },
    spec: {
      type: 'ClusterIP',
      clusterIP: address,
      clusterIPs: [address],
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
      selector: { app: `web-${i}` },
      sessionAffinity: 'None',
      internalTrafficPolicy: 'Cluster',
      ports: [{ name: 'http', protocol: 'TCP', port: 80, targetPort: 8080 }],
    },
    status: { loadBalancer: {} },
  };
}

function sliceObject(i: number, endpoints: number, from: number) {
  const plain = metadata(`web-${i}`);
  return {
    metadata: {
      ...plain,
      namespace: 'default',
      labels: { ...plain.labels, 'kubernetes.io/service-name': `web-${i}` },
    },
    addressType: 'IPv4',
    ports: [{ name: 'http', protocol: 'TCP', port: 8080 }],
    endpoints: Array.from({ length: endpoints }, (_, j) => ({
      addresses: [endpointAddress(i, from + j)],
      conditions: { ready: true, serving: true, terminating: false },
      nodeName: j % 2 === 0 ? 'node' : 'node2',
      targetRef: { kind: 'Pod', namespace: 'default', name: `web-${i}-${j}`, uid: plain.uid },
    })),
  };
}

function whole({ apiVersion, kind }: Collection, item: Item) {
  return { apiVersion, kind, ...item };
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://server');
  const found = COLLECTIONS[pathname];
  request.resume();
  response.setHeader('Content-Type', 'application/json');
  if (request.method !== 'GET') return void response.writeHead(201).end('{}');
  if (!found) {
    // kube-proxy asks for its Node by name.
    const node = COLLECTIONS['/api/v1/nodes']?.items.get(pathname.slice('/api/v1/nodes/'.length));
    if (node) return void response.end(JSON.stringify({ apiVersion: 'v1', kind: 'Node', ...node }));
    return void response.writeHead(404).end(status(404, 'NotFound'));
  }
  // A client that wants the list as a watch asks for the list instead then.
  if (searchParams.get('sendInitialEvents') === 'true')
    return void response.writeHead(422).end(status(422, 'Invalid'));
  if (searchParams.get('watch')) {
    response.flushHeaders();
    found.watchers.add(response);
    response.on('close', () => found.watchers.delete(response));
    return;
  }
  const items = [...found.items.values()];
  const from = Number(searchParams.get('continue') ?? 0);
  const to = from + Number(searchParams.get('limit') || items.length);
  const list = { resourceVersion: String(version), ...(to < items.length ? { continue: String(to) } : {}) };
  const { apiVersion, kind } = found;
  const part = items.slice(from, to);
  response.end(JSON.stringify({ kind: `${kind}List`, apiVersion, metadata: list, items: part }));
}

function status(code: number, reason: string): string {
  return JSON.stringify({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', code, reason });
}
