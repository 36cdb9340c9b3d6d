// The CometD project's own JavaScript client against the emulator's Streaming API.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { CometD } from 'cometd';
import { adapt } from 'cometd-nodejs-client';
import { control, start, stop, values } from './emulator.mjs';

adapt();
const CHANNEL = '/data/AccountChangeEvent';
let token;

/** A request of the REST API; the body of its answer. */
const rest = async (method, path, body) => {
  const headers = {
    Authorization: `Bearer ${token}`,
    'Content-Type': 'application/json',
    'Sforce-Call-Options': 'client=Interop',
  };
  const url = `${values.ONE_URL}/services/data/v62.0/${path}`;
  const answer = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  assert.ok(answer.ok, text);
  return text && JSON.parse(text);
};

const statistics = async () => (await fetch(`${values.ONE_URL}/emulator/stats`)).json();

const create = async (count, name) => {
  const records = Array.from({ length: count }, (_, n) => ({
    attributes: { type: 'Account' },
    Name: name(n),
  }));
  const results = await rest('POST', 'composite/sobjects', { allOrNone: false, records });
  return results.map(({ id }) => id);
};

/** A client that is connected; its events, and ways to wait for them. */
class Client {
  events = [];
  #waiting = [];
  /** The last replay id by channel, sent with each subscribe. */
  #replay = {};

  constructor(bearer = token) {
    this.cometd = new CometD();
    this.cometd.configure({
      url: `${values.ONE_URL}/cometd/62.0`,
      requestHeaders: { Authorization: `Bearer ${bearer}` },
      appendMessageTypeToURL: false,
    });
    this.cometd.registerExtension('replay', {
      outgoing: (message) => {
        if (message.channel === '/meta/handshake') message.ext = { ...message.ext, replay: true };
        if (message.channel === '/meta/subscribe') {
          const from = this.#replay[message.subscription] ?? -1;
          message.ext = { ...message.ext, replay: { [message.subscription]: from } };
        }
        return message;
      },
    });
  }

  /** The first answer: the client tries a WebSocket first, which has none, and falls back by itself. */
  handshake() {
    return new Promise((resolve) => {
      const listener = this.cometd.addListener('/meta/handshake', (reply) => {
        if (reply.failure && !reply.error) return;
        this.cometd.removeListener(listener);
        resolve(reply);
      });
      this.cometd.handshake();
    });
  }

  static async connected() {
    const client = new Client();
    const reply = await client.handshake();
    assert.equal(reply.successful, true, JSON.stringify(reply));
    return client;
  }

  subscribe(channel, replay) {
    if (replay !== undefined) this.#replay[channel] = replay;
    const take = (message) => {
      this.#replay[channel] = message.data.event.replayId;
      this.events.push(message);
      this.#waiting = this.#waiting.filter(({ count, resolve }) => this.events.length < count || resolve());
    };
    return new Promise((resolve) => this.cometd.subscribe(channel, take, resolve));
  }

