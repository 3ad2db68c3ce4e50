// The lab's control plane: the embedded API server, in the network namespace of its host. Its parent asks over
// IPC for what goes wrong with API servers. Called with a file for the kubeconfig, the host's address, the
// port and the service CIDRs.
import { writeFileSync } from 'node:fs';
import { startApiServer } from '../apiserver/server.ts';
import type { ApiServerFault } from '../control-plane.ts';

const [kubeconfig = '', host = '', port = '', ...serviceCidrs] = process.argv.slice(2);
const server = await startApiServer({ host, port: Number(port), serviceCidrs });
writeFileSync(kubeconfig, server.kubeconfig());

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
      server.forgetHistory();
      break;
  }
  process.send?.('done');
});
process.on('disconnect', () => process.exit(0));
process.send?.('ready');
