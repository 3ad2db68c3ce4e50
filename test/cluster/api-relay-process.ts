// Runs in a network namespace: a port of its loopback leads to the API server of the test run, by way of a socket in
// the file system.
import { connect } from 'node:net';
import { answerCalls } from '../proxy/answer-calls.ts';
import { relayTo } from './relay.ts';

answerCalls({
  listen: (port: number, path: string) =>
    new Promise<void>((resolve) => relayTo(() => connect(path)).listen(port, '127.0.0.1', resolve)),
});
