// Secrets: `stringData` is there for writing only and ends up in `data`.
import type { Strategy } from './kinds.ts';

export const SECRET_STRATEGY: Strategy = {
  prepare({ stringData, ...secret }) {
    const { apiVersion, kind, metadata } = secret;
    const texts: Readonly<Record<string, string>> = stringData ?? {};
    const entries = Object.entries(texts).map(([key, text]) => [key, Buffer.from(text).toString('base64')]);
    const data = { ...secret.data, ...Object.fromEntries(entries) };
    return {
      type: 'Opaque',
      ...secret,
      ...(Object.keys(data).length > 0 ? { data } : {}),
      apiVersion,
      kind,
      metadata,
    };
  },
};
