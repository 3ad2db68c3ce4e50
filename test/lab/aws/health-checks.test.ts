// Health checks on real sockets: what the emulator tells of targets is what its own checks came to.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../../src/clock/clock.ts';
import { Cloud, type CloudTargetGroup } from '../../../src/lab/aws/cloud.ts';
import { HealthChecks } from '../../../src/lab/aws/health-checks.ts';

const PATIENCE = { timeout: 10_000, interval: 10 };
/** A check of ten seconds every 50 milliseconds. */
const SPEED = 200;

let cloud: Cloud;
let checks: HealthChecks;
let stop: AbortController;
let web: Server;
let status: number;

beforeEach(async () => {
  cloud = new Cloud(systemClock);
  checks = new HealthChecks(cloud, SPEED);
  stop = new AbortController();
  status = 200;
  web = createServer((_, response) => response.writeHead(status).end());
  await listen();
  checks.start(stop.signal);
});

afterEach(async () => {
  stop.abort();
  await closed();
});

function listen(port = 0): Promise<void> {
  return new Promise((resolve) => web.listen(port, '127.0.0.1', resolve));
}

function closed(): Promise<void> {
  web.closeAllConnections();
  return new Promise((resolve) => web.close(() => resolve()));
}

function portOf(): number {
  return (web.address() as AddressInfo).port; // it listens on a port
}

/** Behind a listener, with one target. */
function group(check: Record<string, string>, id: string, port: number): CloudTargetGroup {
  const made: CloudTargetGroup = {
    arn: 'tg',
    name: 'tg',
    protocol: 'TCP',
    port,
    vpc: cloud.vpc,
    targetType: id.startsWith('i-') ? 'instance' : 'ip',
    addressType: 'ipv4',
    createdAt: 0,
    healthCheck: {
      HealthCheckProtocol: 'TCP',
      HealthCheckPort: 'traffic-port',
      HealthCheckIntervalSeconds: '10',
      HealthCheckTimeoutSeconds: '10',
      HealthyThresholdCount: '2',
      UnhealthyThresholdCount: '3',
      ...check,
    },
    attributes: {},
    tags: {},
    targets: new Map([[`${id}:${port}`, { id, port, registeredAt: 0 }]]),
  };
  cloud.targetGroups.set(made.arn, made);
  const rest = { createdAt: 0, port: 80, protocol: 'TCP', extraCertificates: [], attributes: {}, tags: {} };
  cloud.listeners.set('li', { ...rest, arn: 'li', loadBalancer: 'lb', targetGroup: 'tg' });
  return made;
}

function health(of: CloudTargetGroup): boolean | undefined {
  const [{ id, port } = { id: '', port: 0 }] = of.targets.values();
  return cloud.behaviour.isHealthy(id, port, of);
}

describe('health checks', () => {
  it('find an instance at its address, know nothing at first, and notice that it stops and comes back', async () => {
    const port = portOf();
    cloud.addInstance('i-1', { address: '127.0.0.1' });
    const its = group({}, 'i-1', port);
    expect(health(its)).toBeUndefined();
    await vi.waitFor(() => expect(health(its)).toBe(true), PATIENCE);
    await closed();
    await vi.waitFor(() => expect(health(its)).toBe(false), PATIENCE);
    await listen(port);
    await vi.waitFor(() => expect(health(its)).toBe(true), PATIENCE);
    expect(checks.changes.map(({ healthy }) => healthy)).toEqual([true, false, true]);
  });

  it('over HTTP ask the port and path that they are told, and judge the status', async () => {
    const check = {
      HealthCheckProtocol: 'HTTP',
      HealthCheckPort: `${portOf()}`,
      HealthCheckPath: '/healthz',
      HttpCode: '200,300-399',
    };
    const paths: (string | undefined)[] = [];
    web.on('request', ({ url }) => paths.push(url));
    const its = group(check, '127.0.0.1', 1);
    await vi.waitFor(() => expect(health(its)).toBe(true), PATIENCE);
    status = 503;
    await vi.waitFor(() => expect(health(its)).toBe(false), PATIENCE);
    status = 302;
    await vi.waitFor(() => expect(health(its)).toBe(true), PATIENCE);
    expect(new Set(paths)).toEqual(new Set(['/healthz']));
  });

  it('forget a target that goes, and check none that no listener leads to', async () => {
    const its = group({}, '127.0.0.1', portOf());
    await vi.waitFor(() => expect(health(its)).toBe(true), PATIENCE);
    cloud.listeners.clear();
    await vi.waitFor(() => expect(health(its)).toBeUndefined(), PATIENCE);
  });
});
