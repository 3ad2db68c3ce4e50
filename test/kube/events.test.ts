import { describe, expect, it } from 'vitest';
import { VirtualClock } from '../../src/clock/virtual-clock.ts';
import { EventRecorder } from '../../src/kube/events.ts';
import type { KubeApi } from '../../src/kube/kube-api.ts';
import type { KubeObject } from '../../src/kube/objects.ts';
import { EVENTS } from '../../src/kube/resources.ts';
import { startTestServer } from '../lab/apiserver/running-server.ts';
import { type LogLine, logTo } from './following.ts';

const allocated = { type: 'Normal', reason: 'Allocated', action: 'Allocate', note: 'got 192.0.2.1' } as const;

function service(name: string, uid: string | undefined = name) {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'default', ...(uid ? { uid } : {}) },
  };
}

interface Written extends KubeObject {
  readonly note: string;
  readonly reason: string;
}

/** A recorder whose API answers each event as `answer` says. */
function recorder(answer: (event: Written) => Promise<unknown> = async () => {}) {
  const written: Written[] = [];
  const logs: LogLine[] = [];
  const create = (_: unknown, event: Written) => {
    written.push(event);
    return answer(event);
  };
  const api = { create } as unknown as KubeApi; // a recorder calls no other verb
  return {
    events: new EventRecorder({ api, clock: new VirtualClock(), log: logTo(logs), instance: 'host' }),
    written,
    logs,
  };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('an event', () => {
  it('has a name of its own, also where two processes tell of one object in the same millisecond', () => {
    const [one, other] = [recorder(), recorder()];
    for (const { events } of [one, other]) events.record(service('web'), allocated);
    expect(one.written[0]?.metadata.name).not.toBe(other.written[0]?.metadata.name);
  });

  it('is accepted by the API server, on namespaced and on cluster-scoped objects', async () => {
    const { api, close } = await startTestServer();
    const logs: LogLine[] = [];
    const events = new EventRecorder({ api, clock: new VirtualClock(), log: logTo(logs), instance: 'host' });
    const pool = {
      apiVersion: 'fairlead.dev/v1alpha1',
      kind: 'IPAddressPool',
      metadata: { name: 'p'.repeat(253), uid: 'p' },
    };
    const { resourceVersion } = await api.list(EVENTS, {});
    events.record(service('web'), { ...allocated, note: 'ä'.repeat(5_000) });
    events.record(pool, { ...allocated, type: 'Warning', reason: 'Invalid' });
    const { signal } = new AbortController();
    const seen = new Map<string, unknown>();
    for await (const event of api.watch(EVENTS, { resourceVersion, timeoutSeconds: 30, signal })) {
      if (event.kind !== 'added') continue;
      const { reason, regarding, eventTime } = event.object as unknown as Record<string, unknown>; // an Event
      seen.set(String(reason), { regarding, eventTime, namespace: event.object.metadata.namespace });
      if (seen.size === 2) break;
    }
    expect(seen.get('Allocated')).toEqual({
      namespace: 'default',
      eventTime: '2026-01-01T00:00:00.000000Z',
      regarding: { apiVersion: 'v1', kind: 'Service', name: 'web', namespace: 'default', uid: 'web' },
    });
    expect(seen.get('Invalid')).toMatchObject({
      namespace: 'default',
      regarding: { kind: 'IPAddressPool', uid: 'p' },
    });
    expect(logs).toEqual([]);
    await close();
  });

  it('is written once a change of state, however often it is recorded', () => {
    const { events, written } = recorder();
    const failed = { ...allocated, type: 'Warning', reason: 'PoolFull' } as const;
    for (const text of [allocated, allocated, failed, failed, allocated]) events.record(service('web'), text);
    events.record(service('other'), allocated);
    expect(written.map(({ reason }) => reason)).toEqual(['Allocated', 'PoolFull', 'Allocated', 'Allocated']);
    expect(new Set(written.map(({ metadata }) => metadata.name)).size).toBe(4);
  });

  it('is told apart from that of another object without a UID', () => {
    const { events, written } = recorder();
    events.record(service('a', undefined), allocated);
    events.record(service('b', undefined), allocated);
    expect(written.length).toBe(2);
  });

  it('fits the limits of its kind: 253 characters of name, 1024 bytes of note', () => {
    const { events, written } = recorder();
    events.record(service('a'.repeat(253)), { ...allocated, note: 'ä€😀'.repeat(500) });
    events.record(service('short'), { ...allocated, note: 'a'.repeat(1024) });
    const [long, short] = written;
    expect(long?.metadata.name.length).toBeLessThanOrEqual(253);
    expect(Buffer.byteLength(long?.note ?? '')).toBeLessThanOrEqual(1024);
    expect(long?.note).toMatch(/^(ä€😀)+(ä€?)? …$/u);
    expect(short?.note).toBe('a'.repeat(1024));
  });

  it('that the API server refuses is logged, and nothing else happens', async () => {
    const { events, logs } = recorder(() => Promise.reject(new Error('events are forbidden')));
    events.record(service('web'), allocated);
    await turn();
    expect(logs).toEqual([
      expect.objectContaining({ level: 40, error: 'events are forbidden', namespace: 'default' }),
    ]);
  });

  it('waits its turn, so that a burst leaves connections for what matters more', async () => {
    let [running, most] = [0, 0];
    const { events, written } = recorder(async () => {
      most = Math.max(most, ++running);
      await turn();
      running--;
    });
    for (let i = 0; i < 100; i++) events.record(service(`web-${i}`), allocated);
    while (written.length < 100) await turn();
    expect(most).toBeLessThanOrEqual(4);
  });

  it('is dropped, oldest first, when the server takes none for long', async () => {
    const release = Promise.withResolvers<void>();
    const { events, written } = recorder(() => release.promise);
    for (let i = 0; i < 20_010; i++) events.record(service(`web-${i}`), allocated);
    release.resolve();
    while (!written.some(({ metadata }) => metadata.name.startsWith('web-20009.'))) await turn();
    expect(written.length).toBe(20_004);
    expect(written.some(({ metadata }) => metadata.name.startsWith('web-4.'))).toBe(false);
  });
});
