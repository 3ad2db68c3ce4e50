// Which addresses are taken for a Service's, by agents and by a controller that starts.
import { describe, expect, it } from 'vitest';
import {
  ADDRESSES_ANNOTATION,
  ALLOCATED_CONDITION,
  holdingText,
  knownAddresses,
  servedAddresses,
} from '../../src/api/service-addresses.ts';
import type { IngressStatus, ServiceObject } from '../../src/kube/objects.ts';

interface Seen {
  readonly ingress?: readonly IngressStatus[];
  readonly annotation?: string;
  readonly message?: string;
  readonly status?: 'True' | 'False';
}

function service({ ingress = [], annotation, message, status = 'True' }: Seen): ServiceObject {
  const times = { reason: 'Any', lastTransitionTime: '2026-01-01T00:00:00Z' };
  return {
    metadata: {
      name: 'web',
      namespace: 'shop',
      annotations: annotation === undefined ? {} : { [ADDRESSES_ANNOTATION]: annotation },
    },
    spec: { type: 'LoadBalancer' },
    status: {
      loadBalancer: { ingress },
      conditions: message === undefined ? [] : [{ type: ALLOCATED_CONDITION, status, message, ...times }],
    },
  };
}

const OWN = ['192.0.2.1', '2001:db8::1'];
const both = { annotation: OWN.join(), message: `${holdingText(OWN, true)}lan` };
const publicly = [{ ip: '203.0.113.7', ipMode: 'Proxy' }, { hostname: 'www.example.com' }];

describe('a Service is served', () => {
  it.each<[string, Seen, readonly string[]]>([
    [
      'at what its status shows',
      { ingress: [{ ip: '192.0.2.1' }, { ip: '2001:DB8::1', ipMode: 'VIP' }] },
      OWN,
    ],
    ['at what stands behind it', { ingress: publicly, ...both }, OWN],
    [
      'at what it keeps while it is refused another',
      { ...both, ingress: publicly, status: 'False', message: `${holdingText(OWN, false)}no such pool` },
      OWN,
    ],
    ['nowhere while its status shows nothing', both, []],
    ['nowhere where its status shows what is no VIP and nothing stands behind it', { ingress: publicly }, []],
    ['at its own, whatever another wrote into its status', { ...both, ingress: [{ ip: '192.0.2.9' }] }, OWN],
  ])('%s', (_, seen, addresses) => {
    expect(servedAddresses(service(seen))).toEqual(addresses);
  });

  it.each<[string, Seen]>([
    ['there is no condition', {}],
    ['the condition names others', { message: `${holdingText(['192.0.2.2'], true)}lan` }],
    ['it only is part of what a user wrote', { message: `InvalidRequest "${holdingText(OWN, true)}"` }],
    ['the condition tells of a refusal', { message: both.message, status: 'False' }],
  ])('never at what only an annotation says, which any user may write: %s', (_, seen) => {
    const forged = service({ annotation: OWN.join(), ingress: [{ ip: '192.0.2.2' }], ...seen });
    expect(servedAddresses(forged)).toEqual(['192.0.2.2']);
    expect(knownAddresses(forged)).toEqual({ held: ['192.0.2.2'], remembered: [] });
  });
});

describe('a controller that starts takes for what a Service has', () => {
  it.each<[string, Seen, object]>([
    ['what its status shows', { ingress: [{ ip: '192.0.2.1' }] }, { held: ['192.0.2.1'], remembered: [] }],
    ['what stands behind it', { ingress: publicly, ...both }, { held: OWN, remembered: [] }],
    ['what its status showed, where that is emptied', both, { held: OWN, remembered: [] }],
    [
      'what its annotation remembers as a wish only, where all of the status is gone',
      { annotation: both.annotation },
      { held: [], remembered: OWN },
    ],
    [
      'nothing of what stood for it, where the annotation was taken away',
      { ingress: publicly },
      { held: [], remembered: [] },
    ],
    ['nothing that is no address', { annotation: 'x,,192.0.2.01' }, { held: [], remembered: [] }],
  ])('%s', (_, seen, known) => {
    expect(knownAddresses(service(seen))).toEqual(known);
  });
});
