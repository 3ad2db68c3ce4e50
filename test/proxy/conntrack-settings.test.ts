// The settings of connection tracking, written to files as under /proc.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createLogger } from '../../src/observe/logger.ts';
import { applyConntrackSettings, conntrackValues } from '../../src/proxy/conntrack-settings.ts';

const DEFAULTS = {
  maxPerCore: 32_768,
  min: 131_072,
  tcpEstablishedTimeout: 86_400,
  tcpCloseWaitTimeout: 3_600,
  udpTimeout: 0,
  udpStreamTimeout: 0,
  tcpBeLiberal: false,
};
const log = createLogger({ component: 'test', level: 'silent' });
let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'fairlead-conntrack-'))));
afterEach(() => rmSync(folder, { recursive: true }));
const file = (name: string) => join(folder, name);

it('are as many connections as the processors hold, or the least, and what else is not left as it is', () => {
  expect(Object.fromEntries(conntrackValues(DEFAULTS, 2))).toEqual({
    nf_conntrack_max: 131_072,
    nf_conntrack_tcp_timeout_established: 86_400,
    nf_conntrack_tcp_timeout_close_wait: 3_600,
  });
  expect(conntrackValues(DEFAULTS, 8).get('nf_conntrack_max')).toBe(262_144);
  expect(conntrackValues({ ...DEFAULTS, maxPerCore: 0 }, 8).has('nf_conntrack_max')).toBe(false);
  expect(conntrackValues({ ...DEFAULTS, tcpBeLiberal: true }, 8).get('nf_conntrack_tcp_be_liberal')).toBe(1);
});

it('are written where they differ; a higher limit stays, and what cannot be written holds back nothing', () => {
  writeFileSync(file('nf_conntrack_max'), '262144\n');
  writeFileSync(file('nf_conntrack_tcp_timeout_close_wait'), '60\n');
  applyConntrackSettings(conntrackValues(DEFAULTS, 2), log, folder);
  expect(readFileSync(file('nf_conntrack_max'), 'utf8')).toBe('262144\n');
  expect(readFileSync(file('nf_conntrack_tcp_timeout_close_wait'), 'utf8')).toBe('3600');
  writeFileSync(file('nf_conntrack_max'), '1000\n');
  applyConntrackSettings(conntrackValues(DEFAULTS, 2), log, folder);
  expect(readFileSync(file('nf_conntrack_max'), 'utf8')).toBe('131072');
});
