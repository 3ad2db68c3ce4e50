// The emulated account: what there is, and how it behaves. Tests and the lab edit it by hand as a person would in
// the console.
import type { Clock } from '../../clock/clock.ts';

export interface Behaviour {
  /** Milliseconds from the creation of a load balancer to `active`. */
  provisioning: number;
  /** Whether load balancers end `failed` instead. */
  provisioningFails: boolean;
  /** Milliseconds in which what was just made is not found by all calls. */
  readLag: number;
  /** Milliseconds in which a deleted load balancer still holds its target groups and security groups. */
  release: number;
  /** Milliseconds in which a registered target is `initial`. */
  registration: number;
  /** Whether a target answers its health checks; undefined: nobody knows yet. */
  isHealthy: (id: string, port: number, group: CloudTargetGroup) => boolean | undefined;
  /** Calls in a row, and a second; undefined: no throttling. */
  buckets: { readonly describe: Bucket; readonly mutate: Bucket; readonly register: Bucket } | undefined;
  /** Actions that the credentials may not call. */
  readonly denied: Set<string>;
  expired: boolean;
  readonly quotas: Quotas;
}

export interface Bucket {
  readonly burst: number;
  readonly perSecond: number;
}

export interface Quotas {
  loadBalancers: number;
  listeners: number;
  targetGroups: number;
  targetsPerGroup: number;
  certificates: number;
  rules: number;
}

export interface CloudSubnet {
  readonly id: string;
  readonly zone: string;
  readonly cidr: string;
  readonly ipv6Cidr?: string;
  readonly isPublic: boolean;
  freeAddresses: number;
  tags: Record<string, string>;
}

export interface CloudInstance {
  /** Of its primary interface. */
  readonly address: string;
  /** Those of its pods. */
  readonly podAddresses: readonly string[];
  /** The security groups of its primary interface. */
  groups: string[];
}

export interface CloudMapping {
  readonly subnet: string;
  readonly allocation?: string | undefined;
  readonly privateAddress?: string | undefined;
  readonly ipv6Address?: string | undefined;
  readonly sourceNatPrefix?: string | undefined;
}

export interface CloudLoadBalancer {
  readonly arn: string;
  readonly name: string;
  readonly scheme: string;
  readonly hostname: string;
  readonly createdAt: number;
  addressType: string;
  sourceNat: boolean;
  mappings: CloudMapping[];
  groups: string[];
  privateLinkRules?: string | undefined;
  attributes: Record<string, string>;
  tags: Record<string, string>;
}

export interface CloudListener {
  readonly arn: string;
  readonly loadBalancer: string;
  readonly createdAt: number;
  port: number;
  protocol: string;
  targetGroup: string;
  certificate?: string | undefined;
  extraCertificates: string[];
  sslPolicy?: string | undefined;
  alpnPolicy?: string | undefined;
  attributes: Record<string, string>;
  tags: Record<string, string>;
}

export interface CloudTarget {
  readonly id: string;
  readonly port: number;
  readonly registeredAt: number;
  /** Undefined: registered. */
  drainsUntil?: number;
}

export interface CloudTargetGroup {
  readonly arn: string;
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
  readonly vpc: string;
  readonly targetType: string;
  readonly addressType: string;
  readonly createdAt: number;
  healthCheck: Record<string, string>;
  attributes: Record<string, string>;
  tags: Record<string, string>;
  /** By `id:port`. */
  readonly targets: Map<string, CloudTarget>;
}

export interface CloudRule {
  readonly protocol: string;
  readonly from: number;
  readonly to: number;
  /** A range, a prefix list, or the id of a group. */
  readonly source: string;
  readonly description?: string | undefined;
}

export interface CloudSecurityGroup {
  readonly id: string;
  readonly name: string;
  readonly vpc: string;
  rules: CloudRule[];
  tags: Record<string, string>;
}

/** What a deleted load balancer holds until its interfaces are gone. */
interface Ghost {
  readonly targetGroups: readonly string[];
  readonly groups: readonly string[];
  readonly until: number;
}

