import { describe, expect, it } from 'vitest';
import type { Condition, ServiceObject } from '../../src/kube/objects.ts';
import { ip } from '../../src/net/address.ts';
import type { Outcome } from '../../src/providers/provider.ts';
import { eventFor } from '../../src/status/service-event.ts';
import {
  bearsOurMark,
  clearingPatch,
  emptyingPatch,
  type StatusPatch,
  statusPatch,
} from '../../src/status/service-status.ts';

const NOW = new Date('2026-01-02T03:04:05.678Z');
const LATER = new Date('2026-01-02T04:00:00Z');
const ANNOTATION = 'fairlead.dev/ip-allocated-from-pool';
const ADDRESSES = 'fairlead.dev/allocated-ips';
const FINALIZER = 'service.kubernetes.io/load-balancer-cleanup';
const OTHER: Condition = {
  type: 'example.com/Other',
  status: 'True',
  reason: 'Fine',
  message: '',
  lastTransitionTime: '2026-01-01T00:00:00Z',
};

const done: Outcome = { kind: 'done', addresses: [ip('192.0.2.1'), ip('2001:db8::1')], source: 'lan,six' };
const pending: Outcome = {
  kind: 'pending',
  reason: 'PoolExhausted',
  message: 'no address is free',
  addresses: [],
};

function service(
  status?: ServiceObject['status'],
  annotations: Readonly<Record<string, string>> = {},
): ServiceObject {
  return {
    metadata: { name: 'web', namespace: 'shop', resourceVersion: '7', annotations },
    spec: { type: 'LoadBalancer' },
    ...(status ? { status } : {}),
  };
}

/** The Service as the API server has it after a merge patch (RFC 7386). */
function patched(before: ServiceObject, patch: StatusPatch | undefined): ServiceObject {
  if (!patch) expect.fail('nothing to write');
  const annotations = Object.entries({ ...before.metadata.annotations, ...patch.metadata.annotations });
  return {
    ...before,
    metadata: {
      ...before.metadata,
      resourceVersion: `${Number(before.metadata.resourceVersion) + 1}`,
      ...(patch.metadata.finalizers === undefined ? {} : { finalizers: patch.metadata.finalizers ?? [] }),
      annotations: Object.fromEntries(
        annotations.filter((entry): entry is [string, string] => entry[1] !== null),
      ),
    },
    status: JSON.parse(JSON.stringify({ ...before.status, ...patch.status })),
  };
}

describe('the status of a Service that has its addresses', () => {
  const patch = statusPatch(service({ conditions: [OTHER] }), done, NOW);

  it('names each with the mode VIP, the pools, and a condition beside those of others', () => {
    expect(patch).toEqual({
      metadata: {
        resourceVersion: '7',
        annotations: { [ANNOTATION]: 'lan,six', [ADDRESSES]: '192.0.2.1,2001:db8::1' },
        finalizers: [FINALIZER],
      },
      status: {
        loadBalancer: {
          ingress: [
            { ip: '192.0.2.1', ipMode: 'VIP' },
            { ip: '2001:db8::1', ipMode: 'VIP' },
          ],
        },
        conditions: [
          OTHER,
          {
            type: 'fairlead.dev/Allocated',
            status: 'True',
            reason: 'Allocated',
            message: '192.0.2.1 and 2001:db8::1 from lan and six',
            lastTransitionTime: '2026-01-02T03:04:05Z',
          },
        ],
      },
    });
  });

  it('is written once', () => {
    expect(statusPatch(patched(service(), patch), done, LATER)).toBeUndefined();
  });

  it('is not written where the API server added what is not ours', () => {
    const written = patched(service(), patch);
    const ingress = written.status?.loadBalancer?.ingress?.map((each) => ({
      ...each,
      ports: [{ port: 80, protocol: 'TCP' }],
    }));
    expect(
      statusPatch(
        { ...written, status: { ...written.status, loadBalancer: { ingress: ingress ?? [] } } },
        done,
        LATER,
      ),
    ).toBeUndefined();
  });

  it.each<[string, ServiceObject['status']]>([
    [
      'another address',
      {
        loadBalancer: {
          ingress: [
            { ip: '192.0.2.2', ipMode: 'VIP' },
            { ip: '2001:db8::1', ipMode: 'VIP' },
          ],
        },
      },
    ],
    [
      'another order',
      {
        loadBalancer: {
          ingress: [
            { ip: '2001:db8::1', ipMode: 'VIP' },
            { ip: '192.0.2.1', ipMode: 'VIP' },
          ],
        },
      },
    ],
    [
      'another mode',
      {
        loadBalancer: {
          ingress: [
            { ip: '192.0.2.1', ipMode: 'Proxy' },
            { ip: '2001:db8::1', ipMode: 'VIP' },
          ],
        },
      },
    ],
    [
      'a host name',
      {
        loadBalancer: {
          ingress: [
            { ip: '192.0.2.1', hostname: 'x' },
            { ip: '2001:db8::1', ipMode: 'VIP' },
          ],
        },
      },
    ],
    ['nothing', {}],
  ])('is set right where it says %s, and only that', (_, status) => {
    const written = patched(service(), patch);
    const wrong = { ...written, status: { ...status, conditions: written.status?.conditions ?? [] } };
    expect(statusPatch(wrong, done, LATER)).toEqual({
      metadata: { resourceVersion: '8' },
      status: { loadBalancer: patch?.status?.loadBalancer },
    });
  });

  it('gets its finalizer back, beside those of others', () => {
    const written = patched(service(), patch);
    const without = { ...written, metadata: { ...written.metadata, finalizers: ['example.com/other'] } };
    expect(statusPatch(without, done, LATER)).toEqual({
      metadata: { resourceVersion: '8', finalizers: ['example.com/other', FINALIZER] },
      status: {},
    });
  });

  it('gets its annotations back', () => {
    const written = patched(service(), patch);
    expect(
      statusPatch({ ...written, metadata: { ...written.metadata, annotations: {} } }, done, LATER),
    ).toEqual({
      metadata: {
        resourceVersion: '8',
        annotations: { [ANNOTATION]: 'lan,six', [ADDRESSES]: '192.0.2.1,2001:db8::1' },
      },
      status: {},
    });
  });
});

