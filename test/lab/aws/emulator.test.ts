// The emulator as the real SDK sees it, and where it is stricter than emulators usually are.
import * as ec2 from '@aws-sdk/client-ec2';
import * as elb from '@aws-sdk/client-elastic-load-balancing-v2';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VirtualClock } from '../../../src/clock/virtual-clock.ts';
import { AwsEmulator } from '../../../src/lab/aws/emulator.ts';

const SUBNET = 'subnet-00000000';
const CERTIFICATE = 'arn:aws:acm:eu-central-1:111122223333:certificate/one';

let clock: VirtualClock;
let emulator: AwsEmulator;
let balancing: elb.ElasticLoadBalancingV2Client;
let compute: ec2.EC2Client;

beforeEach(async () => {
  clock = new VirtualClock();
  emulator = await AwsEmulator.start({ clock });
  const config = {
    endpoint: emulator.endpoint,
    region: 'eu-central-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    maxAttempts: 1,
  };
  balancing = new elb.ElasticLoadBalancingV2Client(config);
  compute = new ec2.EC2Client(config);
});

afterEach(async () => {
  balancing.destroy();
  compute.destroy();
  await emulator.close();
});

async function loadBalancer(
  Name = 'one',
  more: Partial<elb.CreateLoadBalancerCommandInput> = {},
): Promise<elb.LoadBalancer> {
  const { LoadBalancers: [made] = [] } = await balancing.send(
    new elb.CreateLoadBalancerCommand({
      Name,
      Type: 'network',
      Scheme: 'internal',
      SubnetMappings: [{ SubnetId: SUBNET }],
      Tags: [{ Key: 'who', Value: 'test' }],
      ...more,
    }),
  );
  return made ?? expect.fail('no load balancer');
}

async function targetGroup(
  Name = 'tg',
  more: Partial<elb.CreateTargetGroupCommandInput> = {},
): Promise<string> {
  const { TargetGroups: [made] = [] } = await balancing.send(
    new elb.CreateTargetGroupCommand({
      Name,
      Protocol: 'TCP',
      Port: 80,
      VpcId: emulator.cloud.vpc,
      TargetType: 'ip',
      ...more,
    }),
  );
  return made?.TargetGroupArn ?? expect.fail('no target group');
}

async function listener(
  LoadBalancerArn: string | undefined,
  TargetGroupArn: string,
  more: Partial<elb.CreateListenerCommandInput> = {},
) {
  const { Listeners: [made] = [] } = await balancing.send(
    new elb.CreateListenerCommand({
      LoadBalancerArn,
      Protocol: 'TCP',
      Port: 80,
      DefaultActions: [{ Type: 'forward', TargetGroupArn }],
      ...more,
    }),
  );
  return made?.ListenerArn ?? expect.fail('no listener');
}

async function group(GroupName = 'sg'): Promise<string> {
  const { GroupId } = await compute.send(
    new ec2.CreateSecurityGroupCommand({ GroupName, Description: 'x', VpcId: emulator.cloud.vpc }),
  );
  return GroupId ?? expect.fail('no group');
}

async function healthOf(TargetGroupArn: string): Promise<string[]> {
  const { TargetHealthDescriptions = [] } = await balancing.send(
    new elb.DescribeTargetHealthCommand({ TargetGroupArn }),
  );
  return TargetHealthDescriptions.map(
    ({ Target, TargetHealth }) => `${Target?.Id}:${Target?.Port} ${TargetHealth?.State}`,
  );
}

