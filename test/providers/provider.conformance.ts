// What every Provider must do, by the contract in src/providers/provider.ts.
import { describe, expect, it } from 'vitest';
import type { BeforeWrite, Provider } from '../../src/providers/provider.ts';
import { request } from '../ipam/builders.ts';

export interface ProviderUnderTest {
  /** Gives out addresses of 198.51.100.0/24 to the first who ask, and knows no Service yet. */
  readonly provider: Provider;
  /** From now on there is nothing for `shop/late`. */
  withhold(): void;
  /** From now on there is again. */
  yield(): void;
}

/** Nobody else is at work. */
const ALONE: BeforeWrite = () => {};

export function describeProvider(name: string, make: () => ProviderUnderTest): void {
  describe(`${name} as a provider`, () => {
    it('gives a Service addresses and a source, the same again when asked again, and to no other', async () => {
      const { provider } = make();
      const first = await provider.ensure(request('a'), ALONE);
      expect(first).toMatchObject({ kind: 'done', source: expect.stringMatching(/./) });
      expect(first.addresses).toHaveLength(1);
      const second = await provider.ensure(request('b'), ALONE);
      expect(second.addresses).not.toEqual(first.addresses);
      expect(await provider.ensure(request('a'), ALONE)).toEqual(first);
    });

    it('lets a Service keep what it has, and gives it nothing with that', async () => {
      const { provider } = make();
      const held = { held: ['198.51.100.7'], heldFrom: ['script'] };
      expect(await provider.keep(request('a', held))).toEqual({
        addresses: ['198.51.100.7'],
        source: 'script',
      });
      expect(await provider.keep(request('b'))).toEqual({ addresses: [] });
      const ensured = await provider.ensure(request('a', held), ALONE);
      expect(ensured).toEqual({ kind: 'done', addresses: ['198.51.100.7'], source: 'script' });
      expect(await provider.keep(request('a'))).toEqual({ addresses: ['198.51.100.7'], source: 'script' });
      expect(await provider.listOwned()).toEqual(['shop/a']);
    });

    it('lists who has something, and forgets who is removed', async () => {
      const { provider } = make();
      await provider.ensure(request('a'), ALONE);
      await provider.ensure(request('b'), ALONE);
      await provider.remove('shop/a', ALONE);
      await provider.remove('shop/unknown', ALONE);
      expect(await provider.listOwned()).toEqual(['shop/b']);
    });

    it('answers with a reason what it cannot give, and tells when it can', async () => {
      const { provider, withhold, yield: relent } = make();
      withhold();
      const told: string[] = [];
      const unsubscribe = provider.subscribe((key) => told.push(key));
      const answer = await provider.ensure(request('late'), ALONE);
      expect(answer).toMatchObject({
        kind: 'pending',
        reason: expect.stringMatching(/^[A-Z]\w+$/),
        addresses: [],
      });
      expect(await provider.listOwned()).toEqual([]);
      relent();
      expect(told).toContain('shop/late');
      expect(await provider.ensure(request('late'), ALONE)).toMatchObject({ kind: 'done' });
      unsubscribe();
      told.length = 0;
      withhold();
      relent();
      expect(told).toEqual([]);
    });
  });
}