  /** Waits until so many events are there. */
  async until(count) {
    if (this.events.length < count) await new Promise((resolve) => this.#waiting.push({ count, resolve }));
    assert.equal(this.events.length, count);
  }

  disconnect() {
    return new Promise((resolve) => this.cometd.disconnect(resolve));
  }
}

before(async () => {
  await start();
  const answer = await fetch(`${values.ONE_URL}/services/oauth2/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: values.ONE_KEY,
      client_secret: values.ONE_SECRET,
    }),
  });
  token = (await answer.json()).access_token;
  await control('switches', { check_cookies: true });
});
after(stop);

test('change events of REST writes come with every field of their header', async () => {
  const client = await Client.connected();
  assert.equal((await client.subscribe(CHANNEL)).successful, true);
  const { id } = await rest('POST', 'sobjects/Account', { Name: 'Acme', Phone: '1', BillingCity: 'Berlin' });
  await rest('PATCH', `sobjects/Account/${id}`, { Phone: null, BillingCity: 'Bern' });
  await rest('DELETE', `sobjects/Account/${id}`);
  await client.until(3);
  const [created, updated, deleted] = client.events.map(({ data }) => data.payload);
  const user = (await rest('GET', `sobjects/Account/${(await create(1, () => 'x'))[0]}`)).CreatedById;
  for (const [payload, changeType] of [[created, 'CREATE'], [updated, 'UPDATE'], [deleted, 'DELETE']]) {
    const { transactionKey, commitTimestamp, commitNumber, changedFields, ...header } = payload.ChangeEventHeader;
    assert.deepEqual(header, {
      entityName: 'Account',
      recordIds: [id],
      changeType,
      changeOrigin: 'com/salesforce/api/rest/62.0;client=Interop',
      sequenceNumber: 1,
      commitUser: user,
    });
    assert.match(transactionKey, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    assert.ok(Math.abs(commitTimestamp - Date.now()) < 600_000 && commitTimestamp % 1000 === 0);
    assert.ok(commitNumber > 2 ** 53);
    const wanted = changeType === 'UPDATE' ? ['Phone', 'LastModifiedDate', 'BillingAddress.City'] : [];
    assert.deepEqual([...changedFields].sort(), wanted.sort());
  }
  assert.deepEqual([created.Name, created.BillingAddress], ['Acme', { City: 'Berlin' }]);
  assert.deepEqual([updated.Phone, updated.BillingAddress, 'Name' in updated], [null, { City: 'Bern' }, false]);
  await client.disconnect();
});

test('replay starts after an id, at the earliest, and says when the id is none', async () => {
  const first = await Client.connected();
  await first.subscribe(CHANNEL);
  await create(5, (n) => `replay ${n}`);
  await first.until(5);
  await first.disconnect();
  const second = await Client.connected();
  await second.subscribe(CHANNEL, first.events[1].data.event.replayId);
  await second.until(3);
  assert.deepEqual(second.events, first.events.slice(2));
  const everything = await Client.connected();
  await everything.subscribe(CHANNEL, -2);
  const { events } = await statistics(); // only accounts were changed so far
  await everything.until(events);
  const refused = await everything.subscribe('/data/ContactChangeEvent', 1);
  assert.match(refused.error, /^400::The replayId \{1\} you provided was invalid/);
  await Promise.all([second, everything].map((client) => client.disconnect()));
});

test('after a lost session the client shakes hands again and goes on where it was', async () => {
  const client = await Client.connected();
  await client.subscribe(CHANNEL);
  await create(1, () => 'before');
  await client.until(1);
  const again = new Promise((resolve) =>
    client.cometd.addListener('/meta/handshake', async (reply) => {
      if (reply.successful) resolve(await client.subscribe(CHANNEL));
    }),
  );
  await control('faults', { drop_sessions: true });
  await create(2, (n) => `meanwhile ${n}`);
  assert.equal((await again).successful, true);
  await client.until(3);
  assert.deepEqual(client.events.map(({ data }) => data.payload.Name), ['before', 'meanwhile 0', 'meanwhile 1']);
  await client.disconnect();
});

test('a wrong token is refused with the reason beside the error', async () => {
  const client = new Client('nonsense');
  const reply = await client.handshake();
  assert.equal(reply.error, '403::Handshake denied');
  assert.equal(reply.ext.sfdc.failureReason, '401::Authentication invalid');
});

test('ten thousand events come once each and in order', async () => {
  const client = await Client.connected();
  await client.subscribe(CHANNEL);
  const names = [];
  for (let batch = 0; batch < 50; batch += 1) {
    const name = (n) => `event ${batch * 200 + n}`;
    await create(200, name);
    names.push(...Array.from({ length: 200 }, (_, n) => name(n)));
  }
  await client.until(10_000);
  assert.deepEqual(client.events.map(({ data }) => data.payload.Name), names);
  const ids = client.events.map(({ data }) => data.event.replayId);
  assert.ok(ids.every((id, n) => n === 0 || id > ids[n - 1]));
  await client.disconnect();
});
