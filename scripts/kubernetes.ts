// `npm run kubernetes`: builds etcd and kube-apiserver for the cluster tests and `fairlead lab demo --apiserver real`,
// unless they are there, and prints their folder.
import { buildKubernetes } from '../src/lab/kubernetes-binaries.ts';

const binaries = await buildKubernetes((what) => console.error(`fairlead: ${what}`));
if (binaries.kind === 'missing') {
  console.error(`fairlead: ${binaries.problem}`);
  process.exit(1);
}
console.log(binaries.folder);
