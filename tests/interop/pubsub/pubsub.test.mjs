// salesforce-pubsub-api-client against the emulator: gRPC under TLS, login over plain http.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import PubSubApiClient from 'salesforce-pubsub-api-client';
import { control, start, stop, values } from './emulator.mjs';

const clients = [];
const inboxes = [];

before(start);
after(async () => {
  stop();
  // This client's close() leaves its calls open and deaf, so they have to end first.
  await Promise.all(inboxes.map((inbox) => Promise.race([inbox.told('end'), inbox.told('error')])));
  clients.forEach((client) => client.close());
});

const QUIET = { debug() {}, info() {}, warn() {}, error() {} };
const TOPIC = '/data/ContactChangeEvent';
const EVENT = '/event/Order_Shipped__e';

const connected = async () => {
  const client = new PubSubApiClient({
    authType: 'oauth-client-credentials',
    loginUrl: values.ONE_URL,
    clientId: values.ONE_KEY,
    clientSecret: values.ONE_SECRET,
    pubSubEndpoint: values.EMULATOR_PUBSUB,
    rejectUnauthorizedSsl: false, // its list of authorities is built in
  }, QUIET);
  await client.connect();
  clients.push(client);
  return client;
};

/** What a callback is told, to be waited for. */
const inbox = () => {
  const events = [];
  const others = [];
  const waiting = [];
  const callback = (subscription, type, data) => {
    if (type === 'event') events.push(data);
    else others.push({ type, data, replayId: subscription.lastReplayId });
    waiting.splice(0).forEach((wake) => wake());
  };
  const until = async (condition) => {
    while (!condition()) await new Promise((resolve) => { waiting.push(resolve); });
  };
  const told = async (type) => {
    await until(() => others.some((other) => other.type === type));
    return others.find((other) => other.type === type);
  };
  const made = { events, callback, told, count: (n) => until(() => events.length >= n) };
  inboxes.push(made);
  return made;
};

