// Our Streaming API client against faye, a Bayeux server of other people, over each of its transports.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { CHANNEL, Org } from './org.mjs';

/** Waits for a condition, for so long at most. */
const until = async (what, condition, seconds = 60) => {
  for (const end = Date.now() + seconds * 1_000; !(await condition()); await pause(50)) {
    assert.ok(Date.now() < end, `in vain: ${what}`);
  }
};

/** A port at which nobody listens. */
const closedPort = async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  return port;
};

/** A bridge whose target cannot be reached: it journals, and waits. */
class Bridge {
  static async started(org) {
    const bridge = new Bridge();
    bridge.folder = await mkdtemp(join(tmpdir(), 'faye-'));
    const config = join(bridge.folder, 'config.yaml');
    await writeFile(
      config,
      `
version: 1
state: state.db
orgs:
  source:
    login_url: ${org.url}
    transport: cometd
    client_credentials: { key: key, secret: secret }
  target:
    login_url: http://127.0.0.1:${await closedPort()}
    client_credentials: { key: key, secret: secret }
pipelines:
  - name: accounts
    from: { org: source, channel: ${CHANNEL}, object: Account, start: tip }
    to: { org: target, object: Account, key: Source_Id__c }
    fields: { Source_Id__c: Id, Name: Name }
`,
    );
    const options = { stdio: ['ignore', 'ignore', 'inherit'] };
    bridge.process = spawn(process.env.ORGBRIDGE, ['run', '--config', config], options);
    bridge.ended = once(bridge.process, 'exit');
    return bridge;
  }

  /** The replay ids of the journal, in its order. */
  async journal() {
    const program = `
import json, sqlite3, sys
state = sqlite3.connect("file:" + sys.argv[1] + "?mode=ro", uri=True)
rows = state.execute("SELECT CAST(replay_id AS TEXT) FROM journal ORDER BY seq")
print(json.dumps([row[0] for row in rows]))
`;
    const options = { maxBuffer: 16 * 1024 * 1024 };
    const { stdout } = await promisify(execFile)('python3', ['-c', program, join(this.folder, 'state.db')], options);
    return JSON.parse(stdout);
  }

  async terminate() {
    this.process.kill('SIGTERM');
    const [code] = await this.ended;
    return code;
  }

  async remove() {
    this.process.kill('SIGKILL');
    await this.ended;
    await rm(this.folder, { recursive: true });
  }
}

/** A thousand events, a dropped session, more, a cut line, more: each is journaled once, in order. */
const survives = async (options) => {
  const org = await Org.started(options);
  const bridge = await Bridge.started(org);
  try {
    const subscribed = (times) =>
      until(`subscription ${times}`, () => org.subscribed.length === times && org.listened);
    // Faye keeps no event for a session that is gone, so each must have arrived before the next fault.
    const arrived = () =>
      until('the journal', async () => (await bridge.journal()).length >= org.published.length);
    await subscribed(1);
    await org.publish(1_000);
    await arrived();
    await until('a poll', () => org.listened);
    org.drop();
    await subscribed(2);
    await org.publish(300);
    await arrived();
    await until('a poll', () => org.listened);
    org.cut();
    await subscribed(3);
    await org.publish(300);
    await arrived();
    assert.equal(await bridge.terminate(), 0);
    assert.equal(org.published.length, 1_600);
    assert.deepEqual(await bridge.journal(), org.published);
    assert.equal(new Set(org.subscribed).size, 3);
    return org;
  } finally {
    await bridge.remove();
    await org.stop();
  }
};

test('over long-polling, where no WebSocket is offered', { timeout: 240_000 }, async () => {
  const org = await survives({ websocket: false });
  assert.deepEqual([org.upgrades, org.refusals], [0, 0]);
  assert.match(org.refused.join(), /^401:\w+:Unknown client$/);
});

test('over a WebSocket, a new one for each session', { timeout: 240_000 }, async () => {
  const org = await survives({ websocket: true });
  assert.deepEqual([org.upgrades, org.refusals], [3, 0]);
});

test('over long-polling, where the WebSocket that is offered cannot be opened', { timeout: 240_000 }, async () => {
  const org = await survives({ websocket: 'refused' });
  assert.deepEqual([org.upgrades, org.refusals], [0, 1]);
});
