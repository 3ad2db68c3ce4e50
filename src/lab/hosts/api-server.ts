// The lab's control plane: the API server, embedded or real, in the network namespace of its host. Its parent asks
// over IPC for what goes wrong with API servers. Called with the kind, a file for the kubeconfig, the host's
// address, the port and the service CIDRs.
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { LabApiServer } from '../api-server.ts';
import { startApiServer } from '../apiserver/server.ts';
import type { ApiServerFault } from '../control-plane.ts';
import { findKubernetes } from '../kubernetes-binaries.ts';
import { KubernetesServer } from '../kubernetes-server.ts';

const [kind = '', kubeconfig = '', host = '', port = '', ...serviceCidrs] = process.argv.slice(2);
const options = { host, port: Number(port), serviceCidrs };
const server = kind === 'real' ? await startReal() : await startApiServer(options);
writeFileSync(kubeconfig, server.kubeconfig());

function startReal(): Promise<LabApiServer> {
  const binaries = findKubernetes();
  if (binaries.kind === 'missing') throw new Error(binaries.problem);
  const folder = join(dirname(kubeconfig), 'kubernetes');
  return KubernetesServer.start({ ...options, binaries: binaries.folder, folder });
}

process.on('message', async (fault: ApiServerFault) => {
  switch (fault) {
    case 'stop':
      await server.stop();
      break;
    case 'start':
      await server.start();
      break;
    case 'drop watches':
      server.dropWatches();
      break;
    case 'forget history':
      await server.forgetHistory();
      break;
  }
  process.send?.('done');
});
for (const end of ['disconnect', 'SIGTERM'])
  process.on(end, async () => {
    await server.close();
    process.exit(0);
  });
process.send?.('ready');
