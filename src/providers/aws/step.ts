// One write to AWS, as a value. Objects are named by name, so that a step can be told before what it needs exists;
// listeners by their port. A step that was done already does no harm when it is done again.
import type { HealthCheck } from '../../api/aws-ports.ts';
import type {
  DesiredListener,
  DesiredLoadBalancer,
  DesiredSecurityGroup,
  DesiredTargetGroup,
  GroupsWanted,
  Rule,
  SubnetMapping,
  Target,
} from './model.ts';
import type { Values } from './observed.ts';
import type { Tags } from './ownership.ts';

/** What tags and attributes hang on. */
export type Subject =
  | { readonly kind: 'loadBalancer'; readonly name: string }
  | { readonly kind: 'targetGroup'; readonly name: string }
  | { readonly kind: 'securityGroup'; readonly name: string }
  | { readonly kind: 'listener'; readonly loadBalancer: string; readonly port: number };

export type Step =
  | { readonly kind: 'createSecurityGroup'; readonly group: DesiredSecurityGroup }
  | { readonly kind: 'allow'; readonly group: string; readonly rules: readonly Rule[] }
  | { readonly kind: 'revoke'; readonly group: string; readonly rules: readonly Rule[] }
  | { readonly kind: 'deleteSecurityGroup'; readonly group: string }
  | { readonly kind: 'createTargetGroup'; readonly name: string; readonly targetGroup: DesiredTargetGroup }
  | { readonly kind: 'modifyHealthCheck'; readonly targetGroup: string; readonly healthCheck: HealthCheck }
  | { readonly kind: 'register'; readonly targetGroup: string; readonly targets: readonly Target[] }
  | { readonly kind: 'deregister'; readonly targetGroup: string; readonly targets: readonly Target[] }
  | { readonly kind: 'deleteTargetGroup'; readonly targetGroup: string }
  | {
      readonly kind: 'createLoadBalancer';
      readonly loadBalancer: DesiredLoadBalancer;
      /** The managed group's name, where the groups are managed. */
      readonly group: string | undefined;
    }
  | {
      readonly kind: 'setSubnets';
      readonly loadBalancer: string;
      readonly mappings: readonly SubnetMapping[];
      readonly addressType: 'ipv4' | 'dualstack';
      readonly sourceNat: boolean;
    }
  | {
      readonly kind: 'setAddressType';
      readonly loadBalancer: string;
      readonly addressType: 'ipv4' | 'dualstack';
    }
  | {
      readonly kind: 'setSecurityGroups';
      readonly loadBalancer: string;
      readonly groups: GroupsWanted;
      readonly group: string | undefined;
      /** The name of the one that all load balancers bear. */
      readonly backendGroup: string | undefined;
      readonly privateLinkRules: 'on' | 'off' | undefined;
    }
  | { readonly kind: 'deleteLoadBalancer'; readonly loadBalancer: string }
  | {
      readonly kind: 'createListener';
      readonly loadBalancer: string;
      readonly listener: DesiredListener;
      readonly targetGroup: string;
    }
  | {
      readonly kind: 'modifyListener';
      readonly loadBalancer: string;
      readonly listener: DesiredListener;
      readonly targetGroup: string;
    }
  | {
      readonly kind: 'addCertificates';
      readonly loadBalancer: string;
      readonly port: number;
      readonly certificates: readonly string[];
    }
  | {
      readonly kind: 'removeCertificates';
      readonly loadBalancer: string;
      readonly port: number;
      readonly certificates: readonly string[];
    }
  | { readonly kind: 'deleteListener'; readonly loadBalancer: string; readonly port: number }
  | { readonly kind: 'setAttributes'; readonly subject: Subject; readonly attributes: Values }
  | { readonly kind: 'addTags'; readonly subject: Subject; readonly tags: Tags }
  | { readonly kind: 'removeTags'; readonly subject: Subject; readonly keys: readonly string[] };
