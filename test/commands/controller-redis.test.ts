// The whole controller process with its queue on a real Redis.
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { startTestServer, type TestServer } from '../lab/apiserver/running-server.ts';
import { RedisServer } from '../queue/redis/redis-server.ts';
import { addressesOf, Cluster } from './cluster.ts';
import { ControllerProcess } from './controller-process.ts';

let test: TestServer;
let cluster: Cluster;
let redis: RedisServer;

beforeAll(async () => {
  redis = await RedisServer.start('--requirepass', 'a secret');
  test = await startTestServer({ crds: true });
  cluster = new Cluster(test.api);
});

afterAll(async () => {
  await cluster.close();
  await test.close();
  await redis.close();
});

describe('a controller with its queue on Redis', () => {
  it('serves, over a restart of itself and of an emptied Redis, and does not show the password', async () => {
    const queue = `redis://:a%20secret@127.0.0.1:${redis.port}`;
    const controller = new ControllerProcess(test.kubeconfig, ['--queue', queue]);
    onTestFinished(async () => void (await controller.stop('SIGKILL')));
    await cluster.createPool('lan', ['192.0.2.10-192.0.2.12']);
    await cluster.createService('web');
    expect(addressesOf(await cluster.service('web'))).toEqual(['192.0.2.10']);
    expect(JSON.parse(await controller.page('/queue'))).toMatchObject({ parked: 0 });
    expect(await controller.page('/metrics')).toMatch(/fairlead_queue_depth\{state="parked",account=""\} 0/);

    await redis.kill();
    await cluster.createService('later');
    await controller.logged('Redis fails; will try again');
    expect(await controller.page('/metrics')).toContain('fairlead_leader 1');
    await redis.start();
    expect(addressesOf(await cluster.service('later'))).toEqual(['192.0.2.11']);
    await controller.logged('Redis was emptied, restarted or replaced; everything is queued again');

    expect(await controller.stop()).toBe(0);
    expect(JSON.stringify(controller.lines)).not.toContain('a secret');
    const successor = new ControllerProcess(test.kubeconfig, ['--queue', queue]);
    onTestFinished(async () => void (await successor.stop('SIGKILL')));
    await cluster.createService('last');
    expect(addressesOf(await cluster.service('last'))).toEqual(['192.0.2.12']);
  }, 60_000);

  it('refuses to start with a wrong password', async () => {
    const queue = `redis://another@127.0.0.1:${redis.port}`;
    const controller = new ControllerProcess(test.kubeconfig, ['--queue', queue]);
    const { status, stderr } = await controller.ended();
    expect(stderr).toMatch(
      /^fairlead: --queue: the Redis cannot serve: it refuses us: (WRONGPASS|NOAUTH).*; give the right user/,
    );
    expect(status).toBe(2);
  });

  it('refuses a file that cannot be read, by its name', async () => {
    const queue = `redis://127.0.0.1:${redis.port}?password-file=/does/not/exist`;
    const controller = new ControllerProcess(test.kubeconfig, ['--queue', queue]);
    const { status, stderr } = await controller.ended();
    expect(stderr).toBe("fairlead: --queue: ENOENT: no such file or directory, open '/does/not/exist'\n");
    expect(status).toBe(2);
  });
});
