// Runs the benchmarks and prints one table, or with --json one object as the last line. Words narrow the rows.
import { spawnSync } from 'node:child_process';
import { cpus } from 'node:os';
import { namespaceAccess, prepareNamespace } from '../src/lab/namespace.ts';
import { agent } from './agent.ts';
import { allocation } from './allocation.ts';
import { arpAnswer } from './arp-answer.ts';
import { aws, awsScale } from './aws.ts';
import { clouds } from './clouds.ts';
import { cluster } from './cluster.ts';
import { clusterAddresses, clusterBurst } from './cluster-addresses.ts';
import { controller } from './controller.ts';
import { failover } from './failover.ts';
import { forwardingChanges } from './forwarding-changes.ts';
import { kernelLoad } from './kernel-load.ts';
import { membership } from './membership.ts';
import { nodeProxyChanges, nodeProxyStarts } from './node-proxy-rows.ts';
import { queue } from './queue.ts';
import type { BenchRow } from './row.ts';
import { thousandAddresses } from './thousand-addresses.ts';

const BENCHMARKS = {
  allocation,
  controller,
  queue,
  clouds,
  'kernel-load': kernelLoad,
  'forwarding-changes': forwardingChanges,
  'node-proxy-starts': nodeProxyStarts,
  'node-proxy-changes': nodeProxyChanges,
  'arp-answer': arpAnswer,
  agent,
  failover,
  'thousand-addresses': thousandAddresses,
  membership,
  cluster,
  'cluster-addresses': clusterAddresses,
  'cluster-burst': clusterBurst,
  aws,
  'aws-scale': awsScale,
};

const words = process.argv.slice(2);
const access = namespaceAccess();
if (access.kind === 'missing') {
  console.error(`fairlead: the benchmarks need namespaces of their own: ${access.problem}`);
  process.exit(2);
}
if (access.kind === 'available') {
  const [command = '', ...prefix] = access.prefix;
  const { status } = spawnSync(command, [...prefix, process.execPath, import.meta.filename, ...words], {
    stdio: 'inherit',
    env: { ...process.env, ...access.environment },
  });
  process.exit(status ?? 1);
}

prepareNamespace();
const asked = words.filter((word) => word !== '--json');
const unknown = asked.filter((word) => !(word in BENCHMARKS));
if (unknown.length > 0) {
  console.error(
    `fairlead: no benchmark "${unknown.join('", "')}"; there are ${Object.keys(BENCHMARKS).join(', ')}`,
  );
  process.exit(2);
}
const rows: BenchRow[] = [];
for (const [name, run] of Object.entries(BENCHMARKS)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  console.error(`running ${name} …`);
  rows.push(...(await run()));
}
const machine = `${cpus().length} x ${cpus()[0]?.model ?? 'unknown processor'}, Node ${process.versions.node}`;
const date = new Date().toISOString().slice(0, 10);
console.log(words.includes('--json') ? JSON.stringify({ machine, date, rows }) : table());
process.exit(0);

function table(): string {
  const lines = rows.map(({ name, value, unit, target, alternative }) => {
    const other = alternative ? `${figure(alternative.value)} ${unit} (${alternative.name})` : '';
    return `| ${name} | ${figure(value)} ${unit} | ${target ?? ''} | ${other} |`;
  });
  return [
    `${machine}, ${date}`,
    '',
    '| what | Fairlead | target | beside |',
    '|---|---|---|---|',
    ...lines,
  ].join('\n');
}

function figure(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
