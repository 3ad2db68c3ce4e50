// What to tell the operator when the API server cannot be followed, and what mends it.
import { KubeError } from './kube-api.ts';

export interface Complaint {
  /** The same word is the same problem, which is not told twice. */
  readonly about: 'missing' | 'unknown' | 'denied' | 'untrusted' | 'credentials' | 'failing' | 'unreachable';
  readonly level: 'warn' | 'error';
  readonly message: string;
}

/** How OpenSSL and Node name what is wrong with a certificate: the server's, or ours in the server's eyes. */
const CERTIFICATE_CODE =
  /^(UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|CERT_|INVALID_CA|HOSTNAME_|ERR_TLS_CERT|ERR_SSL_)/;

/** A certificate that is for another time, or a clock that is wrong. */
const CERTIFICATE_TIME = /^CERT_(NOT_YET_VALID|HAS_EXPIRED)$/;

/** Undefined for what belongs to the protocol's everyday life: a version that is too old. */
export function complaintOf(error: unknown): Complaint | undefined {
  const { status, reason } = error instanceof KubeError ? error : { status: 0, reason: '' };
  switch (status) {
    case 410:
      return undefined;
    case 404:
      return {
        about: 'missing',
        level: 'warn',
        message: 'this kind is not installed in the cluster yet; apply deploy/crds (waiting for it)',
      };
    case 401:
      return {
        about: 'unknown',
        level: 'error',
        message: 'the API server does not accept our credentials; check the token or certificate in use',
      };
    case 403:
      return {
        about: 'denied',
        level: 'error',
        message: 'the API server denies access; grant list and watch on this kind (deploy/rbac)',
      };
  }
  if (reason === 'Credentials') {
    return {
      about: 'credentials',
      level: 'error',
      message: 'the credentials for the API server cannot be read; will try again',
    };
  }
  if (CERTIFICATE_TIME.test(reason)) {
    return {
      about: 'untrusted',
      level: 'error',
      message:
        "a certificate of the API server's is not valid at this time; check this machine's clock, and the certificate",
    };
  }
  if (CERTIFICATE_CODE.test(reason)) {
    return {
      about: 'untrusted',
      level: 'error',
      message:
        'no trusted connection to the API server; check certificate-authority, client-certificate and server in the kubeconfig',
    };
  }
  return status > 0
    ? { about: 'failing', level: 'warn', message: 'the API server answers with an error; will try again' }
    : { about: 'unreachable', level: 'warn', message: 'the API server does not answer; will try again' };
}
