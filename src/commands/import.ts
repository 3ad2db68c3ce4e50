// `fairlead import metallb`: MetalLB's pools and advertisements as ours, and a report of what does not carry over.
import { Command } from 'commander';
import { dump } from 'js-yaml';
import { annotationsFromMetallb, fromMetallb } from '../api/metallb.ts';
import { describe } from '../api/problem.ts';
import { type KubeApi, KubeError, type Resource } from '../kube/kube-api.ts';
import { listAll } from '../kube/list-all.ts';
import type { KubeObject, NamespaceObject, NodeObject, ServiceObject } from '../kube/objects.ts';
import { NAMESPACES, NODES, SERVICES } from '../kube/resources.ts';
import { planTakeover } from '../reconciler/plan.ts';
import { readManifests } from './manifests.ts';
import { type ClusterOptions, clusterCommand } from './options.ts';
import { connect } from './processes.ts';
import { UsageError } from './usage-error.ts';

interface ImportOptions extends ClusterOptions {
  readonly filename?: readonly string[];
  readonly annotations: boolean;
}

/** Kinds of metallb.io and the version that stores them (MetalLB 0.13 to 0.16). */
const THEIRS: readonly Resource[] = [
  theirs('IPAddressPool', 'v1beta1', 'ipaddresspools'),
  theirs('L2Advertisement', 'v1beta1', 'l2advertisements'),
  theirs('BGPPeer', 'v1beta2', 'bgppeers'),
  theirs('BGPAdvertisement', 'v1beta1', 'bgpadvertisements'),
  theirs('BFDProfile', 'v1beta1', 'bfdprofiles'),
  theirs('Community', 'v1beta1', 'communities'),
];

function theirs(kind: string, version: string, plural: string): Resource {
  return { group: 'metallb.io', version, plural, kind, namespaced: true };
}

export function importCommand(): Command {
  const metallb = clusterCommand(
    'metallb',
    'reads a cluster, or files, and writes YAML; the report goes to standard error',
  )
    .option('-f, --filename <file...>', 'read these instead of a cluster: YAML or JSON, folders, or -')
    .option(
      '--annotations',
      'also write Services with our annotations in place of MetalLB’s (kubectl apply --server-side)',
      false,
    )

    .action(runImport);
  return new Command('import')
    .description('writes the configuration of another load balancer as ours')
    .addCommand(metallb);
}

async function runImport(options: ImportOptions): Promise<void> {
  const objects = options.filename
    ? readManifests(options.filename)
    : await read(await connect(options.kubeconfig));
  const { objects: translated, notes } = fromMetallb(objects);
  if (translated.length === 0)
    throw new UsageError(
      'there is no IPAddressPool and no L2Advertisement of metallb.io; is this where MetalLB is?',
    );
  const annotated = ofKind(objects, 'Service').flatMap((service) => {
    const annotations = annotationsFromMetallb(service.metadata.annotations);
    return Object.keys(annotations).length === 0 ? [] : [{ service, annotations }];
  });
  const patches = annotated.map(({ service: { metadata }, annotations }) => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: metadata.name, namespace: metadata.namespace ?? 'default', annotations },
  }));
  const written = options.annotations ? [...translated, ...patches] : translated;
  console.log(
    written
      .map((object) => dump(object, { lineWidth: -1 }))
      .join('---\n')
      .trimEnd(),
  );
  const pools = translated.filter(({ kind }) => kind === 'IPAddressPool');
  const { report, holds } = addresses(objects, pools, options);
  console.error(
    [
      `carried over: IPAddressPools ${pools.length}, L2Advertisements ${translated.length - pools.length}`,
      ...notes,
      ...(annotated.length === 0
        ? []
        : [`Services with annotations of MetalLB, which Fairlead reads as they are: ${annotated.length}`]),
      ...report,
    ].join('\n'),
  );
  process.exitCode = holds ? 0 : 1;
}

/** What becomes of the addresses that Services have; `holds`: they all stay, and every pool is valid. */
function addresses(
  objects: readonly KubeObject[],
  pools: readonly KubeObject[],
  { lbClass, classless }: ImportOptions,
): { readonly report: readonly string[]; readonly holds: boolean } {
  const cluster = {
    services: ofKind<ServiceObject>(objects, 'Service'),
    namespaces: ofKind<NamespaceObject>(objects, 'Namespace'),
    nodes: ofKind<NodeObject>(objects, 'Node'),
    pools,
    reservations: [],
    quotas: [],
  };
  const classes = { classes: new Set(lbClass), classless };
  const { moved, kept, problems } = planTakeover(cluster, { classes, now: Date.now() });
  const total = moved.length + kept;
  return {
    report: [
      ...problems.map(describe),
      ...moved.map(
        ({ service, had, has }) =>
          `Service ${service} would not keep ${had.join(' ')}: it would have ${has.length === 0 ? 'nothing' : has.join(' ')}`,
      ),
      ...(total === 0 ? [] : [`Services that keep their addresses: ${kept} of ${total}`]),
    ],
    holds: problems.length + moved.length === 0,
  };
}

async function read(api: KubeApi): Promise<KubeObject[]> {
  const named = async (resource: Resource): Promise<KubeObject[]> => {
    const apiVersion = resource.group === '' ? resource.version : `${resource.group}/${resource.version}`;
    // Items of a list do not name their kind.
    return (await listAll(api, resource)).map((object) => ({ ...object, apiVersion, kind: resource.kind }));
  };
  try {
    return (await Promise.all([...THEIRS, SERVICES, NAMESPACES, NODES].map(named))).flat();
  } catch (error) {
    if (error instanceof KubeError) throw new UsageError(`the cluster cannot be read: ${error.message}`);
    throw error;
  }
}

function ofKind<T extends KubeObject>(objects: readonly KubeObject[], kind: string): T[] {
  // By its kind it is what the API server, or a file made from it, holds.
  return objects.filter((object) => object.kind === kind) as T[];
}
