// What a Service asks for, with pods that wait for it to be healthy among its targets.
import type { CloudAccount } from '../../api/cloud-account.ts';
import { targetGroupName } from './names.ts';
import { type Inputs, type Prepared, prepare, type Refusal } from './pass.ts';
import type { GatedPod, Readiness } from './readiness.ts';

export interface Gated {
  readonly prepared: Prepared | Refusal;
  readonly waiting: readonly GatedPod[];
}

/** Reads the pods that are not Ready and may wait for the load balancer; none where nodes are the targets. */
export async function prepareGated(
  readiness: Readiness,
  account: CloudAccount,
  inputs: Inputs,
): Promise<Gated> {
  const prepared = prepare(account, inputs);
  if (prepared.kind === 'refused' || prepared.request.targetType !== 'ip') return { prepared, waiting: [] };
  const { request, owner } = prepared;
  // As the AWS controller names them, and its webhook the gates.
  const groups = request.listeners.map((listener) => targetGroupName(owner.cluster, request, listener, 0));
  const waiting = await readiness.waiting(request, groups, inputs.slices);
  if (waiting.length === 0) return { prepared, waiting };
  const gated = new Set(waiting.flatMap(({ address, serves }) => (serves ? [address] : [])));
  return { prepared: prepare(account, { ...inputs, gated }), waiting };
}
