// Reads a kubeconfig file strictly, into the one cluster and user that its current context names.
// The client library reads more loosely: it passes over unknown names, and `tokenFile` it does not know.
import { readFileSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { load, YAMLException } from 'js-yaml';
import type { Cluster, User } from '#kubeconfig';

/** A kubeconfig that cannot be used: which file, which field and value, the mend. */
export class KubeconfigError extends Error {}

type Fields = Readonly<Record<string, unknown>>;

/** Throws KubeconfigError. Relative paths in the file are relative to the file, as they are for kubectl. */
export function readKubeconfig(file: string): { readonly cluster: Cluster; readonly user: User } {
  const entries = new Entries(file, parse(file));
  const context = entries.current();
  const cluster = entries.named('clusters', 'cluster', String(context.cluster ?? ''), 'context.cluster');
  const name = String(context.user ?? '');
  const user = name === '' ? {} : entries.named('users', 'user', name, 'context.user');
  return { cluster: clusterOf(cluster, entries), user: userOf(user, name, entries) };
}

function parse(file: string): Fields {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new KubeconfigError(
      `"${file}" cannot be read (${(error as NodeJS.ErrnoException).code}); name a kubeconfig that exists and is readable`,
    );
  }
  let content: unknown;
  try {
    content = load(text);
  } catch (error) {
    if (!(error instanceof YAMLException)) throw error;
    const { reason, mark } = error;
    throw new KubeconfigError(
      `"${file}" is no YAML: ${reason}${mark ? ` in line ${mark.line + 1}` : ''}; correct it`,
    );
  }
  if (!isFields(content))
    throw new KubeconfigError(`"${file}" holds no kubeconfig; it needs clusters, users and contexts`);
  return content;
}

/** The file's lists of named things, and what to say where one does not fit. */
class Entries {
  readonly #file: string;
  readonly #content: Fields;

  constructor(file: string, content: Fields) {
    this.#file = file;
    this.#content = content;
  }

