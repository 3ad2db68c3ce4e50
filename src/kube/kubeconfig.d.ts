// build/kubeconfig.cjs (scripts/build.mjs) is this part of the client library, bundled.
declare module '#kubeconfig' {
  export { type Cluster, KubeConfig, type User } from '@kubernetes/client-node';
}
