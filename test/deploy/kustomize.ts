// The base and its components as `kubectl apply -k` has them.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import type { KubeObject } from '../../src/kube/objects.ts';
import { objectsIn } from './chart.ts';

export const DEPLOY = join(import.meta.dirname, '../../deploy');

/** What a folder with a kustomization makes. */
export function build(folder: string): KubeObject[] {
  return objectsIn(execFileSync('kubectl', ['kustomize', folder], { encoding: 'utf8' }));
}

/** What an overlay of the base with these components makes. */
export function overlay(...components: readonly string[]): KubeObject[] {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-overlay-'));
  try {
    const at = (path: string) => relative(folder, join(DEPLOY, path));
    const kustomization = {
      apiVersion: 'kustomize.config.k8s.io/v1beta1',
      kind: 'Kustomization',
      resources: [at('.')],
      components: components.map((each) => at(`components/${each}`)),
    };
    writeFileSync(join(folder, 'kustomization.yaml'), JSON.stringify(kustomization));
    return build(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
