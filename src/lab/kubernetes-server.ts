// A real etcd and kube-apiserver as child processes, with the embedded API server's face: RBAC, an audit log,
// and the faults that tests ask for. Clients come through a forwarder here, so that their connections can be cut.
import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { LabApiServer } from './api-server.ts';
import { type Certificate, makeCertificate } from './apiserver/tls.ts';
import { kubeconfigOf } from './kubeconfig.ts';

export interface KubernetesServerOptions {
  /** The folder with `etcd` and `kube-apiserver`. */
  readonly binaries: string;
  /** For data, keys and logs. */
  readonly folder: string;
  /** An address to listen on. */
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** One prefix a family, the primary first. */
  readonly serviceCidrs: readonly string[];
}

const LOOPBACK = '127.0.0.1';
/** Milliseconds that each has to answer; it is a few seconds on an idle machine. */
const START_DEADLINE = 90_000;
const POLL = 50;
const NAMESPACES = ['default', 'kube-system', 'kube-node-lease'];
/** Who asked for what, and the answer's status; no bodies. */
const AUDIT_POLICY = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [{ level: 'Metadata' }],
};

export class KubernetesServer implements LabApiServer {
  readonly #options: KubernetesServerOptions;
  #certificate: Certificate;
  readonly #token = randomBytes(16).toString('hex');
  readonly #ports: { readonly etcd: number; readonly peer: number; readonly api: number };
  readonly #sockets = new Set<Socket>();
  #port: number;
  #etcd: ChildProcess | undefined;
  #apiServer: ChildProcess | undefined;
  #forwarder: Server | undefined;

  private constructor(
    options: KubernetesServerOptions,
    certificate: Certificate,
    ports: readonly [number, number, number],
  ) {
    this.#options = options;
    this.#certificate = certificate;
    this.#ports = { etcd: ports[0], peer: ports[1], api: ports[2] };
    this.#port = options.port;
  }

  /** Starts both and resolves when the API server is ready; rejects with the end of a log. */
  static async start(options: KubernetesServerOptions): Promise<KubernetesServer> {
    const certificate = await makeCertificate([options.host]);
    const ports = [await freePort(), await freePort(), await freePort()] as const;
    const server = new KubernetesServer(options, certificate, ports);
    try {
      server.#writeFiles();
      await server.#startEtcd();
      await server.start();
    } catch (error) {
      await server.close();
      throw error;
    }
    return server;
  }

  get url(): string {
    return `https://${this.#options.host}:${this.#port}`;
  }

  /** The certificate of who vouches for the server. */
  get authority(): string {
    return this.#certificate.cert;
  }

  /** One JSON event a line (audit.k8s.io/v1). */
  get auditLog(): string {
    return this.#file('audit.log');
  }

