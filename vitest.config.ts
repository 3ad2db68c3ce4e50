import { defineConfig } from 'vitest/config';
import { hasRedis, REDIS_TESTS } from './scripts/find-redis.ts';
import { findKubernetes } from './src/lab/kubernetes-binaries.ts';

/** What holds on both API servers. */
const CONFORMANCE = 'test/conformance/**/*.test.ts';
/** What is about the real one. */
const CLUSTER = 'test/cluster/**/*.test.ts';
/** The lab, once with each in its control plane. */
const WHOLE_SYSTEM = 'test/lab/whole-system.test.ts';

const shared = {
  pool: 'forks',
  testTimeout: 20_000,
  hookTimeout: 60_000,
  restoreMocks: true,
} as const;

const embedded = {
  test: {
    ...shared,
    name: 'embedded',
    // They mostly wait for each other's processes, timers and packets.
    maxWorkers: 2,
    include: ['test/**/*.test.ts'],
    exclude: [CLUSTER, ...(hasRedis() ? [] : REDIS_TESTS)],
  },
};

/** One process after the other shares one etcd and kube-apiserver (test/cluster/shared-kubernetes.ts). */
const real = {
  test: {
    ...shared,
    name: 'real',
    include: [CONFORMANCE, CLUSTER, WHOLE_SYSTEM],
    setupFiles: ['test/cluster/nothing-denied.ts'],
    env: { FAIRLEAD_TEST_API_SERVER: 'real' },
    isolate: false,
    fileParallelism: false,
    // Its controllers look every few seconds whether something is done.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    sequence: { groupOrder: 1 },
  },
};

export default defineConfig({
  test: { projects: findKubernetes().kind === 'found' ? [embedded, real] : [embedded] },
});
