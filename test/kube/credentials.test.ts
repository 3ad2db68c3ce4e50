import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net';
import { dirname, join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import selfsigned from 'selfsigned';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { complaintOf } from '../../src/kube/complaint.ts';
import { connectKube } from '../../src/kube/connection.ts';
import { NODES } from '../../src/kube/resources.ts';
import { makeCertificate } from '../../src/lab/apiserver/tls.ts';
import { json, startScriptedServer, writeFiles, writeKubeconfig } from './scripted-server.ts';

const LIST = JSON.stringify({ metadata: { resourceVersion: '1' }, items: [] });
const base64 = (text: string) => Buffer.from(text).toString('base64');

/** What the server saw of who asks. */
interface Seen {
  readonly authorization: string | undefined;
  readonly certificate: string | undefined;
}

let certificate: { key: string; cert: string };
let client: { key: string; cert: string };
let server: Server;
let url: string;
let connections = 0;
const seen: Seen[] = [];

beforeAll(async () => {
  certificate = await makeCertificate(['127.0.0.1']);
  client = await makeCertificate(['192.0.2.99']);
  server = createServer(
    { ...certificate, requestCert: true, rejectUnauthorized: false },
    (request, response) => {
      const peer = (request.socket as TLSSocket).getPeerCertificate();
      seen.push({ authorization: request.headers.authorization, certificate: peer.raw?.toString('base64') });
      response.end(LIST);
    },
  );
  server.on('secureConnection', () => connections++);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
});

const trusted = () => ({ server: url, 'certificate-authority-data': base64(certificate.cert) });

async function ask(kubeconfig: string): Promise<Seen | undefined> {
  const api = await connectKube(kubeconfig);
  await api.list(NODES, {});
  return seen.at(-1);
}

describe('credentials', () => {
  it('prove who we are by a token', async () => {
    expect((await ask(writeKubeconfig(trusted(), { token: 'secret' })))?.authorization).toBe('Bearer secret');
  });

  it('prove who we are by the token in a file, relative to the kubeconfig, whatever ends its line', async () => {
    const kubeconfig = writeKubeconfig(trusted(), { tokenFile: 'token' }, { token: 'from-file\n' });
    expect((await ask(kubeconfig))?.authorization).toBe('Bearer from-file');
  });

  it('prove who we are by name and password', async () => {
    const kubeconfig = writeKubeconfig(trusted(), { username: 'me', password: 'pass' });
    expect((await ask(kubeconfig))?.authorization).toBe(`Basic ${base64('me:pass')}`);
  });

  it('prove who we are by a certificate in the kubeconfig', async () => {
    const user = { 'client-certificate-data': base64(client.cert), 'client-key-data': base64(client.key) };
    const { certificate: shown } = (await ask(writeKubeconfig(trusted(), user))) ?? {};
    expect(client.cert.replaceAll('\n', '')).toContain(shown);
  });

  it('prove who we are by certificates in files beside the kubeconfig', async () => {
    const user = { 'client-certificate': 'me.crt', 'client-key': 'me.key' };
    const cluster = { server: url, 'certificate-authority': 'ca.crt' };
    const files = { 'me.crt': client.cert, 'me.key': client.key, 'ca.crt': certificate.cert };
    const { certificate: shown } = (await ask(writeKubeconfig(cluster, user, files))) ?? {};
    expect(client.cert.replaceAll('\n', '')).toContain(shown);
  });

  it('prove who we are by what a plugin prints, which is asked once and told what kubectl tells it', async () => {
    const plugin = `#!/bin/sh
echo called >> "$(dirname "$0")/calls"
echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"'"$1-$WHO-$(echo "$KUBERNETES_EXEC_INFO" | tr -dc a-z0-9)"'"}}'
`;
    const exec = {
      apiVersion: 'client.authentication.k8s.io/v1',
      command: './plugin',
      args: ['get-token'],
      env: [{ name: 'WHO', value: 'me' }],
    };
    const kubeconfig = writeKubeconfig(trusted(), { exec }, { plugin });
    const api = await connectKube(kubeconfig);
    for (let i = 0; i < 3; i++) await api.list(NODES, {});
    expect(seen.at(-1)?.authorization).toMatch(/^Bearer get-token-me-apiersionclientauthenticationk8siov1/);
    expect(readFileSync(join(dirname(kubeconfig), 'calls'), 'utf8')).toBe('called\n');
  });

  it('of a plugin that fails are an error with its words', async () => {
    const plugin = '#!/bin/sh\necho "log in first" >&2; exit 1\n';
    const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: './plugin' };
    const asked = ask(writeKubeconfig(trusted(), { exec }, { plugin }));
    await expect(asked).rejects.toMatchObject({
      name: 'KubeError',
      reason: 'Credentials',
      message: expect.stringContaining('log in first'),
    });
  });

  it('of a plugin that hangs are given up', async () => {
    const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: 'sleep', args: ['3'] };
    const api = await connectKube(writeKubeconfig(trusted(), { exec }), { answer: 100, watchGrace: 0 });
    await expect(api.list(NODES, {})).rejects.toMatchObject({
      reason: 'Credentials',
      message: expect.stringContaining('no answer'),
    });
  });

  it('keep one TLS connection for as long as they say the same, and take another when they change', async () => {
    const files = { 'me.crt': client.cert, 'me.key': client.key };
    const kubeconfig = writeKubeconfig(
      trusted(),
      { 'client-certificate': 'me.crt', 'client-key': 'me.key' },
      files,
    );
    const api = await connectKube(kubeconfig);
    const before = connections;
    for (let i = 0; i < 3; i++) await api.list(NODES, {});
    expect(connections - before).toBe(1);
    const renewed = await makeCertificate(['192.0.2.98']);
    writeFileSync(join(dirname(kubeconfig), 'me.crt'), renewed.cert);
    writeFileSync(join(dirname(kubeconfig), 'me.key'), renewed.key);
    await api.list(NODES, {});
    expect(connections - before).toBe(2);
    expect(renewed.cert.replaceAll('\n', '')).toContain(seen.at(-1)?.certificate);
  });

  it('in a file are read anew at once when the server does not take them', async () => {
    const strict = await startScriptedServer((request, response) => {
      if (request.headers.authorization === 'Bearer new') json(response, JSON.parse(LIST));
      else json(response, { kind: 'Status', reason: 'Unauthorized' }, 401);
    });
    const kubeconfig = writeKubeconfig({ server: strict.url }, { tokenFile: 'token' }, { token: 'old' });
    const api = await connectKube(kubeconfig);
    await expect(api.list(NODES, {})).rejects.toMatchObject({ status: 401 });
    writeFileSync(join(dirname(kubeconfig), 'token'), 'new\n');
    expect((await api.list(NODES, {})).resourceVersion).toBe('1');
  });

  it('of a cluster that is not to be verified are sent unverified', async () => {
    expect(await ask(writeKubeconfig({ server: url, 'insecure-skip-tls-verify': true }))).toBeDefined();
  });

  it('are not sent to a server that another authority vouches for', async () => {
    const cluster = { server: url, 'certificate-authority-data': base64(client.cert) };
    await expect(ask(writeKubeconfig(cluster, { token: 'secret' }))).rejects.toMatchObject({
      status: 0,
      reason: 'DEPTH_ZERO_SELF_SIGNED_CERT',
    });
  });

  it.each([
    ['is over', -2, -1, 'CERT_HAS_EXPIRED'],
    ['has not begun', 1, 2, 'CERT_NOT_YET_VALID'],
  ])(
    'are not sent where the time of the certificate %s, which may be the clock’s fault',
    async (_, from, to, reason) => {
      const day = (number: number) => new Date(Date.now() + number * 86_400_000);
      const { private: key, cert } = await selfsigned.generate([{ name: 'commonName', value: 'x' }], {
        notBeforeDate: day(from),
        notAfterDate: day(to),
        extensions: [{ name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] }],
      });
      const other = createServer({ key, cert }, (_, response) => response.end(LIST));
      await once(other.listen(0, '127.0.0.1'), 'listening');
      onTestFinished(() => void other.close());
      const { port } = other.address() as AddressInfo; // a TCP server that listens has one
      const cluster = { server: `https://127.0.0.1:${port}`, 'certificate-authority-data': base64(cert) };
      const error = await ask(writeKubeconfig(cluster, { token: 'secret' })).catch((each: unknown) => each);
      expect(error).toMatchObject({ status: 0, reason });
      expect(complaintOf(error)?.message).toContain("check this machine's clock");
    },
  );

  it('are not sent to a server of another name', async () => {
    const cluster = { ...trusted(), 'tls-server-name': 'api.example' };
    await expect(ask(writeKubeconfig(cluster))).rejects.toMatchObject({
      reason: 'ERR_TLS_CERT_ALTNAME_INVALID',
    });
  });

  it('go through the proxy that the cluster names', async () => {
    const asked: string[] = [];
    const proxy = createTcpServer((inner) => {
      inner.once('data', (head) => {
        asked.push(String(head).split('\r\n')[0] ?? '');
        const outer = connect(Number(new URL(url).port), '127.0.0.1', () =>
          inner.write('HTTP/1.1 200 OK\r\n\r\n'),
        );
        inner.pipe(outer).pipe(inner);
        for (const socket of [inner, outer]) socket.on('error', () => {});
      });
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void proxy.close());
    const proxyUrl = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    expect(await ask(writeKubeconfig({ ...trusted(), 'proxy-url': proxyUrl }, { token: 't' }))).toMatchObject(
      { authorization: 'Bearer t' },
    );
    expect(asked).toEqual([`CONNECT ${url.replace('https://', '')} HTTP/1.1`]);
  });

  it('over plain HTTP are what a port-forward or kubectl proxy needs', async () => {
    const plain = await startScriptedServer((_, response) => response.end(LIST));
    await (await connectKube(plain.kubeconfig)).list(NODES, {});
    expect(plain.requests).toEqual(['GET /api/v1/nodes']);
  });

  it('of a Pod are its service account’s', async () => {
    const child = spawn(
      'unshare',
      [
        '-m',
        'sh',
        '-c',
        IN_POD,
        'sh',
        process.execPath,
        join(import.meta.dirname, '../../src/kube/connection.ts'),
      ],
      {
        env: {
          ...process.env,
          CA: certificate.cert,
          KUBERNETES_SERVICE_HOST: '127.0.0.1',
          KUBERNETES_SERVICE_PORT: new URL(url).port,
        },
      },
    );
    expect(await outputOf(child)).toContain('listed 1');
    expect(seen.at(-1)?.authorization).toBe('Bearer pod-token');
  });
});