export class Cloud {
  readonly region = 'eu-central-1';
  readonly account = '111122223333';
  readonly vpc = 'vpc-0a1b2c3d4e5f60718';
  readonly clock: Clock;
  readonly behaviour: Behaviour = {
    provisioning: 0,
    provisioningFails: false,
    readLag: 0,
    release: 0,
    registration: 0,
    isHealthy: () => true,
    buckets: undefined,
    denied: new Set(),
    expired: false,
    quotas: {
      loadBalancers: 50,
      listeners: 50,
      targetGroups: 3000,
      targetsPerGroup: 1000,
      certificates: 25,
      rules: 60,
    },
  };
  readonly subnets: CloudSubnet[] = ['a', 'b', 'c'].flatMap((zone, i): CloudSubnet[] =>
    [false, true].map((isPublic, j) => ({
      id: `subnet-000000${i}${j}`,
      zone: `${this.region}${zone}`,
      cidr: `10.0.${2 * i + j}.0/24`,
      ipv6Cidr: `2001:db8:0:${2 * i + j}::/64`,
      isPublic,
      freeAddresses: 200,
      tags: { [isPublic ? 'kubernetes.io/role/elb' : 'kubernetes.io/role/internal-elb']: '1' },
    })),
  );
  readonly allocations = new Set<string>();
  readonly certificates = new Set<string>();
  readonly instances = new Map<string, CloudInstance>();
  readonly loadBalancers = new Map<string, CloudLoadBalancer>();
  readonly listeners = new Map<string, CloudListener>();
  readonly targetGroups = new Map<string, CloudTargetGroup>();
  readonly securityGroups = new Map<string, CloudSecurityGroup>();
  #ghosts: Ghost[] = [];
  #serial = 0;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** 16 hexadecimal digits that nothing else has. */
  serial(): string {
    this.#serial++;
    return this.#serial.toString(16).padStart(16, '0');
  }

  arn(kind: string): string {
    return `arn:aws:elasticloadbalancing:${this.region}:${this.account}:${kind}/${this.serial()}`;
  }

  addInstance(
    id: string,
    {
      address = `10.0.1.${this.instances.size + 1}`,
      podAddresses = [],
      groups = [],
    }: Partial<CloudInstance> = {},
  ): void {
    this.instances.set(id, { address, podAddresses, groups });
  }

  listenersOf(loadBalancer: string): CloudListener[] {
    return [...this.listeners.values()].filter((each) => each.loadBalancer === loadBalancer);
  }

  /** The load balancers whose listeners forward to the group. */
  usersOf(targetGroup: string): string[] {
    const users = [...this.listeners.values()].filter((each) => each.targetGroup === targetGroup);
    return [...new Set(users.map(({ loadBalancer }) => loadBalancer))];
  }

  deleteLoadBalancer(arn: string): void {
    const found = this.loadBalancers.get(arn);
    if (!found) return;
    const listeners = this.listenersOf(arn);
    this.#ghosts.push({
      targetGroups: listeners.map(({ targetGroup }) => targetGroup),
      groups: found.groups,
      until: this.clock.now() + this.behaviour.release,
    });
    for (const each of listeners) this.listeners.delete(each.arn);
    this.loadBalancers.delete(arn);
  }

  /** Whether a load balancer, or what is left of one, holds the target group or security group. */
  holds(id: string): boolean {
    const now = this.clock.now();
    this.#ghosts = this.#ghosts.filter(({ until }) => until > now);
    return (
      this.usersOf(id).length > 0 ||
      [...this.loadBalancers.values()].some(({ groups }) => groups.includes(id)) ||
      this.#ghosts.some(({ targetGroups, groups }) => targetGroups.includes(id) || groups.includes(id))
    );
  }

  /** Whether something made at that time is not yet found everywhere. */
  isTooNew(createdAt: number): boolean {
    return this.clock.now() < createdAt + this.behaviour.readLag;
  }
}