  current(): Fields {
    const name = this.#content['current-context'];
    if (typeof name !== 'string' || name === '')
      throw this.wrong('current-context', 'is not set', this.#choice('contexts'));
    return this.named('contexts', 'context', name, 'current-context');
  }

  named(list: string, field: string, name: string, path: string): Fields {
    const found = this.#list(list).find((entry) => entry.name === name)?.[field];
    if (!isFields(found)) throw this.wrong(path, `is "${name}", which ${list} lacks`, this.#choice(list));
    return found;
  }

  /** A text field, or undefined where it is absent. */
  text(from: Fields, field: string, path: string): string | undefined {
    const value = from[field] ?? undefined;
    if (value !== undefined && typeof value !== 'string')
      throw this.wrong(`${path}.${field}`, 'is no text', 'put it in quotes');
    return value === '' ? undefined : value;
  }

  /** The path that a field names; the file there is readable. */
  path(from: Fields, field: string, path: string): string | undefined {
    const value = this.text(from, field, path);
    if (value === undefined) return undefined;
    const target = this.absolute(value);
    try {
      readFileSync(target);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException; // what readFileSync throws
      throw this.wrong(`${path}.${field}`, `names "${target}", which cannot be read (${code})`, 'correct it');
    }
    return target;
  }

  /** Base64 of a PEM block. */
  pem(from: Fields, field: string, path: string): string | undefined {
    const value = this.text(from, field, path);
    if (value !== undefined && !Buffer.from(value, 'base64').includes('-----BEGIN'))
      throw this.wrong(`${path}.${field}`, 'is not the base64 of a PEM file', 'write `base64 -w0 FILE`');
    return value;
  }

  absolute(path: string): string {
    return isAbsolute(path) ? path : join(dirname(this.#file), path);
  }

  wrong(path: string, problem: string, mend: string): KubeconfigError {
    return new KubeconfigError(`"${this.#file}": ${path} ${problem}; ${mend}`);
  }

  #list(name: string): readonly Fields[] {
    const list = this.#content[name];
    return Array.isArray(list) ? list.filter(isFields) : [];
  }

  #choice(list: string): string {
    const names = this.#list(list).map(({ name }) => `"${name}"`);
    return names.length === 0 ? `add it to ${list}` : `write one of ${names.join(', ')}`;
  }
}

const PROXY_PROTOCOLS = ['http:', 'https:', 'socks5:', 'socks5h:'];

function clusterOf(from: Fields, entries: Entries): Cluster {
  const server = entries.text(from, 'server', 'cluster') ?? '';
  const url = URL.canParse(server) ? new URL(server) : undefined;
  if (url?.protocol !== 'https:' && url?.protocol !== 'http:')
    throw entries.wrong(
      'cluster.server',
      `is "${server}", which is no URL`,
      'write one such as https://192.0.2.1:6443',
    );
  const proxyUrl = entries.text(from, 'proxy-url', 'cluster');
  if (
    proxyUrl !== undefined &&
    !(URL.canParse(proxyUrl) && PROXY_PROTOCOLS.includes(new URL(proxyUrl).protocol))
  )
    throw entries.wrong(
      'cluster.proxy-url',
      `is "${proxyUrl}"`,
      'write a URL that starts with http, https or socks5',
    );
  return {
    name: 'cluster',
    server,
    // The library speaks plain HTTP only where it need not verify; there is nothing to verify.
    skipTLSVerify: from['insecure-skip-tls-verify'] === true || url.protocol === 'http:',
    ...defined({
      caFile: entries.path(from, 'certificate-authority', 'cluster'),
      caData: entries.pem(from, 'certificate-authority-data', 'cluster'),
      tlsServerName: entries.text(from, 'tls-server-name', 'cluster'),
      proxyUrl,
    }),
  };
}

function userOf(from: Fields, name: string, entries: Entries): User {
  const tokenFile = entries.path(from, 'tokenFile', 'user');
  const user = defined({
    certFile: entries.path(from, 'client-certificate', 'user'),
    certData: entries.pem(from, 'client-certificate-data', 'user'),
    keyFile: entries.path(from, 'client-key', 'user'),
    keyData: entries.pem(from, 'client-key-data', 'user'),
    // A file's token is read again as it changes; it goes before a token in the kubeconfig, as for kubectl.
    token: tokenFile === undefined ? entries.text(from, 'token', 'user') : undefined,
    username: entries.text(from, 'username', 'user'),
    password: entries.text(from, 'password', 'user'),
    impersonateUser: entries.text(from, 'as', 'user'),
    exec: isFields(from.exec) ? execOf(from.exec, entries) : undefined,
    authProvider:
      tokenFile === undefined
        ? (from['auth-provider'] ?? undefined)
        : { name: 'tokenFile', config: { tokenFile } },
  });
  const hasCertificate = user.certFile !== undefined || user.certData !== undefined;
  const hasKey = user.keyFile !== undefined || user.keyData !== undefined;
  if (hasCertificate !== hasKey)
    throw entries.wrong(
      hasCertificate ? 'user.client-certificate' : 'user.client-key',
      'stands alone',
      'a client certificate and its key go together',
    );
  return { name, ...user };
}

/** A credential plugin, told what kubectl tells it (client.authentication.k8s.io). */
function execOf(from: Fields, entries: Entries): Fields {
  const command = entries.text(from, 'command', 'user.exec');
  if (command === undefined)
    throw entries.wrong('user.exec.command', 'is not set', 'write the program that prints the credentials');
  const { apiVersion, env } = from;
  const told = JSON.stringify({ apiVersion, kind: 'ExecCredential', spec: { interactive: false } });
  return {
    ...from,
    command: command.includes('/') ? entries.absolute(command) : command,
    args: Array.isArray(from.args) ? from.args : [],
    env: [...(Array.isArray(env) ? env : []), { name: 'KUBERNETES_EXEC_INFO', value: told }],
  };
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Without the fields that are undefined. */
function defined<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as { [K in keyof T]?: Exclude<T[K], undefined> }; // the same keys
}
