import { expect, it } from 'vitest';
import { type Advertisement, readAdvertisement } from '../../src/api/advertisement.ts';
import {
  interfacesToTell,
  type ToldInterfaces,
  unknownInterfaces,
} from '../../src/api/advertisement-interfaces.ts';
import type { KubeObject } from '../../src/kube/objects.ts';

const isNode = (name: string) => ['node-1', 'node-2'].includes(name);

function advertisement(interfaces: readonly string[], rack?: string): Advertisement {
  const nodeSelectors = rack === undefined ? [] : [{ matchLabels: { rack } }];
  const object = { metadata: { name: 'lan' }, spec: { interfaces, nodeSelectors } } as KubeObject;
  const read = readAdvertisement(object);
  return read.kind === 'valid' ? read.value : expect.fail('the advertisement is not valid');
}

const HERE = { node: 'node-1', labels: { rack: '1' }, interfaces: new Set(['lo', 'eth0', 'eth1']) };

it.each<[string, Advertisement, ToldInterfaces, Record<string, string | null>]>([
  ['what it has and nobody told', advertisement(['eth0', 'ens3']), {}, { eth0: 'node-1' }],
  ['nothing where another node told', advertisement(['eth0']), { eth0: 'node-2' }, {}],
  ['nothing where it told itself', advertisement(['eth0']), { eth0: 'node-1' }, {}],
  ['what a node told that is gone', advertisement(['eth0']), { eth0: 'node-9' }, { eth0: 'node-1' }],
  ['that it has it no longer', advertisement(['ens3']), { ens3: 'node-1' }, { ens3: null }],
  ['that it is named no longer', advertisement([]), { eth0: 'node-1' }, { eth0: null }],
  ['nothing where it is not selected', advertisement(['eth0'], '2'), {}, {}],
  ['that it is selected no longer', advertisement(['eth0'], '2'), { eth0: 'node-1' }, { eth0: null }],
  ['what it has where it is selected', advertisement(['eth0'], '1'), {}, { eth0: 'node-1' }],
])('a node tells %s', (_, each, told, news) => {
  expect(interfacesToTell(each, told, HERE, isNode)).toEqual(news);
});

it('what no node of the cluster told of is unknown', () => {
  const told = { eth0: 'node-1', eth1: 'node-9' };
  expect(unknownInterfaces(advertisement(['eth0', 'eth1', 'eth2']), told, isNode)).toEqual(['eth1', 'eth2']);
});
