// The heartbeat of a lab's node, as its kubelet has it: a Lease that is renewed over the LAN for as long as the
// node is on it. Called with the kubeconfig and the node's name.
import { setTimeout as wait } from 'node:timers/promises';
import { connectKube } from '../../kube/connection.ts';
import { LEASES } from '../../kube/resources.ts';
import { LEASE_NAMESPACE } from '../kinds.ts';
import { HEARTBEAT } from '../node-lifecycle.ts';

const [kubeconfig = '', name = ''] = process.argv.slice(2);
const api = await connectKube(kubeconfig);

process.on('disconnect', () => process.exit(0));
let told = false;
for (;;) {
  await renew().catch((error) => console.error(`${new Date().toISOString()} ${error}`));
  await wait(HEARTBEAT);
}

async function renew(): Promise<void> {
  const lease = {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name },
    spec: { holderIdentity: name, renewTime: new Date().toISOString().replace('Z', '000Z') },
  };
  const place = { name, namespace: LEASE_NAMESPACE };
  await api.patch(LEASES, place, lease, { type: 'apply', fieldManager: 'kubelet', force: true });
  if (!told) process.send?.('ready');
  told = true;
}
