// A step as a person reads it before it is done.
import { groupOf } from './backend.ts';
import type { Rule, Target } from './model.ts';
import type { Step, Subject } from './step.ts';

export function stepText(step: Step): string {
  switch (step.kind) {
    case 'createSecurityGroup':
      return `create security group ${step.group.name} in ${step.group.vpc}`;
    case 'allow':
      return `allow ${rules(step.rules)} in security group ${step.group}`;
    case 'revoke':
      return `no longer allow ${rules(step.rules)} in security group ${step.group}`;
    case 'deleteSecurityGroup':
      return `delete security group ${step.group}`;
    case 'createTargetGroup': {
      const { protocol, targetType, targetPort } = step.targetGroup;
      return `create target group ${step.name} (${protocol}, ${targetType}, port ${targetPort})`;
    }
    case 'modifyHealthCheck': {
      const { protocol, port, path = '', interval } = step.healthCheck;
      return `check the health of target group ${step.targetGroup} by ${protocol} on ${port}${path} every ${interval} s`;
    }
    case 'register':
      return `register ${targets(step.targets)} in target group ${step.targetGroup}`;
    case 'deregister':
      return `deregister ${targets(step.targets)} from target group ${step.targetGroup}`;
    case 'deleteTargetGroup':
      return `delete target group ${step.targetGroup}`;
    case 'createLoadBalancer': {
      const { name, scheme, addressType, mappings } = step.loadBalancer;
      return `create load balancer ${name} (${scheme}, ${addressType}) in ${mappings.map(({ subnet }) => subnet).join(', ')}`;
    }
    case 'setSubnets':
      return `put load balancer ${step.loadBalancer} into ${step.mappings.map(({ subnet }) => subnet).join(', ')} (${step.addressType})`;
    case 'setAddressType':
      return `make load balancer ${step.loadBalancer} ${step.addressType}`;
    case 'setSecurityGroups': {
      const own = step.groups.kind === 'ids' ? step.groups.ids : [step.group];
      const groups = [...own, step.backendGroup].filter((each) => each !== undefined);
      return `give load balancer ${step.loadBalancer} the security groups ${groups.join(', ')}`;
    }
    case 'deleteLoadBalancer':
      return `delete load balancer ${step.loadBalancer}`;
    case 'createListener':
    case 'modifyListener': {
      const { port, protocol } = step.listener;
      const verb = step.kind === 'createListener' ? 'create' : 'change';
      return `${verb} listener ${protocol} ${port} of ${step.loadBalancer}, to target group ${step.targetGroup}`;
    }
    case 'addCertificates':
      return `add ${step.certificates.join(', ')} to listener ${step.port} of ${step.loadBalancer}`;
    case 'removeCertificates':
      return `take ${step.certificates.join(', ')} from listener ${step.port} of ${step.loadBalancer}`;
    case 'deleteListener':
      return `delete listener ${step.port} of ${step.loadBalancer}`;
    case 'setAttributes':
      return `set ${pairs(step.attributes)} on ${subject(step.subject)}`;
    case 'addTags':
      return `tag ${subject(step.subject)} with ${pairs(step.tags)}`;
    case 'removeTags':
      return `take the tags ${step.keys.join(', ')} from ${subject(step.subject)}`;
  }
}

function rules(all: readonly Rule[]): string {
  return all
    .map(({ protocol, from, to, source }) => {
      const ports = protocol.startsWith('icmp')
        ? `type ${from} code ${to}`
        : from === to
          ? from
          : `${from}-${to}`;
      return `${protocol} ${ports} from ${groupOf(source) ?? source}`;
    })
    .join(', ');
}

function targets(all: readonly Target[]): string {
  return all.map(({ id, port }) => `${id}:${port}`).join(', ');
}

function pairs(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([key, value]) => `${key}=${value}`)
    .join(', ');
}

function subject(of: Subject): string {
  switch (of.kind) {
    case 'loadBalancer':
      return `load balancer ${of.name}`;
    case 'targetGroup':
      return `target group ${of.name}`;
    case 'securityGroup':
      return `security group ${of.name}`;
    case 'listener':
      return `listener ${of.port} of ${of.loadBalancer}`;
  }
}
