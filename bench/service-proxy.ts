// The proxy of an agent within the benchmark's own process, without an API server.
import { spawnSync } from 'node:child_process';
import { Registry } from 'prom-client';
import { systemClock } from '../src/clock/clock.ts';
import { createLogger } from '../src/observe/logger.ts';
import { HealthChecks } from '../src/proxy/health-checks.ts';
import { proxyMetrics } from '../src/proxy/metrics.ts';
import { DEFAULT_RULES, TABLES } from '../src/proxy/rules.ts';
import { ServiceProxy } from '../src/proxy/service-proxy.ts';
import { openNetlinkSocket } from '../src/sockets/open-netlink-socket.ts';

export function serviceProxy(): ServiceProxy {
  const log = createLogger({ component: 'bench', level: 'silent' });
  return new ServiceProxy({
    open: openNetlinkSocket,
    nodeName: 'node',
    rules: DEFAULT_RULES,
    resetStaleTcp: false,
    clock: systemClock,
    log,
    metrics: proxyMetrics(new Registry(), systemClock),
    healthChecks: new HealthChecks({ clock: systemClock, log, healthy: () => true, onRefused: () => {} }),
    onForeignChange: () => {},
    onComplaints: () => {},
  });
}

/** Its rules go, too. */
export function remove(proxy: ServiceProxy): void {
  proxy.close();
  for (const table of TABLES) spawnSync('nft', ['delete', 'table', 'inet', table]);
}
