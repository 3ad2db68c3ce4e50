// A certificate for the lab's API server, made at each start; it is its own authority.
import selfsigned from 'selfsigned';

export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

/** subjectAltName types (RFC 5280 §4.2.1.6) */
const DNS_NAME = 2;
const IP_ADDRESS = 7;

/** An ECDSA certificate for these IP addresses and for localhost. */
export async function makeCertificate(addresses: readonly string[]): Promise<Certificate> {
  const altNames = [
    { type: DNS_NAME, value: 'localhost' } as const,
    ...addresses.map((ip) => ({ type: IP_ADDRESS, ip }) as const),
  ];
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