let token;
const rest = async (method, path, body, headers = {}) => {
  if (!token) {
    const form = new URLSearchParams({
      grant_type: 'client_credentials', client_id: values.ONE_KEY, client_secret: values.ONE_SECRET,
    });
    const answer = await fetch(`${values.ONE_URL}/services/oauth2/token`, { method: 'POST', body: form });
    token = (await answer.json()).access_token;
  }
  const answer = await fetch(`${values.ONE_URL}/services/data/v66.0/${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
    body: body && JSON.stringify(body),
  });
  const text = await answer.text();
  assert.ok(answer.ok, text);
  return text && JSON.parse(text);
};

/** Change events of contacts so far. */
let made = 0;

const contacts = async (from, to) => {
  for (let first = from; first < to; first += 200) {
    const names = Array.from({ length: Math.min(200, to - first) }, (_, n) => `Contact ${first + n}`);
    const records = names.map((name) => ({ attributes: { type: 'Contact' }, LastName: name }));
    const results = await rest('POST', 'composite/sobjects', { records });
    assert.ok(results.every((result) => result.success), JSON.stringify(results[0]));
    made += names.length;
  }
};

test('writes through REST arrive as change events with every field of the header', async () => {
  const client = await connected();
  const { events, callback, count } = inbox();
  client.subscribeFromEarliestEvent(TOPIC, callback, 4);
  const since = Date.now();
  const { id } = await rest('POST', 'sobjects/Contact', { LastName: 'Rossi', Title: 'Dr.' }, { 'sforce-call-options': 'client=Interop' });
  await rest('PATCH', `sobjects/Contact/${id}`, { Title: null, MailingStreet: 'Am Markt 1', MailingCity: 'Ulm' });
  await rest('DELETE', `sobjects/Contact/${id}`);
  made += 3;
  await count(3);
  // While it fetches its first schema, this client hands over later events as they come.
  events.sort((one, other) => one.replayId - other.replayId);
  const [created, updated, deleted] = events;
  const { organization_id, user_id } = await (await fetch(`${values.ONE_URL}/services/oauth2/userinfo`,
    { headers: { authorization: `Bearer ${token}` } })).json();
  assert.equal(organization_id.length, 18);
  const headers = events.map((event) => event.payload.ChangeEventHeader);
  for (const header of headers) {
    assert.equal(header.entityName, 'Contact');
    assert.deepEqual(header.recordIds, [id]);
    assert.equal(header.commitUser, user_id);
    assert.equal(header.sequenceNumber, 1);
    assert.match(header.transactionKey, /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);
    const at = Number(header.commitTimestamp);
    assert.ok(at >= since - 2000 && at <= Date.now() + 2000, `${at}`);
    assert.deepEqual(header.diffFields, []);
  }
  assert.deepEqual(headers.map((header) => header.changeType), ['CREATE', 'UPDATE', 'DELETE']);
  assert.equal(headers[0].changeOrigin, 'com/salesforce/api/rest/66.0;client=Interop');
  assert.equal(headers[1].changeOrigin, 'com/salesforce/api/rest/66.0');
  assert.equal(new Set(headers.map((header) => header.transactionKey)).size, 3);
  assert.ok(headers.every((header, n) => n === 0 || BigInt(header.commitNumber) > BigInt(headers[n - 1].commitNumber)));
  assert.deepEqual(headers[0].changedFields, []);
  assert.deepEqual(headers[1].changedFields.toSorted(),
    ['LastModifiedDate', 'MailingAddress.City', 'MailingAddress.Street', 'Title'].toSorted());
  assert.deepEqual(headers[1].nulledFields, ['Title']);
  assert.equal(created.payload.Name.LastName, 'Rossi');
  assert.equal(created.payload.Title, 'Dr.');
  assert.equal(updated.payload.Title, null);
  assert.equal(updated.payload.MailingAddress.City, 'Ulm');
  assert.equal(updated.payload.Name, null);
  assert.equal(deleted.payload.Name, null);
  assert.equal(new Set(events.map((event) => event.replayId)).size, 3);
});

test('a subscription goes on behind a replay id, and stops where its credit ends until more is asked for', async () => {
  await contacts(0, 30);
  const client = await connected();
  const all = inbox();
  client.subscribeFromEarliestEvent(TOPIC, all.callback, made);
  await all.count(made);
  const again = await connected();
  const tail = inbox();
  const wanted = all.events.slice(-20);
  again.subscribeFromReplayId(TOPIC, tail.callback, 10, all.events.at(-21).replayId);
  await tail.told('lastEvent');
  assert.deepEqual(tail.events.map((event) => event.replayId), wanted.slice(0, 10).map((event) => event.replayId));
  again.requestAdditionalEvents(TOPIC, 5);
  await tail.count(15);
  assert.equal(tail.events.length, 15, 'no more than was asked for');
  again.requestAdditionalEvents(TOPIC, 5);
  await tail.count(20);
  assert.deepEqual(tail.events.map((event) => event.id), wanted.map((event) => event.id));
});

test('keepalives are told, and a stream that asks for nothing ends', async () => {
  await control('switches', { pubsub_keepalive_ms: 50 });
  const client = await connected();
  const { callback, told } = inbox();
  client.subscribe('/data/CaseChangeEvent', callback, 3);
  const keepalive = await told('grpcKeepAlive');
  assert.ok(keepalive.replayId > 0);
  await control('switches', { pubsub_keepalive_ms: 270000, pubsub_idle_ms: 50 });
  const other = await connected();
  const idle = inbox();
  other.subscribeFromEarliestEvent(TOPIC, idle.callback, 1);
  await idle.told('end');
  assert.equal((await idle.told('grpcStatus')).data.code, 0);
  await control('switches', { pubsub_idle_ms: 60000 });
});

test('errors have their code in the trailers', async () => {
  const client = await connected();
  for (const [topic, replayId, code, suffix] of [
    ['/data/NopeChangeEvent', undefined, 5, 'topic.not.found'],
    [TOPIC, 7, 3, 'subscription.fetch.replayid.corrupted'],
  ]) {
    const { callback, told } = inbox();
    if (replayId) client.subscribeFromReplayId(topic, callback, 1, replayId);
    else client.subscribe(topic, callback, 1);
    const { data } = await told('error');
    assert.equal(data.code, code);
    assert.deepEqual(data.metadata.get('error-code'), [`sfdc.platform.eventbus.grpc.${suffix}`]);
    assert.match(data.details, /rpcId: [0-9a-f-]{36}$/);
  }
});

test('what is published comes back', async () => {
  const client = await connected();
  const { events, callback, count } = inbox();
  client.subscribeFromEarliestEvent(EVENT, callback, 100);
  const order = (number) => ({
    CreatedDate: Date.now(), CreatedById: '005000000000000AAA', Order_Number__c: { string: number },
    Shipped__c: { boolean: true }, Quantity__c: { double: 3 }, Shipped_On__c: null, Shipped_At__c: null, Note__c: null,
  });
  const result = await client.publish(EVENT, order('one'), 'mark');
  assert.equal(result.correlationKey, 'mark');
  await count(1);
  assert.equal(events[0].replayId, result.replayId);
  assert.equal(events[0].payload.Order_Number__c, 'one');
  const batch = inbox();
  const orders = Array.from({ length: 50 }, (_, n) => ({ id: `id-${n}`, payload: order(`${n}`) }));
  await client.publishBatch(EVENT, orders, batch.callback);
  const { results } = (await batch.told('publishResponse')).data;
  assert.deepEqual(results.map((result) => result.correlationKey), Array.from({ length: 50 }, (_, n) => `id-${n}`));
  await count(51);
  assert.deepEqual(events.slice(1).map((event) => event.payload.Order_Number__c), Array.from({ length: 50 }, (_, n) => `${n}`));
});

test('a managed subscription goes on where it was committed', async () => {
  const metadata = { label: 'Interop', topicName: TOPIC, defaultReplay: 'EARLIEST', errorRecoveryReplay: 'LATEST', state: 'RUN', version: '66.0' };
  const { id } = await rest('POST', 'tooling/sobjects/ManagedEventSubscription', { FullName: 'Interop', Metadata: metadata });
  const client = await connected();
  const first = inbox();
  await client.subscribeWithManagedSubscription('Interop', first.callback, 5);
  await first.told('lastEvent');
  client.commitReplayId(id, first.events[2].replayId);
  client.requestAdditionalManagedEvents(id, 1);
  await first.count(6); // so the commit before it is done
  await control('switches', { pubsub_idle_ms: 1 });
  await rest('GET', 'limits'); // whatever happens in the org makes streams look
  await first.told('end');
  await control('switches', { pubsub_idle_ms: 60000 });
  const second = inbox();
  await (await connected()).subscribeWithManagedSubscription(id, second.callback, 3);
  await second.count(3);
  assert.equal(second.events[0].replayId, first.events[3].replayId);
});

test('10,000 events arrive once each, in order', async () => {
  const client = await connected();
  const { events, callback, count } = inbox();
  const before = inbox();
  client.subscribeFromEarliestEvent(TOPIC, before.callback, made);
  await before.count(made);
  const reader = await connected();
  const begun = Date.now();
  reader.subscribeFromReplayId(TOPIC, callback, null, before.events.at(-1).replayId);
  await contacts(30, 10_030);
  await count(10_000);
  console.log(`10,000 events after ${Date.now() - begun} ms`);
  const names = events.map((event) => event.payload.Name.LastName);
  const wanted = Array.from({ length: 10_000 }, (_, n) => `Contact ${n + 30}`);
  // While it fetches the schema of the first events, this client hands over later ones as they come.
  assert.deepEqual(names.toSorted(), wanted.toSorted());
  assert.equal(new Set(events.map((event) => event.replayId)).size, 10_000);
});