describe('what a Service shows in place of its addresses', () => {
  const shown: Outcome = { ...done, shownAs: ['203.0.113.7', 'www.example.com'] };
  const before = patched(service(), statusPatch(service(), shown, NOW));

  it('is an address that no proxy in the cluster takes for its own, or a name', () => {
    expect(before.status?.loadBalancer?.ingress).toEqual([
      { ip: '203.0.113.7', ipMode: 'Proxy' },
      { hostname: 'www.example.com' },
    ]);
    expect(before.status?.conditions?.[0]?.message).toBe(
      '192.0.2.1 and 2001:db8::1 from lan and six, shown as 203.0.113.7 and www.example.com',
    );
    expect(before.metadata.annotations).toMatchObject({ [ADDRESSES]: '192.0.2.1,2001:db8::1' });
    expect(statusPatch(before, shown, LATER)).toBeUndefined();
  });

  it('may be one of them, which stays what it is', () => {
    const half: Outcome = { ...done, shownAs: ['203.0.113.7', '2001:db8::1'] };
    expect(patched(service(), statusPatch(service(), half, NOW)).status?.loadBalancer?.ingress).toEqual([
      { ip: '203.0.113.7', ipMode: 'Proxy' },
      { ip: '2001:db8::1', ipMode: 'VIP' },
    ]);
  });

  it('goes when nothing is to be shown instead', () => {
    const after = patched(before, statusPatch(before, done, LATER));
    expect(after.status?.loadBalancer?.ingress).toEqual([
      { ip: '192.0.2.1', ipMode: 'VIP' },
      { ip: '2001:db8::1', ipMode: 'VIP' },
    ]);
  });
});

describe('the status of a Service that waits or is refused', () => {
  it('says why under a stable reason, and has no address', () => {
    expect(statusPatch(service(), pending, NOW)).toEqual({
      metadata: { resourceVersion: '7', finalizers: [FINALIZER] },
      status: {
        conditions: [
          {
            type: 'fairlead.dev/Allocated',
            status: 'False',
            reason: 'PoolExhausted',
            message: 'no address is free',
            lastTransitionTime: '2026-01-02T03:04:05Z',
          },
        ],
      },
    });
  });

  it('keeps the address that it still has', () => {
    const before = patched(service(), statusPatch(service(), done, NOW));
    const refused: Outcome = { ...done, kind: 'refused', reason: 'UnknownPool', message: 'no such pool' };
    const patch = statusPatch(before, refused, LATER);
    expect(patch?.status?.loadBalancer).toBeUndefined();
    expect(patch?.metadata.annotations).toBeUndefined();
    expect(patch?.status?.conditions?.[0]?.message).toBe('keeps 192.0.2.1 and 2001:db8::1; no such pool');
  });

  it('tells the time of its last change of status, not of its reason', () => {
    const first = patched(service(), statusPatch(service(), pending, NOW));
    const other = patched(first, statusPatch(first, { ...pending, reason: 'NoPools' }, LATER));
    expect(other.status?.conditions?.[0]).toMatchObject({
      reason: 'NoPools',
      lastTransitionTime: '2026-01-02T03:04:05Z',
    });
    const served = patched(other, statusPatch(other, done, LATER));
    expect(served.status?.conditions?.[0]?.lastTransitionTime).toBe('2026-01-02T04:00:00Z');
  });

  it('cuts a message that no condition can hold', () => {
    const patch = statusPatch(service(), { ...pending, message: 'x'.repeat(40_000) }, NOW);
    const message = patch?.status?.conditions?.[0]?.message ?? '';
    expect(message).toHaveLength(32_768);
    expect(message.endsWith(' …')).toBe(true);
  });
});