  /** With another token than the administrator's: what its account may do. */
  kubeconfig(token = this.#token): string {
    return kubeconfigOf(this.url, this.#certificate.cert, token);
  }

  async start(): Promise<void> {
    const { host } = this.#options;
    this.#apiServer ??= this.#spawn('kube-apiserver', this.#apiServerFlags());
    await this.#until('kube-apiserver', this.#apiServer, () => this.#isReady());
    const forwarder = createServer((socket) => this.#forward(socket));
    forwarder.listen(this.#port, host);
    await once(forwarder, 'listening');
    this.#port = (forwarder.address() as AddressInfo).port; // a TCP server that listens has one
    this.#forwarder = forwarder;
  }

  /** As a crash: nothing that is under way is finished. */
  async stop(): Promise<void> {
    const forwarder = this.#forwarder;
    this.#forwarder = undefined;
    forwarder?.close();
    this.dropWatches();
    const apiServer = this.#apiServer;
    this.#apiServer = undefined;
    await ended(apiServer);
  }

  /** Cuts every connection, those of watches too. */
  dropWatches(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Compacts what etcd holds, and starts the API server again, whose cache knows the past as well. */
  async forgetHistory(): Promise<void> {
    const { header } = (await this.#ask('/v3/maintenance/status')) as { header: { revision: string } }; // etcd's own API
    await this.stop();
    await this.#ask('/v3/kv/compaction', { revision: header.revision, physical: true });
    await this.start();
  }

  /** Another certificate, by another authority, from the next start on. */
  async renewCertificate(): Promise<void> {
    this.#certificate = await makeCertificate([this.#options.host]);
    this.#writeCertificate();
  }

  /** Stops both for good. */
  async close(): Promise<void> {
    await this.stop();
    await ended(this.#etcd);
  }

  #file(name: string): string {
    return join(this.#options.folder, name);
  }

  #writeFiles(): void {
    mkdirSync(this.#options.folder, { recursive: true });
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const secret = { mode: 0o600 };
    this.#writeCertificate();
    writeFileSync(
      this.#file('accounts.key'),
      privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
      secret,
    );
    writeFileSync(this.#file('tokens.csv'), `${this.#token},admin,admin,system:masters\n`, secret);
    writeFileSync(this.#file('audit-policy.yaml'), JSON.stringify(AUDIT_POLICY));
  }

  #writeCertificate(): void {
    writeFileSync(this.#file('tls.crt'), this.#certificate.cert);
    writeFileSync(this.#file('tls.key'), this.#certificate.key, { mode: 0o600 });
  }

  async #startEtcd(): Promise<void> {
    const { etcd, peer } = this.#ports;
    const [client, other] = [`http://${LOOPBACK}:${etcd}`, `http://${LOOPBACK}:${peer}`];
    this.#etcd = this.#spawn('etcd', [
      `--data-dir=${this.#file('etcd')}`,
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${other}`,
      `--initial-advertise-peer-urls=${other}`,
      `--initial-cluster=default=${other}`,
      // Nothing of it is to outlive the machine.
      '--unsafe-no-fsync',
      '--log-level=warn',
    ]);
    await this.#until('etcd', this.#etcd, async () => (await fetch(`${client}/health`)).ok);
  }

  #apiServerFlags(): string[] {
    const key = this.#file('accounts.key');
    return [
      `--etcd-servers=http://${LOOPBACK}:${this.#ports.etcd}`,
      `--bind-address=${LOOPBACK}`,
      `--secure-port=${this.#ports.api}`,
      // A host without a route to anywhere has no address of its own to advertise.
      `--advertise-address=${LOOPBACK}`,
      '--endpoint-reconciler-type=none',
      `--tls-cert-file=${this.#file('tls.crt')}`,
      `--tls-private-key-file=${this.#file('tls.key')}`,
      `--service-cluster-ip-range=${this.#options.serviceCidrs.join(',')}`,
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${key}`,
      `--service-account-signing-key-file=${key}`,
      `--token-auth-file=${this.#file('tokens.csv')}`,
      '--authorization-mode=RBAC',
      // Pods are made without the accounts that only a controller manager makes.
      '--disable-admission-plugins=ServiceAccount',
      `--audit-policy-file=${this.#file('audit-policy.yaml')}`,
      `--audit-log-path=${this.auditLog}`,
      '--profiling=false',
    ];
  }

  #spawn(program: string, flags: readonly string[]): ChildProcess {
    const log = openSync(this.#file(`${program}.log`), 'a');
    const child = spawn(join(this.#options.binaries, program), flags, { stdio: ['ignore', log, log] });
    closeSync(log);
    return child;
  }

  async #until(program: string, child: ChildProcess, isSo: () => Promise<boolean>): Promise<void> {
    const end = performance.now() + START_DEADLINE;
    let failure: Error | undefined;
    child.once('error', (error) => {
      failure = error;
    });
    while (!(await isSo().catch(() => false))) {
      const over = child.exitCode !== null || child.signalCode !== null || failure !== undefined;
      if (!over && performance.now() < end) {
        await wait(POLL);
        continue;
      }
      const words = failure?.message ?? readFileSync(this.#file(`${program}.log`), 'utf8').slice(-2_000);
      throw new Error(`${program} ${over ? 'ended before it was ready' : 'is not ready in time'}:\n${words}`);
    }
  }

  /** Whether it serves, and has made the namespaces that every cluster has. */
  async #isReady(): Promise<boolean> {
    for (const path of ['/readyz', ...NAMESPACES.map((name) => `/api/v1/namespaces/${name}`)])
      if (!(await this.#answers(path))) return false;
    return true;
  }

  #answers(path: string): Promise<boolean> {
    const { promise, resolve, reject } = Promise.withResolvers<boolean>();
    const headers = { authorization: `Bearer ${this.#token}` };
    const options = { host: LOOPBACK, port: this.#ports.api, ca: this.#certificate.cert, agent: false };
    const asking = request({ ...options, path, headers }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    asking.once('error', reject);
    asking.end();
    return promise;
  }

  /** etcd's gRPC gateway. */
  async #ask(path: string, body: object = {}): Promise<unknown> {
    const url = `http://${LOOPBACK}:${this.#ports.etcd}${path}`;
    const answer = await fetch(url, { method: 'POST', body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`etcd answers ${path} with ${answer.status}: ${await answer.text()}`);
    return answer.json();
  }

  #forward(client: Socket): void {
    const server = connect(this.#ports.api, LOOPBACK);
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.setNoDelay();
      socket.pipe(other);
      socket.once('error', () => other.destroy());
      socket.once('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
  }
}

async function ended(child: ChildProcess | undefined): Promise<void> {
  if (!child?.pid || child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, LOOPBACK);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // a TCP server that listens has one
  server.close();
  await once(server, 'close');
  return port;
}
