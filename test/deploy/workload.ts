// The parts of a workload's manifest that tests look at.
import type { KubeObject } from '../../src/kube/objects.ts';

interface Container {
  readonly image: string;
  readonly args: readonly string[];
  readonly securityContext: object;
}

interface PodSpec {
  readonly containers: readonly Container[];
}

interface Workload extends KubeObject {
  readonly spec?: { readonly template?: { readonly spec?: PodSpec } };
}

export function named(objects: readonly KubeObject[], kind: string, name: string): KubeObject | undefined {
  return objects.find((each) => each.kind === kind && each.metadata.name === name);
}

/** Of a Deployment, DaemonSet or Job. */
export function podOf(workload: Workload | undefined): PodSpec {
  const spec = workload?.spec?.template?.spec;
  if (!spec) throw new Error(`${workload?.kind} ${workload?.metadata.name} has no Pod`);
  return spec;
}

export function containerOf(workload: Workload | undefined): Container {
  const [container] = podOf(workload).containers;
  if (!container) throw new Error(`${workload?.kind} ${workload?.metadata.name} has no container`);
  return container;
}