describe('a Service that is ours no longer', () => {
  const before = patched(
    service({ conditions: [OTHER] }, { note: 'kept' }),
    statusPatch(service({ conditions: [OTHER] }), done, NOW),
  );

  it('loses its addresses first, and then our annotation, condition and finalizer, and nothing else', () => {
    const emptying = emptyingPatch(before);
    expect(emptying).toEqual({
      metadata: { resourceVersion: '8' },
      status: { loadBalancer: { ingress: null } },
    });
    const emptied: ServiceObject = {
      ...before,
      metadata: { ...before.metadata, resourceVersion: '9', finalizers: ['example.com/other', FINALIZER] },
      status: { ...before.status, loadBalancer: {} },
    };
    expect(emptyingPatch(emptied)).toBeUndefined();
    const patch = clearingPatch(emptied);
    expect(patch).toEqual({
      metadata: {
        resourceVersion: '9',
        annotations: { [ANNOTATION]: null, [ADDRESSES]: null },
        finalizers: ['example.com/other'],
      },
      status: { conditions: [OTHER] },
    });
    expect(clearingPatch(patched(emptied, patch))).toBeUndefined();
  });

  it('with nothing of ours on it is not written', () => {
    const foreign = service({ loadBalancer: { ingress: [{ ip: '192.0.2.9' }] }, conditions: [OTHER] });
    expect(clearingPatch(foreign)).toBeUndefined();
    expect(bearsOurMark(foreign)).toBe(false);
  });
});

describe('the event on a Service', () => {
  const event = (before: ServiceObject, outcome: Outcome) => {
    const patch = statusPatch(before, outcome, NOW);
    return patch && eventFor(before, patch);
  };
  const served = patched(service(), statusPatch(service(), done, NOW));

  it('tells of an allocation, and of its failure with the reason', () => {
    expect(event(service(), done)).toEqual({
      type: 'Normal',
      reason: 'IPAllocated',
      action: 'Allocate',
      note: '192.0.2.1 and 2001:db8::1 from lan and six',
    });
    expect(event(service(), pending)).toEqual({
      type: 'Warning',
      reason: 'AllocationFailed',
      action: 'Allocate',
      note: 'PoolExhausted: no address is free',
    });
  });

  it('tells of a move', () => {
    expect(event(served, { ...done, addresses: [ip('192.0.2.9')], source: 'lan' })).toMatchObject({
      reason: 'IPAllocated',
      note: '192.0.2.9 from lan',
    });
  });

  it('tells nothing where only what was tampered with is set right', () => {
    expect(event({ ...served, status: { ...served.status, loadBalancer: {} } }, done)).toBeUndefined();
  });

  it('tells of a release, and nothing where there was nothing to release', () => {
    const release = clearingPatch(served);
    expect(release && eventFor(served, release)).toMatchObject({ type: 'Normal', reason: 'IPReleased' });
    const waiting = patched(service(), statusPatch(service(), pending, NOW));
    const clear = clearingPatch(waiting);
    expect(clear).toBeDefined();
    expect(clear && eventFor(waiting, clear)).toBeUndefined();
  });

  it('tells nothing of a release to whom is being deleted', () => {
    const metadata = { ...served.metadata, deletionTimestamp: '2026-01-02T05:00:00Z' };
    const release = clearingPatch({ ...served, metadata });
    expect(release && eventFor({ ...served, metadata }, release)).toBeUndefined();
  });
});

describe('a Service that a cloud serves', () => {
  const cloud: Outcome = { kind: 'done', addresses: [], hostnames: ['lb.example.net'], source: 'main' };

  it('shows a host name, without an address or its mode', () => {
    const patch = statusPatch(service(), cloud, NOW);
    expect(patch?.status?.loadBalancer?.ingress).toEqual([{ hostname: 'lb.example.net' }]);
    expect(patch?.status?.conditions?.[0]?.message).toBe('lb.example.net from main');
  });

  it('is written only where the name differs', () => {
    const shown = statusPatch(
      service({ loadBalancer: { ingress: [{ hostname: 'lb.example.net' }] } }),
      cloud,
      NOW,
    );
    expect(shown?.status?.loadBalancer).toBeUndefined();
    const other = statusPatch(
      service({ loadBalancer: { ingress: [{ hostname: 'old.example.net' }] } }),
      cloud,
      NOW,
    );
    expect(other?.status?.loadBalancer?.ingress).toEqual([{ hostname: 'lb.example.net' }]);
  });
});
