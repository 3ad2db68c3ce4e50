import { ip } from '../../src/net/address.ts';
import { ScriptedProvider } from '../../src/providers/scripted-provider.ts';
import { describeProvider } from './provider.conformance.ts';

describeProvider('ScriptedProvider', () => {
  const provider = new ScriptedProvider();
  return {
    provider,
    withhold: () =>
      provider.say('shop/late', { kind: 'pending', reason: 'Scripted', message: 'not yet', addresses: [] }),
    yield: () =>
      provider.say('shop/late', { kind: 'done', addresses: [ip('198.51.100.9')], source: 'script' }),
  };
});
