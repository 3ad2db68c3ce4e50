// What is there, as AWS tells, of what a Service may own; foreign objects only for their names.
import type { HealthCheck } from '../../api/aws-ports.ts';
import type { Rule, SubnetMapping } from './model.ts';
import type { Tags } from './ownership.ts';

export type Values = Readonly<Record<string, string>>;

export interface ObservedListener {
  readonly arn: string;
  readonly port: number;
  readonly protocol: string;
  /** Undefined: its action is not ours, such as a forward with weights. */
  readonly targetGroupArn?: string;
  readonly defaultCertificate?: string;
  /** Without the default. */
  readonly extraCertificates: readonly string[];
  readonly sslPolicy?: string;
  readonly alpnPolicy?: string;
  readonly attributes: Values;
  readonly tags: Tags;
}

export interface ObservedLoadBalancer {
  readonly arn: string;
  readonly name: string;
  readonly type: string;
  readonly scheme: string;
  /** `provisioning`, `active`, `active_impaired` or `failed`. */
  readonly state: string;
  readonly hostname: string;
  readonly addressType: string;
  readonly sourceNat: boolean;
  readonly mappings: readonly SubnetMapping[];
  readonly groups: readonly string[];
  readonly privateLinkRules?: string;
  readonly attributes: Values;
  readonly tags: Tags;
  readonly listeners: readonly ObservedListener[];
}

export interface ObservedTarget {
  readonly id: string;
  readonly port: number;
  /** `initial`, `healthy`, `unhealthy`, `unused`, `draining`, `unavailable`. */
  readonly state: string;
}

export interface ObservedTargetGroup {
  readonly arn: string;
  readonly name: string;
  readonly protocol: string;
  readonly targetType: string;
  readonly addressType: string;
  /** At most one, and none where no listener forwards to it. */
  readonly loadBalancers: readonly string[];
  readonly healthCheck: HealthCheck;
  readonly attributes: Values;
  readonly tags: Tags;
  readonly targets: readonly ObservedTarget[];
}

export interface ObservedSecurityGroup {
  readonly id: string;
  readonly name: string;
  readonly rules: readonly Rule[];
  readonly tags: Tags;
}

/** A group of targets: what it lets in from the load balancers. */
export interface ObservedNodeGroup {
  readonly id: string;
  readonly rules: readonly {
    readonly protocol: 'tcp' | 'udp';
    readonly from: number;
    readonly to: number;
    /** Whether Fairlead made it. */
    readonly ours: boolean;
  }[];
}

export interface ObservedState {
  readonly loadBalancers: readonly ObservedLoadBalancer[];
  readonly targetGroups: readonly ObservedTargetGroup[];
  readonly securityGroups: readonly ObservedSecurityGroup[];
  /** The group that all load balancers of the cluster bear. */
  readonly backend?: { readonly id: string; readonly name: string; readonly tags: Tags } | undefined;
  readonly nodeGroups?: readonly ObservedNodeGroup[];
}
