// The security groups of nodes and pods, and what they let in from the load balancers: of an account, remembered for
// a while, because all its Services ask for the same.
import type { NetworkInterface, SecurityGroup } from '@aws-sdk/client-ec2';
import type { CloudAccount, TargetType } from '../../api/cloud-account.ts';
import type { Clock } from '../../clock/clock.ts';
import type { AwsApi } from './aws-api.ts';
import { RULE_DESCRIPTION } from './backend.ts';
import { backendGroupName } from './names.ts';
import { valuesOf } from './observe.ts';
import type { ObservedNodeGroup, ObservedState } from './observed.ts';

/** EC2 takes so many values in a filter. */
const AT_ONCE = 200;
/** Milliseconds for which it is remembered in which group a node or pod is. */
const REMEMBERED = 10 * 60_000;
/** Milliseconds for which rules are taken to be as they were read. */
const FRESH = 45_000;

export interface GroupsOfTargets {
  /** Ids, in order. */
  readonly groups: readonly string[];
  /** Sentences on targets whose group is not clear. */
  readonly unclear: readonly string[];
}

interface Placed {
  readonly until: number;
  /** Undefined: AWS knows no such interface. */
  readonly group: string | undefined;
  readonly unclear?: string;
}

export class NodeGroups {
  readonly #clock: Clock;
  /** By instance or address. */
  readonly #placed = new Map<string, Placed>();
  #shared: { readonly until: number; readonly found: Promise<ObservedState['backend']> } | undefined;
  readonly #rules = new Map<string, { readonly until: number; readonly found: Promise<ObservedNodeGroup> }>();
  #asking: Promise<unknown> = Promise.resolve();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A call for each 200 targets that are new, and one for groups of which one has to be chosen. */
  groupsOf(
    api: AwsApi,
    account: CloudAccount,
    targetType: TargetType,
    ids: readonly string[],
  ): Promise<GroupsOfTargets> {
    // Many Services have the same targets: who comes second finds them known.
    const asked = this.#asking.then(() => this.#groupsOf(api, account, targetType, ids));
    this.#asking = asked.catch(() => {});
    return asked;
  }

