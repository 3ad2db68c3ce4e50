// What is in the kernel for connections that began at another node: written, changed, taken over, taken out.
// That packets go on is shown by the lab (test/lab/whole-system.test.ts).
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock/clock.ts';
import { type Ip, ip } from '../../src/net/address.ts';
import { Handover, handoverRemovalText } from '../../src/proxy/handover.ts';
import { runNft } from '../../src/proxy/nft-command.ts';
import { openNetlinkSocket } from '../../src/sockets/open-netlink-socket.ts';

const FOUR = ip('203.0.113.7');
const SIX = ip('2001:db8:7::7');
const FOUR_NODE = ip('203.0.113.1');
const SIX_NODE = ip('2001:db8:7::1');
const OTHER = ip('203.0.113.2');

const started: Handover[] = [];

async function start(): Promise<Handover> {
  const handover = await Handover.start({ open: openNetlinkSocket, clock: systemClock });
  started.push(handover);
  return handover;
}

/** As a person reads it. */
async function inKernel(): Promise<Record<string, string>> {
  const text = await runNft(['list', 'ruleset']);
  return Object.fromEntries(
    [...text.matchAll(/(\S+) (?:timeout \S+ )?expires \S+ : ([^\s,]+)/g)].map(([, address, node]) => [
      address,
      node,
    ]),
  );
}

afterEach(async () => {
  await Promise.all(started.splice(0).map((each) => each.close()));
  await runNft(['-f', '-'], handoverRemovalText());
});

describe('the nodes that addresses came from', () => {
  it('are written, replaced and taken back, in both families, and forgotten by the kernel in the end', async () => {
    const handover = await start();
    const both = new Map<Ip, Ip | undefined>([
      [FOUR, FOUR_NODE],
      [SIX, SIX_NODE],
    ]);
    await handover.change(both);
    expect(await inKernel()).toEqual(Object.fromEntries(both));
    await Promise.all([
      handover.change(new Map([[FOUR, OTHER]])),
      handover.change(new Map([[SIX, undefined]])),
    ]);
    expect(await inKernel()).toEqual({ [FOUR]: OTHER });
    expect(handover.former).toEqual(new Map([[FOUR, OTHER]]));
    await handover.change(new Map([[SIX, undefined]])); // it is gone already
    await handover.change(new Map([[FOUR, undefined]]));
    expect(await inKernel()).toEqual({});
  });

  it('are known to a successor, and go with everything else of ours', async () => {
    const before = await start();
    await before.change(new Map([[FOUR, FOUR_NODE]]));
    await before.close();
    const after = await start();
    expect(after.former).toEqual(new Map([[FOUR, FOUR_NODE]]));
    await runNft(['-f', '-'], handoverRemovalText());
    expect(await runNft(['list', 'ruleset'])).not.toContain('fairlead-handover');
    await runNft(['-f', '-'], handoverRemovalText());
  });

  it('are not written where the kernel refuses one, which is said', async () => {
    const handover = await start();
    await runNft(['-f', '-'], handoverRemovalText());
    await expect(handover.change(new Map([[FOUR, FOUR_NODE]]))).rejects.toMatchObject({ code: 'ENOENT' });
    expect(handover.former.size).toBe(0);
  });
});
