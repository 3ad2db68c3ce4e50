// AWS as a few lines of state: does one step, and throws where AWS would refuse it. For plans alone; the emulator
// in src/lab/aws is the one that speaks the protocol.
import type { DesiredListener, Rule } from '../../../src/providers/aws/model.ts';
import type {
  ObservedListener,
  ObservedLoadBalancer,
  ObservedSecurityGroup,
  ObservedState,
  ObservedTargetGroup,
} from '../../../src/providers/aws/observed.ts';
import type { Step, Subject } from '../../../src/providers/aws/step.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export class NaiveAws {
  loadBalancers: Mutable<ObservedLoadBalancer>[] = [];
  targetGroups: Mutable<ObservedTargetGroup>[] = [];
  securityGroups: Mutable<ObservedSecurityGroup>[] = [];
  #next = 1;

  state(): ObservedState {
    const targetGroups = this.targetGroups.map((group) => ({
      ...group,
      loadBalancers: this.#users(group.arn),
    }));
    return structuredClone({
      loadBalancers: this.loadBalancers,
      targetGroups,
      securityGroups: this.securityGroups,
    });
  }

  activate(): void {
    for (const each of this.loadBalancers) each.state = 'active';
  }

  apply(step: Step): void {
    switch (step.kind) {
      case 'createSecurityGroup': {
        const { name, tags } = step.group;
        refuseIf(
          this.securityGroups.some((each) => each.name === name),
          `group ${name} exists`,
        );
        this.securityGroups.push({ id: `sg-${this.#next++}`, name, rules: [], tags });
        return;
      }
      case 'allow': {
        const group = this.#group(step.group);
        refuseIf(
          step.rules.some((rule) => group.rules.some(same(rule))),
          'duplicate rule',
        );
        group.rules = [...group.rules, ...step.rules];
        return;
      }
      case 'revoke': {
        const group = this.#group(step.group);
        group.rules = group.rules.filter((rule) => !step.rules.some(same(rule)));
        return;
      }
      case 'deleteSecurityGroup': {
        const { id } = this.#group(step.group);
        refuseIf(
          this.loadBalancers.some(({ groups }) => groups.includes(id)),
          'DependencyViolation',
        );
        this.securityGroups = this.securityGroups.filter((each) => each.id !== id);
        return;
      }
      case 'createTargetGroup': {
        const { name, targetGroup } = step;
        refuseIf(
          this.targetGroups.some((each) => each.name === name),
          `target group ${name} exists`,
        );
        this.targetGroups.push({
          arn: `tg-${this.#next++}`,
          name,
          protocol: targetGroup.protocol,
          targetType: targetGroup.targetType,
          addressType: targetGroup.addressType,
          loadBalancers: [],
          healthCheck: targetGroup.healthCheck,
          attributes: targetGroup.attributes.fallbacks,
          tags: targetGroup.tags,
          targets: [],
        });
        return;
      }
      case 'modifyHealthCheck':
        this.#targetGroup(step.targetGroup).healthCheck = step.healthCheck;
        return;
      case 'register': {
        const group = this.#targetGroup(step.targetGroup);
        const added = step.targets.map(({ id, port }) => ({ id, port, state: 'initial' }));
        group.targets = [...group.targets.filter((each) => !added.some(sameTarget(each))), ...added];
        return;
      }
      case 'deregister': {
        const group = this.#targetGroup(step.targetGroup);
        group.targets = group.targets.filter((each) => !step.targets.some(sameTarget(each)));
        return;
      }
      case 'deleteTargetGroup': {
        const { arn, name } = this.#targetGroup(step.targetGroup);
        refuseIf(this.#users(arn).length > 0, `target group ${name} is in use`);
        this.targetGroups = this.targetGroups.filter((each) => each.arn !== arn);
        return;
      }
      case 'createLoadBalancer': {
        const { loadBalancer, group } = step;
        refuseIf(
          this.loadBalancers.some(({ name }) => name === loadBalancer.name),
          `load balancer ${loadBalancer.name} exists`,
        );
        const arn = `lb-${this.#next++}`;
        this.loadBalancers.push({
          arn,
          name: loadBalancer.name,
          type: 'network',
          scheme: loadBalancer.scheme,
          state: 'provisioning',
          hostname: `${arn}.example`,
          addressType: loadBalancer.addressType,
          sourceNat: loadBalancer.sourceNat,
          mappings: loadBalancer.mappings,
          groups: this.#groupIds(loadBalancer.groups, group),
          attributes: loadBalancer.attributes.fallbacks,
          tags: loadBalancer.tags,
          listeners: [],
        });
        return;
      }
      case 'setSubnets': {
        const balancer = this.#balancer(step.loadBalancer);
        balancer.mappings = step.mappings;
        balancer.addressType = step.addressType;
        balancer.sourceNat = step.sourceNat;
        return;
      }
      case 'setAddressType':
        this.#balancer(step.loadBalancer).addressType = step.addressType;
        return;
      case 'setSecurityGroups': {
        const balancer = this.#balancer(step.loadBalancer);
        const ids = this.#groupIds(step.groups, step.group);
        refuseIf(balancer.groups.length === 0 || ids.length === 0, 'groups cannot be added or all taken off');
        balancer.groups = ids;
        if (step.privateLinkRules) balancer.privateLinkRules = step.privateLinkRules;
        return;
      }
      case 'deleteLoadBalancer': {
        const { arn, attributes } = this.#balancer(step.loadBalancer);
        refuseIf(attributes['deletion_protection.enabled'] === 'true', 'protected');
        this.loadBalancers = this.loadBalancers.filter((each) => each.arn !== arn);
        return;
      }
      case 'createListener': {
        const balancer = this.#balancer(step.loadBalancer);
        refuseIf(
          balancer.listeners.some(({ port }) => port === step.listener.port),
          'DuplicateListener',
        );
        const listener = {
          arn: `li-${this.#next++}`,
          extraCertificates: [],
          attributes: {},
          tags: step.listener.tags,
        };
        balancer.listeners = [...balancer.listeners, { ...listener, ...this.#action(balancer, step) }];
        return;
      }
      case 'modifyListener': {
        const balancer = this.#balancer(step.loadBalancer);
        balancer.listeners = balancer.listeners.map((each) =>
          each.port === step.listener.port ? { ...each, ...this.#action(balancer, step) } : each,
        );
        return;
      }
      case 'addCertificates':
        this.#editListener(step, (each) => [...each.extraCertificates, ...step.certificates]);
        return;
      case 'removeCertificates':
        this.#editListener(step, (each) =>
          each.extraCertificates.filter((arn) => !step.certificates.includes(arn)),
        );
        return;
      case 'deleteListener': {
        const balancer = this.#balancer(step.loadBalancer);
        balancer.listeners = balancer.listeners.filter(({ port }) => port !== step.port);
        return;
      }
      case 'setAttributes':
        this.#edit(step.subject, (each) => ({ attributes: { ...each.attributes, ...step.attributes } }));
        return;
      case 'addTags':
        this.#edit(step.subject, (each) => ({ tags: { ...each.tags, ...step.tags } }));
        return;
      case 'removeTags':
        this.#edit(step.subject, (each) => ({
          tags: Object.fromEntries(Object.entries(each.tags).filter(([key]) => !step.keys.includes(key))),
        }));
        return;
    }
  }

  #users(targetGroup: string): string[] {
    const users = this.loadBalancers.filter(({ listeners }) =>
      listeners.some(({ targetGroupArn }) => targetGroupArn === targetGroup),
    );
    return users.map(({ arn }) => arn);
  }

  #action(
    { arn }: ObservedLoadBalancer,
    step: { readonly listener: DesiredListener; readonly targetGroup: string },
  ): Omit<ObservedListener, 'arn' | 'extraCertificates' | 'attributes' | 'tags'> {
    const { port, protocol, certificates, sslPolicy, alpnPolicy } = step.listener;
    const target = this.#targetGroup(step.targetGroup);
    refuseIf(
      this.#users(target.arn).some((each) => each !== arn),
      'TargetGroupAssociationLimit',
    );
    refuseIf(
      target.targets.length === 0 && this.expectTargets,
      `listener ${port} points to an empty target group`,
    );
    return {
      port,
      protocol,
      targetGroupArn: target.arn,
      ...(certificates[0] ? { defaultCertificate: certificates[0] } : {}),
      ...(sslPolicy ? { sslPolicy } : {}),
      ...(alpnPolicy ? { alpnPolicy } : {}),
    };
  }

  /** Whether a listener may never be pointed to a group without targets. */
  expectTargets = false;

  #groupIds(groups: { kind: 'ids'; ids: readonly string[] } | { kind: 'managed' }, name: string | undefined) {
    return groups.kind === 'ids' ? groups.ids : [this.#group(name ?? '').id];
  }

  #editListener(
    { loadBalancer, port }: { readonly loadBalancer: string; readonly port: number },
    certificates: (each: ObservedListener) => readonly string[],
  ): void {
    const balancer = this.#balancer(loadBalancer);
    balancer.listeners = balancer.listeners.map((each) =>
      each.port === port ? { ...each, extraCertificates: certificates(each) } : each,
    );
  }

  #edit(
    subject: Subject,
    change: (each: {
      attributes: Readonly<Record<string, string>>;
      tags: Readonly<Record<string, string>>;
    }) => object,
  ): void {
    if (subject.kind === 'loadBalancer') {
      const balancer = this.#balancer(subject.name);
      Object.assign(balancer, change(balancer));
    } else if (subject.kind === 'targetGroup') {
      const group = this.#targetGroup(subject.name);
      Object.assign(group, change(group));
    } else if (subject.kind === 'securityGroup') {
      const group = this.#group(subject.name);
      Object.assign(group, change({ ...group, attributes: {} }));
    } else {
      const balancer = this.#balancer(subject.loadBalancer);
      balancer.listeners = balancer.listeners.map((each) =>
        each.port === subject.port ? { ...each, ...change(each) } : each,
      );
    }
  }

  #balancer(name: string): Mutable<ObservedLoadBalancer> {
    return this.loadBalancers.find((each) => each.name === name) ?? refuse(`no load balancer ${name}`);
  }

  #targetGroup(name: string): Mutable<ObservedTargetGroup> {
    return this.targetGroups.find((each) => each.name === name) ?? refuse(`no target group ${name}`);
  }

  #group(name: string): Mutable<ObservedSecurityGroup> {
    return this.securityGroups.find((each) => each.name === name) ?? refuse(`no security group ${name}`);
  }
}

function same(a: Rule): (b: Rule) => boolean {
  return (b) => a.protocol === b.protocol && a.from === b.from && a.to === b.to && a.source === b.source;
}

function sameTarget(a: { readonly id: string; readonly port: number }): (b: typeof a) => boolean {
  return (b) => a.id === b.id && a.port === b.port;
}

function refuseIf(refused: boolean, why: string): void {
  if (refused) refuse(why);
}

function refuse(why: string): never {
  throw new Error(`AWS refuses: ${why}`);
}
