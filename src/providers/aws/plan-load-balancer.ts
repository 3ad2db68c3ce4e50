// The steps that make or change the load balancer itself, and what cannot be changed on one.
import { attributeSteps, tagSteps } from './differences.ts';
import type { DesiredLoadBalancer, DesiredState, SubnetMapping } from './model.ts';
import type { ObservedLoadBalancer, ObservedSecurityGroup } from './observed.ts';
import type { Step } from './step.ts';

export interface LoadBalancerChange {
  readonly steps: readonly Step[];
  readonly notes: readonly string[];
}

/** `group`: the managed security group, `backend`: the id of the one that all bear, where they are there already. */
export function changeLoadBalancer(
  desired: DesiredState,
  current: ObservedLoadBalancer | undefined,
  group: ObservedSecurityGroup | undefined,
  backend: string | undefined,
): LoadBalancerChange {
  const { loadBalancer, securityGroup } = desired;
  if (!current) {
    const subject = { kind: 'loadBalancer', name: loadBalancer.name } as const;
    return {
      steps: [
        { kind: 'createLoadBalancer', loadBalancer, group: securityGroup?.name },
        ...(loadBalancer.privateLinkRules && hasGroups(loadBalancer)
          ? [setGroups(desired, loadBalancer.name)]
          : []),
        ...attributeSteps(subject, loadBalancer.attributes, undefined),
      ],
      notes: [],
    };
  }
  const subject = { kind: 'loadBalancer', name: current.name } as const;
  const groups = securityGroupSteps(desired, current, group, backend);
  const places = subnetSteps(desired, current);
  const renamed =
    current.name === loadBalancer.name
      ? []
      : [
          `the name of a load balancer cannot be changed: it stays ${current.name} rather than ${loadBalancer.name}`,
        ];
  return {
    steps: [
      ...tagSteps(subject, loadBalancer.tags, current.tags),
      ...places.steps,
      ...groups.steps,
      ...attributeSteps(subject, loadBalancer.attributes, current.attributes),
    ],
    notes: [...renamed, ...places.notes, ...groups.notes],
  };
}

function subnetSteps({ loadBalancer }: DesiredState, current: ObservedLoadBalancer): LoadBalancerChange {
  const { addressType, sourceNat } = loadBalancer;
  const before = new Map(current.mappings.map((mapping) => [mapping.subnet, mapping]));
  const notes = loadBalancer.mappings.flatMap((wanted) => {
    const there = before.get(wanted.subnet);
    return there ? fixedAddresses(wanted, there, loadBalancer.scheme) : [];
  });
  // Where the address of a subnet stays, AWS wants to be told the one that it has.
  const mappings = loadBalancer.mappings.map((wanted): SubnetMapping => {
    const there = before.get(wanted.subnet);
    if (!there) return wanted;
    const { allocation: _, privateAddress: __, ...rest } = wanted;
    return {
      ...rest,
      ...(there.allocation ? { allocation: there.allocation } : {}),
      ...(there.privateAddress ? { privateAddress: there.privateAddress } : {}),
    };
  });
  const sameSubnets = mappings.length === before.size && mappings.every(({ subnet }) => before.has(subnet));
  const prefixChanged = mappings.some(({ subnet, sourceNatPrefix }) => {
    const named = sourceNatPrefix !== undefined && sourceNatPrefix !== 'auto_assigned';
    return named && before.get(subnet)?.sourceNatPrefix !== sourceNatPrefix;
  });
  if (!sameSubnets || prefixChanged || sourceNat !== current.sourceNat) {
    return {
      steps: [{ kind: 'setSubnets', loadBalancer: current.name, mappings, addressType, sourceNat }],
      notes,
    };
  }
  if (addressType === current.addressType) return { steps: [], notes };
  return { steps: [{ kind: 'setAddressType', loadBalancer: current.name, addressType }], notes };
}

/** Elastic Load Balancing API, SetSubnets: an address stays for as long as its subnet does. */
function fixedAddresses(wanted: SubnetMapping, there: SubnetMapping, scheme: string): string[] {
  const differs: string[] = [];
  if (scheme === 'internet-facing' && wanted.allocation !== there.allocation)
    differs.push(`the EIP ${there.allocation ?? 'of AWS'} rather than ${wanted.allocation ?? 'one of AWS'}`);
  if (wanted.privateAddress !== undefined && wanted.privateAddress !== there.privateAddress)
    differs.push(`the address ${there.privateAddress ?? 'of AWS'} rather than ${wanted.privateAddress}`);
  if (
    wanted.ipv6Address !== undefined &&
    there.ipv6Address !== undefined &&
    wanted.ipv6Address !== there.ipv6Address
  )
    differs.push(`the address ${there.ipv6Address} rather than ${wanted.ipv6Address}`);
  return differs.map(
    (text) =>
      `addresses stay for as long as their subnet: ${there.subnet} keeps ${text}; take the subnet out and add it again`,
  );
}

function securityGroupSteps(
  desired: DesiredState,
  current: ObservedLoadBalancer,
  group: ObservedSecurityGroup | undefined,
  backend: string | undefined,
): LoadBalancerChange {
  const { groups, backendGroup, privateLinkRules } = desired.loadBalancer;
  if (current.groups.length === 0) {
    // AWS never lets groups be added. A managed one is a default, so that its absence is no fault of the user.
    const asked = groups.kind === 'ids' && groups.ids.length > 0;
    return {
      steps: [],
      notes: asked
        ? [`${current.name} was made without security groups, and AWS never lets any be added`]
        : [],
    };
  }
  if (groups.kind === 'ids' && groups.ids.length === 0) {
    const note = `${current.name} has security groups, and AWS never lets all be taken off; take away the annotation aws-load-balancer-disable-nlb-sg`;
    return { steps: [], notes: [note] };
  }
  const own = groups.kind === 'ids' ? groups.ids : group ? [group.id] : [];
  const ids = [...own, ...(backendGroup !== undefined && backend !== undefined ? [backend] : [])];
  const unmade = backendGroup !== undefined && backend === undefined;
  const same = ids.length === current.groups.length && ids.every((id) => current.groups.includes(id));
  const sameRules = privateLinkRules === undefined || privateLinkRules === current.privateLinkRules;
  return { steps: same && sameRules && !unmade ? [] : [setGroups(desired, current.name)], notes: [] };
}

function setGroups({ loadBalancer, securityGroup }: DesiredState, name: string): Step {
  const { groups, backendGroup, privateLinkRules } = loadBalancer;
  return {
    kind: 'setSecurityGroups',
    loadBalancer: name,
    groups,
    group: securityGroup?.name,
    backendGroup,
    privateLinkRules,
  };
}

function hasGroups({ groups }: DesiredLoadBalancer): boolean {
  return groups.kind === 'managed' || groups.ids.length > 0;
}
