// `fairlead plan --service`: what would be done in AWS for a Service, without doing it.
import { AwsAnnotations, CLOUD_ACCOUNT_ANNOTATION } from '../api/aws-annotations.ts';
import { checkAccounts } from '../api/cloud-account.ts';
import { systemClock } from '../clock/clock.ts';
import { type KubeApi, KubeError } from '../kube/kube-api.ts';
import { listAll } from '../kube/list-all.ts';
import { CLOUD_ACCOUNTS, ENDPOINT_SLICES, NAMESPACES, NODES, SERVICES } from '../kube/resources.ts';
import { SlicesByService } from '../kube/slices-by-service.ts';
import { Store } from '../kube/store.ts';
import { prepareGated } from '../providers/aws/gated.ts';
import { preview } from '../providers/aws/pass.ts';
import { Readiness } from '../providers/aws/readiness.ts';
import { connectAws } from '../providers/aws/sdk.ts';
import { stepText } from '../providers/aws/step-text.ts';
import { readCredentials } from '../reconciler/credentials.ts';
import { podAccess } from '../reconciler/pod-access.ts';
import { connect } from './processes.ts';
import { UsageError } from './usage-error.ts';

interface CloudPlanOptions {
  readonly kubeconfig?: string;
  readonly json: boolean;
}

/** `service`: `namespace/name`. Exit status 0: steps or nothing to do, 1: refused. Throws UsageError. */
export async function planService(service: string, { kubeconfig, json }: CloudPlanOptions): Promise<void> {
  const [namespace = '', name = '', ...more] = service.split('/');
  if (namespace === '' || name === '' || more.length > 0)
    throw new UsageError(`--service: "${service}" is no namespace/name; write one such as default/web`);
  const found = await foresee(await connect(kubeconfig), { namespace, name });
  const { account, steps, notes, problem } = found;
  process.exitCode = problem === undefined ? 0 : 1;
  if (json) return console.log(JSON.stringify(found));
  const count = `${steps.length} ${steps.length === 1 ? 'step' : 'steps'} in the account ${account}`;
  const lines = problem === undefined ? [...steps, ...notes.map((note) => `note ${note}`), count] : [problem];
  console.log(lines.join('\n'));
}

interface Foreseen {
  readonly account: string;
  /** In order; empty: all is as it should be. */
  readonly steps: readonly string[];
  readonly notes: readonly string[];
  /** Why nothing would be done. */
  readonly problem?: string;
}

async function foresee(api: KubeApi, of: { namespace: string; name: string }): Promise<Foreseen> {
  const [service, nodes, accounts, slices, system] = await fromCluster(
    Promise.all([
      api.get(SERVICES, of),
      listAll(api, NODES),
      listAll(api, CLOUD_ACCOUNTS),
      listAll(api, ENDPOINT_SLICES),
      api.get(NAMESPACES, { name: 'kube-system' }),
    ]),
  );
  const named = new AwsAnnotations(service).own(CLOUD_ACCOUNT_ANNOTATION)?.value;
  const { accounts: valid } = checkAccounts(accounts);
  const account = named ? valid.get(named) : [...valid.values()].find(({ isDefault }) => isDefault);
  if (!account)
    throw new UsageError(
      `--service: no CloudAccount that is valid ${named ? `is named "${named}"` : 'is the default'}; see kubectl get cloudaccounts`,
    );
  const store: Store<(typeof slices)[number]> = new Store();
  const index = new SlicesByService(store, () => {});
  store.replace(slices);
  const inputs = {
    service,
    nodes,
    slices: index.get(`${of.namespace}/${of.name}`),
    clusterUid: system.metadata.uid ?? '',
  };
  const readiness = new Readiness(podAccess(api, systemClock));
  const { prepared } = await fromCluster(prepareGated(readiness, account, inputs));
  const none = { account: account.name, steps: [], notes: [] };
  if (prepared.kind === 'refused') return { ...none, problem: `${prepared.reason}: ${prepared.message}` };
  const read = await readCredentials(api, account);
  if (read.kind === 'missing') throw new UsageError(`--service: ${read.message}`);
  const connection = await connectAws(account.aws, read.credentials);
  try {
    const found = await preview(connection.api, account, prepared);
    if (found.kind !== 'plan') return { ...none, problem: `${found.reason}: ${found.message}` };
    const { plan } = found;
    if (plan.kind === 'conflict') return { ...none, problem: `${plan.reason}: ${plan.message}` };
    return { ...none, steps: plan.steps.map(stepText), notes: plan.notes };
  } finally {
    connection.close();
  }
}

async function fromCluster<T>(reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof KubeError) throw new UsageError(`the cluster cannot be read: ${error.message}`);
    throw error;
  }
}