describe('a load balancer', () => {
  it('is described as it was made, with the ARN and host name of a network load balancer', async () => {
    const made = await loadBalancer();
    const { LoadBalancers: [found] = [] } = await balancing.send(
      new elb.DescribeLoadBalancersCommand({ Names: ['one'] }),
    );
    expect(found).toEqual(made);
    expect(found).toMatchObject({
      LoadBalancerArn: expect.stringMatching(/:loadbalancer\/net\/one\//),
      DNSName: expect.stringMatching(/^one-[0-9a-f]+\.elb\.eu-central-1\.amazonaws\.com$/),
      Type: 'network',
      Scheme: 'internal',
      IpAddressType: 'ipv4',
      AvailabilityZones: [{ SubnetId: SUBNET, ZoneName: 'eu-central-1a' }],
    });
    const { TagDescriptions } = await balancing.send(
      new elb.DescribeTagsCommand({ ResourceArns: [made.LoadBalancerArn ?? ''] }),
    );
    expect(TagDescriptions?.[0]?.Tags).toEqual([{ Key: 'who', Value: 'test' }]);
  });

  it('takes its time to come up, or fails', async () => {
    emulator.cloud.behaviour.provisioning = 90_000;
    await loadBalancer();
    const state = async () => {
      const { LoadBalancers } = await balancing.send(new elb.DescribeLoadBalancersCommand({}));
      return LoadBalancers?.[0]?.State?.Code;
    };
    expect(await state()).toBe('provisioning');
    await clock.advance(90_000);
    expect(await state()).toBe('active');
    emulator.cloud.behaviour.provisioningFails = true;
    expect(await state()).toBe('failed');
  });

  it('of the same name and settings is the same; of other settings a duplicate', async () => {
    const first = await loadBalancer();
    expect((await loadBalancer()).LoadBalancerArn).toBe(first.LoadBalancerArn);
    await expect(loadBalancer('one', { Scheme: 'internet-facing' })).rejects.toBeInstanceOf(
      elb.DuplicateLoadBalancerNameException,
    );
  });

  it.each<[string, Partial<elb.CreateLoadBalancerCommandInput>, string]>([
    ['a bad name', { Name: 'a_b' }, 'ValidationError'],
    ['an unknown subnet', { SubnetMappings: [{ SubnetId: 'subnet-x' }] }, 'SubnetNotFoundException'],
    [
      'two subnets of a zone',
      { SubnetMappings: [{ SubnetId: SUBNET }, { SubnetId: 'subnet-00000001' }] },
      'InvalidConfigurationRequestException',
    ],
    ['an unknown group', { SecurityGroups: ['sg-x'] }, 'InvalidSecurityGroupException'],
    [
      'an unknown EIP',
      { Scheme: 'internet-facing', SubnetMappings: [{ SubnetId: SUBNET, AllocationId: 'eipalloc-x' }] },
      'AllocationIdNotFoundException',
    ],
    [
      'an EIP inside',
      { SubnetMappings: [{ SubnetId: SUBNET, AllocationId: 'eipalloc-x' }] },
      'InvalidConfigurationRequestException',
    ],
    [
      'an address outside of its subnet',
      { SubnetMappings: [{ SubnetId: SUBNET, PrivateIPv4Address: '10.9.0.1' }] },
      'ValidationError',
    ],
  ])('is refused with %s', async (_, more, name) => {
    await expect(loadBalancer('one', more)).rejects.toMatchObject({ name });
    expect(emulator.cloud.loadBalancers.size).toBe(0);
  });

  it('is refused beyond the quota', async () => {
    emulator.cloud.behaviour.quotas.loadBalancers = 1;
    await loadBalancer();
    await expect(loadBalancer('two')).rejects.toBeInstanceOf(elb.TooManyLoadBalancersException);
  });

  it('that is protected stays, and one that is gone is deleted again without complaint', async () => {
    const { LoadBalancerArn } = await loadBalancer();
    const protect = (Value: string) =>
      balancing.send(
        new elb.ModifyLoadBalancerAttributesCommand({
          LoadBalancerArn,
          Attributes: [{ Key: 'deletion_protection.enabled', Value }],
        }),
      );
    await protect('true');
    const remove = () => balancing.send(new elb.DeleteLoadBalancerCommand({ LoadBalancerArn }));
    await expect(remove()).rejects.toBeInstanceOf(elb.OperationNotPermittedException);
    await protect('false');
    await remove();
    await remove();
    await expect(
      balancing.send(new elb.DescribeLoadBalancersCommand({ Names: ['one'] })),
    ).rejects.toBeInstanceOf(elb.LoadBalancerNotFoundException);
  });

  it('without groups gets none, and one with groups keeps some', async () => {
    const { LoadBalancerArn } = await loadBalancer();
    const sg = await group();
    await expect(
      balancing.send(new elb.SetSecurityGroupsCommand({ LoadBalancerArn, SecurityGroups: [sg] })),
    ).rejects.toBeInstanceOf(elb.InvalidConfigurationRequestException);
  });

  it('holds its group until its interfaces are gone', async () => {
    emulator.cloud.behaviour.release = 60_000;
    const sg = await group();
    const { LoadBalancerArn } = await loadBalancer('one', { SecurityGroups: [sg] });
    const remove = () => compute.send(new ec2.DeleteSecurityGroupCommand({ GroupId: sg }));
    await expect(remove()).rejects.toMatchObject({ name: 'DependencyViolation' });
    await balancing.send(new elb.DeleteLoadBalancerCommand({ LoadBalancerArn }));
    await expect(remove()).rejects.toMatchObject({ name: 'DependencyViolation' });
    await clock.advance(60_000);
    await remove();
    expect(emulator.cloud.securityGroups.size).toBe(0);
  });

  it('comes in pages', async () => {
    for (const name of ['a', 'b', 'c']) await loadBalancer(name);
    const names: (string | undefined)[] = [];
    const pages = elb.paginateDescribeLoadBalancers({ client: balancing, pageSize: 2 }, {});
    for await (const { LoadBalancers = [] } of pages)
      names.push(...LoadBalancers.map(({ LoadBalancerName }) => LoadBalancerName));
    expect(names).toEqual(['a', 'b', 'c']);
    await expect(
      balancing.send(new elb.DescribeLoadBalancersCommand({ PageSize: 401 })),
    ).rejects.toMatchObject({ name: 'ValidationError' });
  });

  it('keeps an address for as long as its subnet', async () => {
    emulator.cloud.allocations.add('eipalloc-1').add('eipalloc-2');
    const made = await loadBalancer('one', {
      Scheme: 'internet-facing',
      SubnetMappings: [{ SubnetId: SUBNET, AllocationId: 'eipalloc-1' }],
    });
    expect(made.AvailabilityZones?.[0]?.LoadBalancerAddresses?.[0]?.AllocationId).toBe('eipalloc-1');
    const { LoadBalancerArn } = made;
    await expect(
      balancing.send(
        new elb.SetSubnetsCommand({
          LoadBalancerArn,
          SubnetMappings: [{ SubnetId: SUBNET, AllocationId: 'eipalloc-2' }],
        }),
      ),
    ).rejects.toBeInstanceOf(elb.InvalidConfigurationRequestException);
    await expect(
      loadBalancer('two', {
        Scheme: 'internet-facing',
        SubnetMappings: [{ SubnetId: SUBNET, AllocationId: 'eipalloc-1' }],
      }),
    ).rejects.toBeInstanceOf(elb.ResourceInUseException);
  });
});

describe('a listener', () => {
  it('is one for each port, and says so', async () => {
    const { LoadBalancerArn } = await loadBalancer();
    const tg = await targetGroup();
    const first = await listener(LoadBalancerArn, tg);
    expect(await listener(LoadBalancerArn, tg)).toBe(first);
    const other = await targetGroup('tg2');
    await expect(listener(LoadBalancerArn, other)).rejects.toBeInstanceOf(elb.DuplicateListenerException);
    emulator.cloud.behaviour.quotas.listeners = 1;
    await expect(listener(LoadBalancerArn, tg, { Port: 81 })).rejects.toBeInstanceOf(
      elb.TooManyListenersException,
    );
  });

  it('is not found at once after it was made', async () => {
    emulator.cloud.behaviour.readLag = 2_000;
    const { LoadBalancerArn } = await loadBalancer();
    const ListenerArn = await listener(LoadBalancerArn, await targetGroup());
    const certificates = () => balancing.send(new elb.DescribeListenerCertificatesCommand({ ListenerArn }));
    await expect(certificates()).rejects.toBeInstanceOf(elb.ListenerNotFoundException);
    await clock.advance(2_000);
    await certificates();
  });

  it('of TLS needs a certificate that exists, and takes more', async () => {
    const { LoadBalancerArn } = await loadBalancer();
    const tg = await targetGroup();
    const secure = (arn: string) =>
      listener(LoadBalancerArn, tg, { Protocol: 'TLS', Port: 443, Certificates: [{ CertificateArn: arn }] });
    await expect(secure(CERTIFICATE)).rejects.toBeInstanceOf(elb.CertificateNotFoundException);
    emulator.cloud.certificates.add(CERTIFICATE).add(`${CERTIFICATE}2`);
    const ListenerArn = await secure(CERTIFICATE);
    await balancing.send(
      new elb.AddListenerCertificatesCommand({
        ListenerArn,
        Certificates: [{ CertificateArn: `${CERTIFICATE}2` }],
      }),
    );
    const { Certificates } = await balancing.send(
      new elb.DescribeListenerCertificatesCommand({ ListenerArn }),
    );
    expect(Certificates).toEqual([
      { CertificateArn: CERTIFICATE, IsDefault: true },
      { CertificateArn: `${CERTIFICATE}2`, IsDefault: false },
    ]);
  });

  it('forwards to a group of a protocol that fits, and of no other load balancer', async () => {
    const [one, two] = [await loadBalancer('one'), await loadBalancer('two')];
    const tg = await targetGroup();
    await expect(listener(one.LoadBalancerArn, tg, { Protocol: 'UDP' })).rejects.toBeInstanceOf(
      elb.InvalidConfigurationRequestException,
    );
    await listener(one.LoadBalancerArn, tg);
    await expect(listener(two.LoadBalancerArn, tg)).rejects.toBeInstanceOf(
      elb.TargetGroupAssociationLimitException,
    );
    await expect(
      balancing.send(new elb.DeleteTargetGroupCommand({ TargetGroupArn: tg })),
    ).rejects.toBeInstanceOf(elb.ResourceInUseException);
  });
});

describe('targets', () => {
  it('are by address and port, and go through their states on the clock', async () => {
    Object.assign(emulator.cloud.behaviour, {
      registration: 30_000,
      isHealthy: (_: string, port: number) => port !== 81,
    });
    const { LoadBalancerArn } = await loadBalancer();
    const TargetGroupArn = await targetGroup();
    const Targets = [
      { Id: '10.0.0.1', Port: 80 },
      { Id: '10.0.0.1', Port: 81 },
    ];
    await balancing.send(new elb.RegisterTargetsCommand({ TargetGroupArn, Targets }));
    expect(await healthOf(TargetGroupArn)).toEqual(['10.0.0.1:80 unused', '10.0.0.1:81 unused']);
    await listener(LoadBalancerArn, TargetGroupArn);
    expect(await healthOf(TargetGroupArn)).toEqual(['10.0.0.1:80 initial', '10.0.0.1:81 initial']);
    await clock.advance(30_000);
    expect(await healthOf(TargetGroupArn)).toEqual(['10.0.0.1:80 healthy', '10.0.0.1:81 unhealthy']);
    const deregister = () =>
      balancing.send(new elb.DeregisterTargetsCommand({ TargetGroupArn, Targets: Targets.slice(0, 1) }));
    await deregister();
    await deregister();
    expect(await healthOf(TargetGroupArn)).toEqual(['10.0.0.1:80 draining', '10.0.0.1:81 unhealthy']);
    await clock.advance(300_000);
    expect(await healthOf(TargetGroupArn)).toEqual(['10.0.0.1:81 unhealthy']);
  });

  it('that are no instances are refused, and so are too many', async () => {
    const TargetGroupArn = await targetGroup('tg', { TargetType: 'instance' });
    const register = (...ids: string[]) =>
      balancing.send(new elb.RegisterTargetsCommand({ TargetGroupArn, Targets: ids.map((Id) => ({ Id })) }));
    await expect(register('i-1')).rejects.toBeInstanceOf(elb.InvalidTargetException);
    for (const id of ['i-1', 'i-2']) emulator.cloud.addInstance(id);
    emulator.cloud.behaviour.quotas.targetsPerGroup = 1;
    await expect(register('i-1', 'i-2')).rejects.toBeInstanceOf(elb.TooManyTargetsException);
    await register('i-1');
  });

  it('have checks and attributes as AWS checks them', async () => {
    await expect(
      targetGroup('tg', { HealthCheckIntervalSeconds: 5, HealthCheckTimeoutSeconds: 6 }),
    ).rejects.toMatchObject({ name: 'ValidationError' });
    const TargetGroupArn = await targetGroup('tg', { Protocol: 'UDP' });
    const { Attributes = [] } = await balancing.send(
      new elb.DescribeTargetGroupAttributesCommand({ TargetGroupArn }),
    );
    expect(Attributes).toContainEqual({ Key: 'preserve_client_ip.enabled', Value: 'true' });
    const modify = (Key: string, Value: string) =>
      balancing.send(
        new elb.ModifyTargetGroupAttributesCommand({ TargetGroupArn, Attributes: [{ Key, Value }] }),
      );
    await expect(modify('preserve_client_ip.enabled', 'false')).rejects.toBeInstanceOf(
      elb.InvalidConfigurationRequestException,
    );
    await expect(modify('no.such', 'x')).rejects.toMatchObject({ name: 'ValidationError' });
    await expect(targetGroup('tg', { Protocol: 'TCP' })).rejects.toBeInstanceOf(
      elb.DuplicateTargetGroupNameException,
    );
  });
});

describe('EC2', () => {
  it('tells subnets, routes and groups with their tags and rules', async () => {
    const { Subnets = [] } = await compute.send(
      new ec2.DescribeSubnetsCommand({
        Filters: [
          { Name: 'vpc-id', Values: [emulator.cloud.vpc] },
          { Name: 'tag:kubernetes.io/role/elb', Values: ['', '1'] },
        ],
      }),
    );
    expect(Subnets.map(({ SubnetId }) => SubnetId)).toEqual([
      'subnet-00000001',
      'subnet-00000011',
      'subnet-00000021',
    ]);
    expect(Subnets[0]).toMatchObject({ AvailabilityZone: 'eu-central-1a', AvailableIpAddressCount: 200 });
    expect(Subnets[0]?.Ipv6CidrBlockAssociationSet?.[0]?.Ipv6CidrBlockState?.State).toBe('associated');
    const { RouteTables = [] } = await compute.send(new ec2.DescribeRouteTablesCommand({}));
    expect(
      RouteTables.filter(({ Routes = [] }) =>
        Routes.some(({ GatewayId = '' }) => GatewayId.startsWith('igw-')),
      ),
    ).toHaveLength(3);

    const GroupId = await group();
    const IpPermissions = [
      {
        IpProtocol: 'tcp',
        FromPort: 80,
        ToPort: 80,
        IpRanges: [{ CidrIp: '0.0.0.0/0' }],
        Ipv6Ranges: [{ CidrIpv6: '::/0' }],
        PrefixListIds: [{ PrefixListId: 'pl-1' }],
      },
    ];
    const allow = () =>
      compute.send(new ec2.AuthorizeSecurityGroupIngressCommand({ GroupId, IpPermissions }));
    await allow();
    await expect(allow()).rejects.toMatchObject({ name: 'InvalidPermission.Duplicate' });
    await compute.send(new ec2.CreateTagsCommand({ Resources: [GroupId], Tags: [{ Key: 'a', Value: 'b' }] }));
    const { SecurityGroups = [] } = await compute.send(
      new ec2.DescribeSecurityGroupsCommand({ Filters: [{ Name: 'tag:a', Values: ['b'] }] }),
    );
    expect(SecurityGroups[0]?.IpPermissions).toHaveLength(3);
    expect(SecurityGroups[0]?.Tags).toEqual([{ Key: 'a', Value: 'b' }]);
    await compute.send(new ec2.RevokeSecurityGroupIngressCommand({ GroupId, IpPermissions }));
    emulator.cloud.behaviour.quotas.rules = 2;
    await expect(allow()).rejects.toMatchObject({ name: 'RulesPerSecurityGroupLimitExceeded' });
    await expect(group()).rejects.toMatchObject({ name: 'InvalidGroup.Duplicate' });
  });
});

describe('an interface of an instance', () => {
  it('tells its groups, and is found by instance or address', async () => {
    const id = await group();
    emulator.cloud.addInstance('i-1', { address: '10.0.0.5', podAddresses: ['10.0.0.6'], groups: [id] });
    emulator.cloud.addInstance('i-2');
    const find = async (Name: string, value: string) => {
      const Filters = [{ Name, Values: [value] }];
      const { NetworkInterfaces = [] } = await compute.send(
        new ec2.DescribeNetworkInterfacesCommand({ Filters }),
      );
      return NetworkInterfaces.map(({ Attachment, Groups = [] }) => [
        Attachment?.InstanceId,
        Groups.map(({ GroupId }) => GroupId),
      ]);
    };
    expect(await find('attachment.instance-id', 'i-1')).toEqual([['i-1', [id]]]);
    expect(await find('addresses.private-ip-address', '10.0.0.6')).toEqual([['i-1', [id]]]);
    expect(await find('addresses.private-ip-address', '10.9.9.9')).toEqual([]);
  });

  it('lets another group in by a rule, which holds that group', async () => {
    const [nodes, balancers] = [await group('nodes'), await group('balancers')];
    const IpPermissions = [
      {
        IpProtocol: 'tcp',
        FromPort: 1,
        ToPort: 2,
        UserIdGroupPairs: [{ GroupId: balancers, Description: 'why' }],
      },
    ];
    await compute.send(new ec2.AuthorizeSecurityGroupIngressCommand({ GroupId: nodes, IpPermissions }));
    const Filters = [{ Name: 'ip-permission.group-id', Values: [balancers] }];
    const { SecurityGroups: [found, ...more] = [] } = await compute.send(
      new ec2.DescribeSecurityGroupsCommand({ Filters }),
    );
    expect(more).toEqual([]);
    expect(found).toMatchObject({ GroupId: nodes, IpPermissions });
    const deletion = () => compute.send(new ec2.DeleteSecurityGroupCommand({ GroupId: balancers }));
    await expect(deletion()).rejects.toMatchObject({ name: 'DependencyViolation' });
    await compute.send(new ec2.RevokeSecurityGroupIngressCommand({ GroupId: nodes, IpPermissions }));
    await deletion();
  });
});

describe('every call', () => {
  it('may be throttled, denied or unsigned', async () => {
    emulator.cloud.behaviour.buckets = {
      describe: { burst: 1, perSecond: 1 },
      mutate: { burst: 1, perSecond: 1 },
      register: { burst: 1, perSecond: 1 },
    };
    const balancers = () => balancing.send(new elb.DescribeLoadBalancersCommand({}));
    const subnets = () => compute.send(new ec2.DescribeSubnetsCommand({}));
    await balancers();
    await expect(balancers()).rejects.toMatchObject({ name: 'Throttling' });
    await subnets();
    await expect(subnets()).rejects.toMatchObject({ name: 'RequestLimitExceeded' });
    await clock.advance(1_000);
    await balancers();
    emulator.cloud.behaviour.buckets = undefined;
    emulator.cloud.behaviour.denied.add('DescribeLoadBalancers').add('DescribeSubnets');
    await expect(balancers()).rejects.toMatchObject({ name: 'AccessDenied' });
    await expect(subnets()).rejects.toMatchObject({ name: 'UnauthorizedOperation' });
    emulator.cloud.behaviour.expired = true;
    await expect(balancers()).rejects.toMatchObject({ name: 'ExpiredToken' });
  });

  it('may lose its answer, before it took effect or after', async () => {
    emulator.loseAnswer = () => 'before';
    await expect(loadBalancer()).rejects.toThrow();
    expect(emulator.cloud.loadBalancers.size).toBe(0);
    emulator.loseAnswer = () => 'after';
    await expect(loadBalancer()).rejects.toThrow();
    expect(emulator.cloud.loadBalancers.size).toBe(1);
  });

  it('that names more than 20 resources is refused', async () => {
    const ResourceArns = Array.from({ length: 21 }, () => 'arn');
    await expect(balancing.send(new elb.DescribeTagsCommand({ ResourceArns }))).rejects.toMatchObject({
      name: 'ValidationError',
    });
  });
});
