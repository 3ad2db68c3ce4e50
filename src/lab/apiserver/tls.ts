// A certificate for the lab's API server, made at each start; it is its own authority.
import { isIP } from 'node:net';
import selfsigned from 'selfsigned';

export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

/** subjectAltName types (RFC 5280 §4.2.1.6) */
const DNS_NAME = 2;
const IP_ADDRESS = 7;
const LOOPBACK = ['localhost', '127.0.0.1', '::1'];

/** An ECDSA certificate for these addresses and host names, and for the loopback ones. */
export async function makeCertificate(names: readonly string[]): Promise<Certificate> {
  const altNames = [...new Set([...LOOPBACK, ...names])].map((name) =>
    isIP(name) > 0 ? ({ type: IP_ADDRESS, ip: name } as const) : ({ type: DNS_NAME, value: name } as const),
  );
  const pems = await selfsigned.generate([{ name: 'commonName', value: 'fairlead-lab' }], {
    keyType: 'ec',
    curve: 'P-256',
    algorithm: 'sha256',
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'subjectAltName', altNames },
    ],
  });
  return { key: pems.private, cert: pems.cert };
}
