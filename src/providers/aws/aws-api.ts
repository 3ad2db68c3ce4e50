// The calls to AWS that Fairlead makes, as one function: the seam between the steps and the SDK.
import type * as Ec2 from '@aws-sdk/client-ec2';
import type * as Elb from '@aws-sdk/client-elastic-load-balancing-v2';

/** Of the API references of Elastic Load Balancing (2015-12-01) and of EC2. */
export const ELB_ACTIONS = [
  'AddListenerCertificates',
  'AddTags',
  'CreateListener',
  'CreateLoadBalancer',
  'CreateTargetGroup',
  'DeleteListener',
  'DeleteLoadBalancer',
  'DeleteTargetGroup',
  'DeregisterTargets',
  'DescribeListenerAttributes',
  'DescribeListenerCertificates',
  'DescribeListeners',
  'DescribeLoadBalancerAttributes',
  'DescribeLoadBalancers',
  'DescribeTags',
  'DescribeTargetGroupAttributes',
  'DescribeTargetGroups',
  'DescribeTargetHealth',
  'ModifyListener',
  'ModifyListenerAttributes',
  'ModifyLoadBalancerAttributes',
  'ModifyTargetGroup',
  'ModifyTargetGroupAttributes',
  'RegisterTargets',
  'RemoveListenerCertificates',
  'RemoveTags',
  'SetIpAddressType',
  'SetSecurityGroups',
  'SetSubnets',
] as const;
export const EC2_ACTIONS = [
  'AuthorizeSecurityGroupIngress',
  'CreateSecurityGroup',
  'CreateTags',
  'DeleteSecurityGroup',
  'DeleteTags',
  'DescribeNetworkInterfaces',
  'DescribeRouteTables',
  'DescribeSecurityGroups',
  'DescribeSubnets',
  'RevokeSecurityGroupIngress',
] as const;

/** Input and output of the command of an action, as a module of the SDK has it. */
type InOut<Module, A extends string> = Module extends {
  [name in `${A}Command`]: abstract new (
    ...args: never[]
  ) => Command<infer Input, infer Output>;
}
  ? [Input, Omit<Output, '$metadata'>]
  : never;
interface Command<Input, Output> {
  readonly input: Input;
  resolveMiddleware(...args: never[]): (...args: never[]) => Promise<{ output: Output }>;
}

/** Input and output of each action. */
export type AwsActions = {
  [A in (typeof ELB_ACTIONS)[number]]: InOut<typeof Elb, A>;
} & { [A in (typeof EC2_ACTIONS)[number]]: InOut<typeof Ec2, A> };

export type AwsAction = keyof AwsActions;

export function serviceOf(action: AwsAction): 'ec2' | 'elasticloadbalancing' {
  return EC2_ACTIONS.some((each) => each === action) ? 'ec2' : 'elasticloadbalancing';
}

/** As an IAM policy names it. */
export function permissionOf(action: AwsAction): string {
  return `${serviceOf(action)}:${action}`;
}

/**
 * Rejects with the SDK's error. `beforeSending` is called right before the request leaves, when all that it had to
 * wait for is over; what it throws keeps the request from leaving.
 */
export type AwsApi = <A extends AwsAction>(
  action: A,
  input: AwsActions[A][0],
  beforeSending?: () => void,
) => Promise<AwsActions[A][1]>;
