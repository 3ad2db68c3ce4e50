import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readQueueAddress, withoutPassword } from '../../src/queue/queue-address.ts';

const host = { host: 'r', port: 6379 };
const one = { kind: 'redis', tls: false, db: 0, servers: { kind: 'one', ...host } };

describe('an address of a queue', () => {
  it.each([
    ['memory', { kind: 'memory' }],
    ['redis://r', one],
    ['redis://r:7000/3', { ...one, db: 3, servers: { kind: 'one', host: 'r', port: 7000 } }],
    ['redis://[2001:db8::1]:7000', { ...one, servers: { kind: 'one', host: '2001:db8::1', port: 7000 } }],
    ['redis://secret@r', { ...one, password: 'secret' }],
    ['redis://:secret@r', { ...one, password: 'secret' }],
    ['redis://me:s%40%2Fx@r', { ...one, username: 'me', password: 's@/x' }],
    ['rediss://r?ca=/etc/ca.pem', { ...one, tls: true, ca: '/etc/ca.pem' }],
    ['redis://r?password-file=/run/secret', { ...one, passwordFile: '/run/secret' }],
    [
      'redis+sentinel://a,b:7/main/2?sentinel-password-file=/s',
      {
        ...one,
        db: 2,
        sentinelPasswordFile: '/s',
        servers: {
          kind: 'sentinels',
          hosts: [
            { host: 'a', port: 26379 },
            { host: 'b', port: 7 },
          ],
          master: 'main',
        },
      },
    ],
    ['rediss+cluster://r', { ...one, tls: true, servers: { kind: 'cluster', hosts: [host] } }],
  ])('%s is read', (text, value) => {
    expect(readQueueAddress(text)).toEqual({ kind: 'valid', value });
  });

  it.each([
    ['', 'Write memory, or an address such as redis://redis.example:6379.'],
    ['Memory', 'Write memory, or an address such as redis://redis.example:6379.'],
    ['http://r', 'Write memory, or an address such as redis://redis.example:6379.'],
    ['redis://', '"" is no host[:port]; an IPv6 address goes in brackets.'],
    ['redis://r:0', '"r:0" is no host[:port]; an IPv6 address goes in brackets.'],
    ['redis://2001:db8::1', '"2001:db8::1" is no host[:port]; an IPv6 address goes in brackets.'],
    ['redis://a,b', 'Write one host, or redis+sentinel:// or redis+cluster:// for several.'],
    ['redis://r/x', '"/x" is no number of a database.'],
    ['redis://r/1/2', '"/1/2" is no number of a database.'],
    ['redis+sentinel://r', 'Name the master that the sentinels watch: redis+sentinel://HOST,HOST/MASTER.'],
    ['redis+cluster://r/1', 'Redis Cluster has the database 0 only.'],
    ['redis://r?tls=1', '"tls" is unknown; there are ca, password-file, sentinel-password-file.'],
    ['rediss://r?ca=', '"ca" names no file.'],
    ['redis://r?ca=/x', '"ca" is for TLS: write rediss:// or leave it out.'],
    ['redis://r?sentinel-password-file=/x', '"sentinel-password-file" is for redis+sentinel://.'],
    ['redis://p%@r', 'Write a % in the password as %25.'],
    ['redis://p@r?password-file=/x', 'Give the password in the address or by password-file, not both.'],
  ])('%j is refused with its mend', (text, mend) => {
    expect(readQueueAddress(text)).toEqual({ kind: 'invalid', mend });
  });

  it('is shown without its password', () => {
    expect(withoutPassword('redis://me:secret@r:1/2')).toBe('redis://…@r:1/2');
    expect(withoutPassword('redis://r')).toBe('redis://r');
  });

  it('may hold any password, written as in a URL', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), (password) => {
        const read = readQueueAddress(`redis://:${encodeURIComponent(password)}@r`);
        expect(read).toEqual({ kind: 'valid', value: { ...one, password } });
      }),
    );
  });
});
