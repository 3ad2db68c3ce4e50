// ELBv2: tags of load balancers, listeners and target groups.
import type { Cloud } from './cloud.ts';
import { refuse } from './fault.ts';
import { keyValues } from './load-balancers.ts';
import { type Params, pairs, texts } from './query.ts';
import type { Answer } from './xml.ts';

const MOST_TAGS = 50;

export function describeTags(cloud: Cloud, params: Params): Answer {
  const arns = named(params);
  return {
    TagDescriptions: arns.map((arn) => {
      const found = find(cloud, arn);
      return { ResourceArn: arn, Tags: cloud.isTooNew(found.createdAt) ? [] : keyValues(found.tags) };
    }),
  };
}

export function addTags(cloud: Cloud, params: Params): Answer {
  for (const arn of named(params)) {
    const found = find(cloud, arn);
    const tags = { ...found.tags, ...pairs(params, 'Tags') };
    if (Object.keys(tags).length > MOST_TAGS)
      refuse('TooManyTags', 'The maximum number of tags has been reached');
    found.tags = tags;
  }
  return {};
}

export function removeTags(cloud: Cloud, params: Params): Answer {
  const keys = texts(params, 'TagKeys');
  for (const arn of named(params)) {
    const found = find(cloud, arn);
    found.tags = Object.fromEntries(Object.entries(found.tags).filter(([key]) => !keys.includes(key)));
  }
  return {};
}

function named(params: Params): string[] {
  const arns = texts(params, 'ResourceArns');
  if (arns.length === 0 || arns.length > 20) refuse('ValidationError', 'from 1 to 20 resources can be named');
  return arns;
}

function find(cloud: Cloud, arn: string): { tags: Record<string, string>; readonly createdAt: number } {
  const group = cloud.targetGroups.get(arn);
  if (group) return group;
  if (arn.includes(':targetgroup/')) return refuse('TargetGroupNotFound', `Target group '${arn}' not found`);
  const listener = cloud.listeners.get(arn);
  if (listener) return listener;
  if (arn.includes(':listener/')) return refuse('ListenerNotFound', `Listener '${arn}' not found`);
  return cloud.loadBalancers.get(arn) ?? refuse('LoadBalancerNotFound', `Load balancer '${arn}' not found`);
}
