import { beforeEach, describe, expect, it } from 'vitest';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import { ServiceNews } from '../../src/commands/agent-service-news.ts';
import type { ServiceObject } from '../../src/kube/objects.ts';
import { Store } from '../../src/kube/store.ts';

let clock: VirtualClock;
let services: Store<ServiceObject>;
let news: ServiceNews;
let told: number;
let version = 0;

beforeEach(() => {
  clock = new VirtualClock();
  services = new Store();
  told = 0;
  const classes = { classes: new Set<string>(), classless: true };
  news = new ServiceNews(services, classes, clock, () => void told++);
});

function service(name: string, address?: string, change: Partial<ServiceObject['spec']> = {}): ServiceObject {
  return {
    metadata: { name, namespace: 'shop', resourceVersion: `${++version}` },
    spec: { type: 'LoadBalancer', ...change },
    status: address === undefined ? {} : { loadBalancer: { ingress: [{ ip: address, ipMode: 'VIP' }] } },
  };
}

describe('news of a Service', () => {
  it('is that it has an address, and not that it is there or is written again', () => {
    services.set(service('a'));
    expect(told).toBe(0);
    services.set(service('a', '192.0.2.1'));
    services.set(service('a', '192.0.2.1', { sessionAffinity: 'ClientIP' }));
    services.set(service('other', '192.0.2.2', { loadBalancerClass: 'of.others/x' }));
    expect(told).toBe(1);
  });

  it('of new addresses is gathered for four times as long as the last election took, and no longer than 250 ms', async () => {
    services.set(service('a', '192.0.2.1'));
    news.took(10);
    for (const name of ['b', 'c']) services.set(service(name, `192.0.2.${name.charCodeAt(0)}`));
    await clock.advance(39);
    expect(told).toBe(1);
    await clock.advance(1);
    expect(told).toBe(2);
    news.took(10_000);
    services.set(service('d', '192.0.2.4'));
    await clock.advance(250);
    expect(told).toBe(3);
    await clock.advance(10_000);
    services.set(service('e', '192.0.2.5'));
    expect(told).toBe(4);
  });

  it.each<[string, () => void]>([
    ['has lost its address', () => services.set(service('a'))],
    ['has another address', () => services.set(service('a', '192.0.2.9'))],
    ['is gone', () => services.delete('shop/a')],
    ['is ours no more', () => services.set(service('a', '192.0.2.1', { type: 'ClusterIP' }))],
    [
      'is served otherwise',
      () => services.set(service('a', '192.0.2.1', { externalTrafficPolicy: 'Local' })),
    ],
  ])('that %s waits for nothing', (_, change) => {
    services.set(service('a', '192.0.2.1'));
    news.took(10_000);
    change();
    expect(told).toBe(2);
  });
});
