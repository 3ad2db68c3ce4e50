// A cloud for tests of who works on it: answers with a name, and wants to be asked again.
import type { ServiceRequest } from '../../src/api/service.ts';
import type { BeforeWrite, Outcome } from '../../src/providers/provider.ts';
import { ScriptedProvider } from '../../src/providers/scripted-provider.ts';

export const CLOUD_CLASS = 'example.com/cloud';
/** Milliseconds. */
export const DRIFT_CHECK = 45_000;

export class ScriptedCloud extends ScriptedProvider {
  override async ensure(request: ServiceRequest, beforeWrite: BeforeWrite): Promise<Outcome> {
    await super.ensure(request, beforeWrite);
    const { key, labels } = request;
    const hostnames = [`${labels.version ?? key.replace('/', '-')}.example`];
    return { kind: 'done', addresses: [], hostnames, source: 'main', again: DRIFT_CHECK };
  }
}
