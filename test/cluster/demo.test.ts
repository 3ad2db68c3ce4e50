// The main job with a real etcd and kube-apiserver in the lab's control plane, as its users run it; the controller
// and the agents as the accounts that deploy/rbac gives them.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { Report } from '../../src/demo/report.ts';

const FAIRLEAD = join(import.meta.dirname, '../../bin/fairlead');

it('the demonstration shows every step with --apiserver real', async () => {
  // It enters namespaces of its own, as it does on a host.
  const { FAIRLEAD_INSIDE_NAMESPACE: _, ...env } = process.env;
  const { status, stdout, stderr } = await new Promise<{ status: unknown; stdout: string; stderr: string }>(
    (resolve) => {
      const child = execFile(
        FAIRLEAD,
        ['lab', 'demo', '--apiserver', 'real', '--json'],
        { env },
        (_, stdout, stderr) => resolve({ status: child.exitCode, stdout, stderr }),
      );
    },
  );
  const report: Report = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
  expect(report.failed, stderr).toBeUndefined();
  expect(status).toBe(0);
  expect(report.steps.map(({ name }) => name)).toEqual(
    expect.arrayContaining([
      'assigned',
      'arp',
      'http',
      'spread',
      'cluster-ip',
      'node-port',
      'moved',
      'resumed',
    ]),
  );
}, 120_000);