/** A Pod's files, in a mount namespace that ends with the shell. */
const IN_POD = `
set -e
mount -t tmpfs tmpfs /var/run
mkdir -p /var/run/secrets/kubernetes.io/serviceaccount
cd /var/run/secrets/kubernetes.io/serviceaccount
echo pod-token > token
echo "$CA" > ca.crt
exec "$1" --input-type=module -e "
  const { connectKube } = await import('$2');
  const api = await connectKube(undefined);
  const list = await api.list({ group: '', version: 'v1', plural: 'nodes', namespaced: false }, {});
  console.log('listed', list.resourceVersion);
  process.exit(0);
"`;

async function outputOf(child: ChildProcess): Promise<string> {
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (data) => (output += data));
  await new Promise((resolve) => child.once('close', resolve));
  return output;
}

describe('a kubeconfig that cannot be used is named, with field, value and mend:', () => {
  const good = { server: 'https://192.0.2.1:6443' };
  it.each([
    [
      'a file that is not there',
      () => '/nowhere/kubeconfig',
      '"/nowhere/kubeconfig" cannot be read (ENOENT); name a kubeconfig that exists',
    ],
    [
      'no YAML',
      () => writeFiles({ kubeconfig: 'clusters:\n  - {' }),
      /is no YAML: .* in line \d+; correct it/,
    ],
    ['an empty file', () => writeFiles({ kubeconfig: '' }), 'the input is empty; correct it'],
    [
      'another kind of file',
      () => writeFiles({ kubeconfig: '- a\n' }),
      'holds no kubeconfig; it needs clusters, users and contexts',
    ],
    [
      'no current context',
      () => writeFiles({ kubeconfig: 'contexts: [{name: home}, {name: away}]' }),
      'current-context is not set; write one of "home", "away"',
    ],
    [
      'a context that is not there',
      () => writeFiles({ kubeconfig: 'current-context: x\ncontexts: [{name: home, context: {}}]' }),
      'current-context is "x", which contexts lacks; write one of "home"',
    ],
    [
      'a cluster that is not there',
      () =>
        writeFiles({
          kubeconfig: 'current-context: home\ncontexts: [{name: home, context: {cluster: lan}}]',
        }),
      'context.cluster is "lan", which clusters lacks; add it to clusters',
    ],
    [
      'a user that is not there',
      () =>
        writeFiles({
          kubeconfig:
            'current-context: h\nclusters: [{name: lan, cluster: {server: "https://h"}}]\ncontexts: [{name: h, context: {cluster: lan, user: me}}]',
        }),
      'context.user is "me", which users lacks',
    ],
    [
      'a server that is no URL',
      () => writeKubeconfig({ server: '192.0.2.1:6443' }),
      'cluster.server is "192.0.2.1:6443", which is no URL; write one such as https://192.0.2.1:6443',
    ],
    ['no server', () => writeKubeconfig({}), 'cluster.server is ""'],
    [
      'a server of another protocol',
      () => writeKubeconfig({ server: 'ftp://192.0.2.1' }),
      'cluster.server is "ftp://192.0.2.1"',
    ],
    [
      'a proxy that is no URL',
      () => writeKubeconfig({ ...good, 'proxy-url': 'proxy' }),
      'cluster.proxy-url is "proxy"; write a URL that starts with http, https or socks5',
    ],
    [
      'an authority file that is not there',
      () => writeKubeconfig({ ...good, 'certificate-authority': '/nowhere/ca' }),
      'cluster.certificate-authority names "/nowhere/ca", which cannot be read (ENOENT)',
    ],
    [
      'authority data that is no PEM',
      () => writeKubeconfig({ ...good, 'certificate-authority-data': 'abcd' }),
      'cluster.certificate-authority-data is not the base64 of a PEM file',
    ],
    [
      'a certificate without its key',
      () => writeKubeconfig(good, { 'client-certificate-data': base64('-----BEGIN CERTIFICATE-----') }),
      'user.client-certificate stands alone',
    ],
    [
      'a token file that is not there',
      () => writeKubeconfig(good, { tokenFile: 'token' }),
      /user\.tokenFile names ".*\/token", which cannot be read/,
    ],
    [
      'a token that is a number',
      () => writeKubeconfig(good, { token: 12 }),
      'user.token is no text; put it in quotes',
    ],
    ['a plugin without a command', () => writeKubeconfig(good, { exec: {} }), 'user.exec.command is not set'],
  ])('%s', async (_, kubeconfig, message) => {
    const error = await connectKube(kubeconfig()).catch((reason) => reason);
    expect(error.constructor.name).toBe('KubeconfigError');
    expect(error.message).toMatch(message);
  });

  it('none at all, outside of a Pod', async () => {
    await expect(connectKube(undefined)).rejects.toThrow('name a kubeconfig: --kubeconfig FILE');
  });
});
