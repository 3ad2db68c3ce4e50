// `fairlead plan`: which Services would gain, lose or move an address if the pools of a file were applied; or what
// would be done in a cloud for one Service.
import type { Command } from 'commander';
import { describe } from '../api/problem.ts';
import type { Holding } from '../ipam/allocator.ts';
import { type KubeApi, KubeError, type Resource } from '../kube/kube-api.ts';
import { listAll } from '../kube/list-all.ts';
import type { KubeObject } from '../kube/objects.ts';
import {
  ADDRESS_QUOTAS,
  ADDRESS_RESERVATIONS,
  IP_ADDRESS_POOLS,
  NAMESPACES,
  NODES,
  SERVICES,
} from '../kube/resources.ts';
import {
  applied,
  type ClusterObjects,
  type Plan,
  type PlannedChange,
  planChanges,
} from '../reconciler/plan.ts';
import { FIELD_MANAGER } from '../reconciler/reconciler.ts';
import { readManifests } from './manifests.ts';
import { type ClusterOptions, clusterCommand } from './options.ts';
import { planService } from './plan-cloud.ts';
import { connect } from './processes.ts';
import { UsageError } from './usage-error.ts';

interface PlanOptions extends ClusterOptions {
  readonly filename?: readonly string[];
  readonly service?: string;
  readonly replace: boolean;
  readonly serverDryRun: boolean;
  readonly json: boolean;
}

const VERBS: Readonly<Record<PlannedChange['kind'], string>> = {
  allocated: 'gains',
  released: 'loses',
  moved: 'moves',
  changed: 'renames',
};

export function planCommand(): Command {
  return clusterCommand(
    'plan',
    'tells which Services would gain, lose or move an address if these pools were applied, or what a cloud account would do for one',
  )
    .option(
      '-f, --filename <file...>',
      'pools, reservations and quotas: YAML or JSON files, folders, or - for standard input',
    )
    .option('--service <namespace/name>', 'what would be done in its cloud account for this Service')
    .option(
      '--replace',
      'as if every pool, reservation and quota that is not in the files were deleted',
      false,
    )
    .option('--server-dry-run', 'also let the API server check the objects, without storing them', false)
    .option('--json', 'print one JSON object', false)
    .action(runPlan);
}

async function runPlan(options: PlanOptions): Promise<void> {
  if (options.service !== undefined) return planService(options.service, options);
  if (!options.filename) throw new UsageError('name files with pools (-f), or a Service (--service)');
  const objects = readManifests(options.filename);
  const ofKind = ({ kind, group }: Resource) =>
    objects.filter((object) => object.kind === kind && object.apiVersion?.startsWith(`${group}/`));
  const file = {
    pools: ofKind(IP_ADDRESS_POOLS),
    reservations: ofKind(ADDRESS_RESERVATIONS),
    quotas: ofKind(ADDRESS_QUOTAS),
  };
  if (file.pools.length + file.reservations.length + file.quotas.length === 0)
    throw new UsageError(
      '-f: there is no IPAddressPool, AddressReservation or AddressQuota in the files; name some that have one',
    );
  const api = await connect(options.kubeconfig);
  const cluster = await read(api);
  const refused = options.serverDryRun
    ? [
        ...(await dryRun(api, IP_ADDRESS_POOLS, file.pools)),
        ...(await dryRun(api, ADDRESS_RESERVATIONS, file.reservations)),
        ...(await dryRun(api, ADDRESS_QUOTAS, file.quotas)),
      ]
    : [];
  const now = Date.now();
  const classes = { classes: new Set(options.lbClass), classless: options.classless };
  const plan = planChanges(cluster, applied(cluster, file, { now, replace: options.replace }), {
    classes,
    now,
  });
  const problems = [...plan.problems.map(describe), ...refused];
  console.log(options.json ? JSON.stringify({ ...plan, problems }) : inWords(plan, problems));
  const takes = plan.changes.some(({ kind }) => kind === 'released' || kind === 'moved');
  process.exitCode = takes || problems.length > 0 ? 1 : 0;
}

async function read(api: KubeApi): Promise<ClusterObjects> {
  try {
    const [services, namespaces, nodes, pools, reservations, quotas] = await Promise.all([
      listAll(api, SERVICES),
      listAll(api, NAMESPACES),
      listAll(api, NODES),
      listAll(api, IP_ADDRESS_POOLS),
      listAll(api, ADDRESS_RESERVATIONS),
      listAll(api, ADDRESS_QUOTAS),
    ]);
    return { services, namespaces, nodes, pools, reservations, quotas };
  } catch (error) {
    if (error instanceof KubeError) throw new UsageError(`the cluster cannot be read: ${error.message}`);
    throw error;
  }
}

/** What the API server says against the objects. */
async function dryRun(api: KubeApi, resource: Resource, objects: readonly KubeObject[]): Promise<string[]> {
  const answers = objects.map(async (object) => {
    const { name } = object.metadata;
    try {
      const options = { type: 'apply', fieldManager: FIELD_MANAGER, force: true, dryRun: true } as const;
      await api.patch(resource, { name }, object, options);
      return [];
    } catch (error) {
      if (error instanceof KubeError)
        return [`${resource.kind}/${name}: the API server refuses it: ${error.message}`];
      throw error;
    }
  });
  return (await Promise.all(answers)).flat();
}

function inWords({ changes, unchanged }: Plan, problems: readonly string[]): string {
  const lines = changes.map(({ kind, service, before, after, why }) => {
    const became = kind === 'allocated' ? shown(after) : `${shown(before)} -> ${shown(after)}`;
    return `${VERBS[kind].padEnd(7)} ${service} ${became}${why === undefined ? '' : `: ${why}`}`;
  });
  const counts = `${changes.length} ${changes.length === 1 ? 'Service changes' : 'Services change'}, ${unchanged} stay as they are`;
  return [...problems.map((problem) => `problem ${problem}`), ...lines, counts].join('\n');
}

function shown({ addresses, pools }: Holding): string {
  return addresses.length === 0 ? 'nothing' : `${addresses.join(' ')} (${pools.join(', ')})`;
}
