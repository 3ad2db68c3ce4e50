import { expect, it } from 'vitest';
import { unseenEvent } from '../../src/status/unseen-event.ts';

it('says on the Service what other nodes see of its address, and what to look at', () => {
  const of = (verdict: Parameters<typeof unseenEvent>[2]) => unseenEvent('192.0.2.1', 'a', verdict);
  expect(of('no witness')).toBeUndefined();
  expect(of('verified')).toMatchObject({ type: 'Normal', reason: 'AnnouncementSeen' });
  expect(of('not seen')).toMatchObject({
    type: 'Warning',
    reason: 'AnnouncementNotSeen',
    note: expect.stringMatching(
      /^192\.0\.2\.1 is announced by node a, and no other node gets an answer for it\. Look/,
    ),
  });
  expect(of('other host')).toMatchObject({ type: 'Warning', reason: 'AnotherHostAnswers' });
});
