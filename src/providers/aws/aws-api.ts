// The calls to AWS that Fairlead makes, as one function: the seam between the steps and the SDK.
import type * as Ec2 from '@aws-sdk/client-ec2';
import type * as Elb from '@aws-sdk/client-elastic-load-balancing-v2';

/** Input and output of each action, as in the API references of Elastic Load Balancing (2015-12-01) and EC2. */
export interface AwsActions {
  AddListenerCertificates: [Elb.AddListenerCertificatesInput, Elb.AddListenerCertificatesOutput];
  AddTags: [Elb.AddTagsInput, Elb.AddTagsOutput];
  CreateListener: [Elb.CreateListenerInput, Elb.CreateListenerOutput];
  CreateLoadBalancer: [Elb.CreateLoadBalancerInput, Elb.CreateLoadBalancerOutput];
  CreateTargetGroup: [Elb.CreateTargetGroupInput, Elb.CreateTargetGroupOutput];
  DeleteListener: [Elb.DeleteListenerInput, Elb.DeleteListenerOutput];
  DeleteLoadBalancer: [Elb.DeleteLoadBalancerInput, Elb.DeleteLoadBalancerOutput];
  DeleteTargetGroup: [Elb.DeleteTargetGroupInput, Elb.DeleteTargetGroupOutput];
  DeregisterTargets: [Elb.DeregisterTargetsInput, Elb.DeregisterTargetsOutput];
  DescribeListenerAttributes: [Elb.DescribeListenerAttributesInput, Elb.DescribeListenerAttributesOutput];
  DescribeListenerCertificates: [
    Elb.DescribeListenerCertificatesInput,
    Elb.DescribeListenerCertificatesOutput,
  ];
  DescribeListeners: [Elb.DescribeListenersInput, Elb.DescribeListenersOutput];
  DescribeLoadBalancerAttributes: [
    Elb.DescribeLoadBalancerAttributesInput,
    Elb.DescribeLoadBalancerAttributesOutput,
  ];
  DescribeLoadBalancers: [Elb.DescribeLoadBalancersInput, Elb.DescribeLoadBalancersOutput];
  DescribeTags: [Elb.DescribeTagsInput, Elb.DescribeTagsOutput];
  DescribeTargetGroupAttributes: [
    Elb.DescribeTargetGroupAttributesInput,
    Elb.DescribeTargetGroupAttributesOutput,
  ];
  DescribeTargetGroups: [Elb.DescribeTargetGroupsInput, Elb.DescribeTargetGroupsOutput];
  DescribeTargetHealth: [Elb.DescribeTargetHealthInput, Elb.DescribeTargetHealthOutput];
  ModifyListener: [Elb.ModifyListenerInput, Elb.ModifyListenerOutput];
  ModifyListenerAttributes: [Elb.ModifyListenerAttributesInput, Elb.ModifyListenerAttributesOutput];
  ModifyLoadBalancerAttributes: [
    Elb.ModifyLoadBalancerAttributesInput,
    Elb.ModifyLoadBalancerAttributesOutput,
  ];
  ModifyTargetGroup: [Elb.ModifyTargetGroupInput, Elb.ModifyTargetGroupOutput];
  ModifyTargetGroupAttributes: [Elb.ModifyTargetGroupAttributesInput, Elb.ModifyTargetGroupAttributesOutput];
  RegisterTargets: [Elb.RegisterTargetsInput, Elb.RegisterTargetsOutput];
  RemoveListenerCertificates: [Elb.RemoveListenerCertificatesInput, Elb.RemoveListenerCertificatesOutput];
  RemoveTags: [Elb.RemoveTagsInput, Elb.RemoveTagsOutput];
  SetIpAddressType: [Elb.SetIpAddressTypeInput, Elb.SetIpAddressTypeOutput];
  SetSecurityGroups: [Elb.SetSecurityGroupsInput, Elb.SetSecurityGroupsOutput];
  SetSubnets: [Elb.SetSubnetsInput, Elb.SetSubnetsOutput];
  AuthorizeSecurityGroupIngress: [
    Ec2.AuthorizeSecurityGroupIngressRequest,
    Ec2.AuthorizeSecurityGroupIngressResult,
  ];
  CreateSecurityGroup: [Ec2.CreateSecurityGroupRequest, Ec2.CreateSecurityGroupResult];
  CreateTags: [Ec2.CreateTagsRequest, object];
  DeleteSecurityGroup: [Ec2.DeleteSecurityGroupRequest, object];
  DeleteTags: [Ec2.DeleteTagsRequest, object];
  DescribeRouteTables: [Ec2.DescribeRouteTablesRequest, Ec2.DescribeRouteTablesResult];
  DescribeSecurityGroups: [Ec2.DescribeSecurityGroupsRequest, Ec2.DescribeSecurityGroupsResult];
  DescribeSubnets: [Ec2.DescribeSubnetsRequest, Ec2.DescribeSubnetsResult];
  RevokeSecurityGroupIngress: [Ec2.RevokeSecurityGroupIngressRequest, Ec2.RevokeSecurityGroupIngressResult];
}

export type AwsAction = keyof AwsActions;

/**
 * Rejects with the SDK's error. `beforeSending` is called right before the request leaves, when all that it had to
 * wait for is over; what it throws keeps the request from leaving.
 */
export type AwsApi = <A extends AwsAction>(
  action: A,
  input: AwsActions[A][0],
  beforeSending?: () => void,
) => Promise<AwsActions[A][1]>;
