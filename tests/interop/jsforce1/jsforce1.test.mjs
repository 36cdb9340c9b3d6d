// jsforce as it was years ago, with API version 42.0 and Faye for the Streaming API.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import jsforce from 'jsforce';
import { control, refusal, start, stop, values } from './emulator.mjs';

before(start);
after(stop);

const oauth2 = () => ({
  loginUrl: values.ONE_URL,
  clientId: values.ONE_KEY,
  clientSecret: values.ONE_SECRET,
  redirectUri: 'http://localhost:1717/OauthRedirect',
});

const loggedIn = async (options = { loginUrl: values.ONE_URL }, password = 'emulator1TOKEN') => {
  const connection = new jsforce.Connection(options);
  await connection.login('olga@one.example.com', password);
  return connection;
};

test('a password logs in by SOAP and by OAuth, and a wrong one does not', async () => {
  for (const options of [{ loginUrl: values.ONE_URL }, { loginUrl: values.EMULATOR_LOGIN_URL }, { oauth2: oauth2() }]) {
    const connection = await loggedIn(options);
    assert.equal(connection.instanceUrl, values.ONE_URL);
    assert.equal(connection.version, '42.0');
    assert.equal((await connection.identity()).username, 'olga@one.example.com');
  }
  const [, bySoap] = await refusal(() => loggedIn({ loginUrl: values.ONE_URL }, 'wrong'));
  assert.match(bySoap, /^INVALID_LOGIN: Invalid username/);
  const [code, message] = await refusal(() => loggedIn({ oauth2: oauth2() }, 'wrong'));
  assert.deepEqual([code, message], ['invalid_grant', 'authentication failure']);
});

test('the web server flow without PKCE ends in a session that renews itself', async () => {
  await control('oauth', { consent: 'approve' });
  const connection = new jsforce.Connection({ oauth2: oauth2() });
  const address = connection.oauth2.getAuthorizationUrl({ scope: 'api refresh_token id' });
  const page = await fetch(address, { redirect: 'manual' });
  const back = new URL(page.headers.get('location'));
  await connection.authorize(back.searchParams.get('code'));
  const before = connection.accessToken;
  await control('faults', { expire_tokens: true });
  assert.equal((await connection.query('SELECT COUNT() FROM Organization')).totalSize, 1);
  assert.notEqual(connection.accessToken, before);
  await connection.logout();
});

test('records live through create, retrieve, update, upsert and destroy, one and many', async () => {
  const connection = await loggedIn();
  const accounts = connection.sobject('Account');
  assert.ok((await accounts.describe()).fields.some((field) => field.name === 'Source_Id__c' && field.externalId));
  const made = await accounts.create([1, 2, 3].map((n) => ({ Name: `old ${n}` })), { allOrNone: true });
  const ids = made.map((result) => result.id);
  assert.deepEqual((await accounts.retrieve(ids)).map((record) => record.Name), ['old 1', 'old 2', 'old 3']);
  assert.ok((await accounts.update({ Id: ids[0], Phone: '1' })).success);
  const keyed = { Name: 'keyed', Source_Id__c: 'old key' };
  assert.ok((await accounts.upsert(keyed, 'Source_Id__c')).created);
  // Before version 46.0 an update is told without a body.
  assert.deepEqual(await accounts.upsert(keyed, 'Source_Id__c'), { success: true, errors: [] });
  const updated = await accounts.find({ Name: { $like: 'old %' } }).update({ Phone: '2' });
  assert.equal(updated.filter((result) => result.success).length, 3);
  assert.equal(await accounts.count({ Phone: '2' }), 3);
  assert.ok((await accounts.destroy(ids)).every((result) => result.success));
  assert.deepEqual(await refusal(() => accounts.destroy(ids[0])), ['ENTITY_IS_DELETED', 'entity is deleted']);
  const deleted = await connection.query("SELECT Id FROM Account WHERE IsDeleted = true", { scanAll: true });
  assert.equal(deleted.totalSize, 3);
});

test('all pages of a query come one after the other', async () => {
  const connection = await loggedIn();
  for (let n = 0; n < 11; n += 1) {
    const page = Array.from({ length: 200 }, (_, m) => ({ LastName: `page ${n} ${m}` }));
    assert.ok((await connection.sobject('Contact').create(page)).every((result) => result.success));
  }
  const names = new Set();
  const query = connection.query("SELECT LastName FROM Contact WHERE LastName LIKE 'page %'");
  await new Promise((resolve, reject) => {
    query.on('record', (record) => names.add(record.LastName)).on('end', resolve).on('error', reject);
    query.run({ autoFetch: true, maxFetch: 10_000 });
  });
  assert.equal(names.size, 2200);
});

test('changes come to a Faye client, and those from before if it asks', async () => {
  const connection = await loggedIn();
  const seen = [];
  let wake;
  const arrived = async (count) => {
    while (seen.length < count) await new Promise((resolve) => { wake = resolve; });
    return seen.slice(-count);
  };
  const listen = (replay) => {
    const faye = connection.streaming.createClient([
      new jsforce.StreamingExtension.Replay('/data/LeadChangeEvent', replay),
    ]);
    const subscription = faye.subscribe('/data/LeadChangeEvent', (message) => {
      seen.push(message.payload.ChangeEventHeader.recordIds[0]);
      wake?.();
    });
    // The Faye client would be taken for a promise, were it returned by itself.
    return subscription.then(() => ({ stop: () => faye.disconnect() }));
  };
  const leads = connection.sobject('Lead');
  const first = await listen(-1);
  const one = await leads.create({ LastName: 'one', Company: 'x' });
  assert.deepEqual(await arrived(1), [one.id]);
  await first.stop();
  const two = await leads.create({ LastName: 'two', Company: 'x' });
  seen.length = 0;
  const second = await listen(-2);
  assert.deepEqual(await arrived(2), [one.id, two.id]);
  await second.stop();
});
