// build/kubeconfig.cjs (scripts/build.mjs) is this part of the client library, bundled.
declare module '#kubeconfig' {
  export { KubeConfig } from '@kubernetes/client-node';
}
