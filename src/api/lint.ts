// Everything wrong with a set of our objects as files hold them, as the controller would say it of the live ones.
import type { KubeObject } from '../kube/objects.ts';
import { advertisementProblems } from './advertisement.ts';
import { checkAccounts } from './cloud-account.ts';
import { checkPools } from './pool.ts';
import type { Problem } from './problem.ts';
import { checkQuotas } from './quota.ts';
import { checkReservations } from './reservation.ts';

const GROUP = 'fairlead.dev';
const VERSION = `${GROUP}/v1alpha1`;
const KINDS = [
  'IPAddressPool',
  'L2Advertisement',
  'AddressReservation',
  'AddressQuota',
  'CloudAccount',
] as const;

export interface Linted {
  readonly problems: readonly Problem[];
  /** How many of the objects are ours. */
  readonly checked: number;
}

/** Objects of other groups are passed over. */
export function lint(objects: readonly KubeObject[]): Linted {
  const ours = objects.filter(({ apiVersion = '' }) => apiVersion.split('/')[0] === GROUP);
  const problems = ours.flatMap(identityProblems);
  const known = ours.filter((object) => identityProblems(object).length === 0);
  const seen = new Set<string>();
  for (const { kind = '', metadata } of known) {
    const object = `${kind}/${metadata.name}`;
    if (seen.has(object))
      problems.push({
        object,
        field: 'metadata.name',
        value: metadata.name,
        mend: 'is there twice; keep one of the two',
      });
    seen.add(object);
  }
  const of = (kind: (typeof KINDS)[number]) => known.filter((object) => object.kind === kind);
  const { problems: bad, overlaps } = checkPools(of('IPAddressPool'));
  const names = new Set(of('IPAddressPool').map(({ metadata }) => metadata.name));
  problems.push(
    ...[...bad.values(), ...overlaps.values()].flat(),
    ...[...checkReservations(of('AddressReservation')).problems.values()].flat(),
    ...[...checkQuotas(of('AddressQuota')).problems.values()].flat(),
    ...[...checkAccounts(of('CloudAccount')).problems.values()].flat(),
    ...of('L2Advertisement').flatMap((object) => advertisementProblems(object, names)),
  );
  return { problems, checked: ours.length };
}

function identityProblems({ apiVersion = '', kind = '', metadata }: KubeObject): Problem[] {
  const object = `${kind}/${metadata.name}`;
  if (!KINDS.some((each) => each === kind))
    return [
      { object, field: 'kind', value: kind, mend: `is no kind of ${GROUP}; there are ${KINDS.join(', ')}` },
    ];
  if (apiVersion !== VERSION)
    return [{ object, field: 'apiVersion', value: apiVersion, mend: `is not known; write ${VERSION}` }];
  if (metadata.namespace !== undefined)
    return [
      {
        object,
        field: 'metadata.namespace',
        value: metadata.namespace,
        mend: `has no meaning: ${kind} is cluster-scoped; leave it out`,
      },
    ];
  return [];
}