  async #groupsOf(
    api: AwsApi,
    { clusterName, aws }: CloudAccount,
    targetType: TargetType,
    ids: readonly string[],
  ): Promise<GroupsOfTargets> {
    const now = this.#clock.now();
    for (const [id, { until }] of this.#placed) if (until <= now) this.#placed.delete(id);
    const fresh = ids.filter((id) => !this.#placed.has(id));
    for (let i = 0; i < fresh.length; i += AT_ONCE) {
      const part = fresh.slice(i, i + AT_ONCE);
      const interfaces = await interfacesOf(api, aws.vpcId, targetType, part);
      const several = interfaces.flatMap(({ groups }) => (groups.length > 1 ? groups : []));
      const tagged = several.length > 0 ? await taggedGroups(api, clusterName, several) : new Set<string>();
      for (const id of part) {
        const groups = interfaces.find((each) => each.ids.includes(id))?.groups ?? [];
        const choice = chosen(id, groups, tagged, clusterName);
        // What there is not yet may come.
        this.#placed.set(id, { until: now + (choice.group ? REMEMBERED : FRESH), ...choice });
      }
    }
    const placed = ids.flatMap((id) => this.#placed.get(id) ?? []);
    return {
      groups: [...new Set(placed.flatMap(({ group }) => group ?? []))].sort(),
      unclear: placed.flatMap(({ unclear }) => unclear ?? []),
    };
  }

  /** The group that load balancers bear, and what the groups of targets let in from it. */
  async observe(
    api: AwsApi,
    account: CloudAccount,
    groups: readonly string[],
  ): Promise<Pick<ObservedState, 'backend' | 'nodeGroups'>> {
    const now = this.#clock.now();
    if (!this.#shared || this.#shared.until <= now)
      this.#shared = { until: now + FRESH, found: findBackend(api, account) };
    const backend = await this.#forgetting(this.#shared.found);
    // One that is not there has nothing that refers to it.
    if (!backend) {
      this.#shared = undefined;
      return {};
    }
    const missing = groups.filter((id) => (this.#rules.get(id)?.until ?? 0) <= now);
    if (missing.length > 0) {
      const read = api('DescribeSecurityGroups', { GroupIds: missing });
      for (const id of missing) {
        const found = read.then(({ SecurityGroups = [] }) => {
          const group = SecurityGroups.find(({ GroupId }) => GroupId === id);
          return group ? nodeGroupOf(group, backend.id) : { id, rules: [] };
        });
        this.#rules.set(id, { until: now + FRESH, found });
      }
    }
    const nodeGroups = await this.#forgetting(
      Promise.all(groups.flatMap((id) => this.#rules.get(id)?.found ?? [])),
    );
    return { backend, nodeGroups };
  }

  /** After a change, or where something was wrong: the next look reads rules anew. */
  forget(): void {
    this.#shared = undefined;
    this.#rules.clear();
  }

  async #forgetting<T>(reading: Promise<T>): Promise<T> {
    try {
      return await reading;
    } catch (error) {
      this.forget();
      throw error;
    }
  }
}

async function interfacesOf(
  api: AwsApi,
  vpc: string,
  targetType: TargetType,
  ids: readonly string[],
): Promise<{ readonly ids: readonly string[]; readonly groups: readonly string[] }[]> {
  const inVpc = { Name: 'vpc-id', Values: [vpc] };
  const isIpv6 = ids[0]?.includes(':');
  const name = isIpv6 ? 'ipv6-addresses.ipv6-address' : 'addresses.private-ip-address';
  const filters =
    targetType === 'instance'
      ? [
          { Name: 'attachment.instance-id', Values: [...ids] },
          { Name: 'attachment.device-index', Values: ['0'] },
        ]
      : [{ Name: name, Values: [...ids] }];
  const { NetworkInterfaces = [] } = await api('DescribeNetworkInterfaces', { Filters: [inVpc, ...filters] });
  return NetworkInterfaces.map((each) => ({
    ids: targetType === 'instance' ? [each.Attachment?.InstanceId ?? ''] : addressesOf(each),
    groups: (each.Groups ?? []).map(({ GroupId = '' }) => GroupId),
  }));
}

function addressesOf({ PrivateIpAddresses = [], Ipv6Addresses = [] }: NetworkInterface): string[] {
  return [
    ...PrivateIpAddresses.map(({ PrivateIpAddress = '' }) => PrivateIpAddress),
    ...Ipv6Addresses.map(({ Ipv6Address = '' }) => Ipv6Address),
  ];
}

/** Of several groups the one that is tagged for the cluster, as the AWS controller has it. */
async function taggedGroups(api: AwsApi, cluster: string, ids: readonly string[]): Promise<Set<string>> {
  const { SecurityGroups = [] } = await api('DescribeSecurityGroups', { GroupIds: [...new Set(ids)] });
  const tagged = SecurityGroups.filter(
    ({ Tags }) => valuesOf(Tags)[`kubernetes.io/cluster/${cluster}`] !== undefined,
  );
  return new Set(tagged.map(({ GroupId = '' }) => GroupId));
}

function chosen(
  id: string,
  groups: readonly string[],
  tagged: ReadonlySet<string>,
  cluster: string,
): Pick<Placed, 'group' | 'unclear'> {
  if (groups.length <= 1) return { group: groups[0] };
  const fit = groups.filter((each) => tagged.has(each));
  if (fit.length === 1) return { group: fit[0] };
  const unclear = `${id} is in the security groups ${groups.join(', ')}, of which ${fit.length} are tagged kubernetes.io/cluster/${cluster}; tag one, so that load balancers are let in there`;
  return { group: undefined, unclear };
}

/** The group that all load balancers of the cluster bear, whoever made it. */
export async function findBackend(
  api: AwsApi,
  { clusterName, aws }: CloudAccount,
): Promise<ObservedState['backend']> {
  const name = backendGroupName(clusterName);
  const { SecurityGroups: [found] = [] } = await api('DescribeSecurityGroups', {
    Filters: [
      { Name: 'vpc-id', Values: [aws.vpcId] },
      { Name: 'group-name', Values: [name] },
    ],
  });
  return found && { name, id: found.GroupId ?? '', tags: valuesOf(found.Tags) };
}

/** The groups that let it in. */
export async function findNodeGroups(
  api: AwsApi,
  { id }: NonNullable<ObservedState['backend']>,
): Promise<ObservedNodeGroup[]> {
  const { SecurityGroups = [] } = await api('DescribeSecurityGroups', {
    Filters: [{ Name: 'ip-permission.group-id', Values: [id] }],
  });
  return SecurityGroups.map((each) => nodeGroupOf(each, id));
}

/** `shared`: the id of the group that load balancers bear. */
function nodeGroupOf(
  { GroupId: id = '', IpPermissions = [] }: SecurityGroup,
  shared: string,
): ObservedNodeGroup {
  return {
    id,
    rules: IpPermissions.flatMap(({ IpProtocol, FromPort = 0, ToPort = 65_535, UserIdGroupPairs = [] }) =>
      UserIdGroupPairs.filter(({ GroupId }) => GroupId === shared).flatMap(({ Description }) => {
        const ours = Description === RULE_DESCRIPTION;
        const protocols = IpProtocol === '-1' ? (['tcp', 'udp'] as const) : [IpProtocol];
        return protocols.flatMap((protocol) =>
          protocol === 'tcp' || protocol === 'udp'
            ? [
                {
                  protocol,
                  from: IpProtocol === '-1' ? 0 : FromPort,
                  to: IpProtocol === '-1' ? 65_535 : ToPort,
                  ours,
                },
              ]
            : [],
        );
      }),
    ),
  };
}
