// Objects from YAML or JSON files, as `kubectl` reads them: several documents a file, lists taken apart.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { loadAll, YAMLException } from 'js-yaml';
import type { KubeObject } from '../kube/objects.ts';
import { UsageError } from './usage-error.ts';

/** `names`: files, folders (their *.yaml, *.yml and *.json), or `-` for standard input. Throws UsageError. */
export function readManifests(names: readonly string[]): KubeObject[] {
  return names
    .flatMap(filesOf)
    .flatMap((file) => documentsOf(file).flatMap((content) => objectsOf(file, content)));
}

function filesOf(name: string): string[] {
  if (name === '-' || !isFolder(name)) return [name];
  const files = readdirSync(name).filter((file) => /\.(ya?ml|json)$/.test(file));
  if (files.length === 0)
    throw new UsageError(`-f: "${name}" holds no .yaml, .yml or .json file; name one that does`);
  return files.sort().map((file) => join(name, file));
}

function isFolder(name: string): boolean {
  return statSync(name, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function documentsOf(file: string): unknown[] {
  let text: string;
  try {
    text = readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new UsageError(`-f: "${file}" cannot be read (${code}); name a file that exists and is readable`);
  }
  try {
    return loadAll(text);
  } catch (error) {
    if (!(error instanceof YAMLException)) throw error;
    const { reason, mark } = error;
    throw new UsageError(
      `-f: "${file}" is no YAML: ${reason}${mark ? ` in line ${mark.line + 1}` : ''}; correct it`,
    );
  }
}

function objectsOf(file: string, content: unknown): KubeObject[] {
  if (content === undefined || content === null) return []; // an empty document
  const { kind, items, metadata } = content as {
    kind?: unknown;
    items?: unknown;
    metadata?: { name?: unknown };
  };
  if (typeof kind === 'string' && kind.endsWith('List') && Array.isArray(items))
    return items.flatMap((item) => objectsOf(file, item));
  if (typeof kind !== 'string' || typeof metadata?.name !== 'string')
    throw new UsageError(
      `-f: "${file}" holds a document that is no object; it needs a kind and a metadata.name`,
    );
  return [content as KubeObject]; // what more is needed of it, its reader checks
}
