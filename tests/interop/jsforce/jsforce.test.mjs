// jsforce against the emulator, over plain http.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import jsforce from 'jsforce';
import { control, refusal, start, stop, values } from './emulator.mjs';

before(start);
after(stop);

const loggedIn = async (options = {}) => {
  const connection = new jsforce.Connection({ loginUrl: values.ONE_URL, ...options });
  await connection.login('olga@one.example.com', 'emulator1TOKEN');
  return connection;
};

const oauth2 = (loginUrl = values.ONE_URL) => new jsforce.OAuth2({
  loginUrl,
  clientId: values.ONE_KEY,
  clientSecret: values.ONE_SECRET,
  redirectUri: 'http://localhost:1717/OauthRedirect',
  useVerifier: true,
});

test('a password logs in at the org and at the shared login host', async () => {
  for (const loginUrl of [values.ONE_URL, values.EMULATOR_LOGIN_URL]) {
    const connection = await loggedIn({ loginUrl });
    assert.equal(connection.instanceUrl, values.ONE_URL);
    assert.equal((await connection.query('SELECT COUNT() FROM Organization')).totalSize, 1);
  }
  const connection = new jsforce.Connection({ loginUrl: values.ONE_URL });
  const [, message] = await refusal(() => connection.login('olga@one.example.com', 'wrong'));
  assert.match(message, /INVALID_LOGIN: Invalid username, password, security token; or user locked out\./);
});

test('the web server flow ends in a session that renews itself', async () => {
  await control('oauth', { consent: 'approve' });
  const app = oauth2();
  const page = await fetch(app.getAuthorizationUrl({ scope: 'api refresh_token', state: 's1' }), { redirect: 'manual' });
  const back = new URL(page.headers.get('location'));
  assert.equal(back.searchParams.get('state'), 's1');
  const connection = new jsforce.Connection({ oauth2: app });
  await connection.authorize(back.searchParams.get('code'));
  assert.ok(connection.refreshToken);
  const identity = await connection.identity();
  assert.equal(identity.organization_id, connection.userInfo.organizationId);
  await control('faults', { expire_tokens: true });
  const before = connection.accessToken;
  assert.equal((await connection.query('SELECT COUNT() FROM Organization')).totalSize, 1);
  assert.notEqual(connection.accessToken, before);
  await connection.logout();
  const [code] = await refusal(() => connection.query('SELECT Id FROM Account'));
  assert.ok(code);
});

test('describes are complete', async () => {
  const connection = await loggedIn();
  const global = await connection.describeGlobal();
  assert.equal(global.maxBatchSize, 200);
  assert.ok(global.sobjects.find((object) => object.name === 'Invoice__c').custom);
  const invoice = await connection.sobject('Invoice__c').describe();
  const type = Object.fromEntries(invoice.fields.map((field) => [field.name, field.type]));
  assert.equal(type.Tags__c, 'multipicklist');
  assert.equal(type.Place__c, 'location');
  assert.equal(type.Secret__c, 'encryptedstring');
  const task = await connection.describe('Task');
  const what = task.fields.find((field) => field.name === 'WhatId');
  assert.ok(what.polymorphicForeignKey && what.referenceTo.length > 1);
});

test('records live through create, retrieve, update, upsert and destroy, one and many', async () => {
  const connection = await loggedIn();
  const accounts = connection.sobject('Account');
  const one = await accounts.create({ Name: 'one' });
  assert.ok(one.success);
  const many = await accounts.create(Array.from({ length: 10 }, (_, n) => ({ Name: `many ${n}` })));
  assert.ok(many.every((result) => result.success));
  const ids = many.map((result) => result.id);
  assert.deepEqual((await accounts.retrieve(ids)).map((record) => record.Id), ids);
  const updated = await accounts.update(ids.map((Id) => ({ Id, Phone: '1' })));
  assert.ok(updated.every((result) => result.success));
  assert.ok((await accounts.upsert({ Name: 'keyed', Source_Id__c: 'js 1' }, 'Source_Id__c')).created);
  assert.ok(!(await accounts.upsert({ Name: 'keyed', Source_Id__c: 'js 1' }, 'Source_Id__c')).created);
  assert.ok((await accounts.destroy(ids)).every((result) => result.success));
  const [code, message] = await refusal(() => accounts.destroy(ids[0]));
  assert.deepEqual([code, message], ['ENTITY_IS_DELETED', 'entity is deleted']);
});

test('all or none rolls everything back', async () => {
  const connection = await loggedIn();
  const results = await connection
    .sobject('Contact')
    .create([{ LastName: 'good' }, { FirstName: 'bad' }], { allOrNone: true });
  assert.deepEqual(
    results.map((result) => result.errors[0].statusCode),
    ['ALL_OR_NONE_OPERATION_ROLLED_BACK', 'REQUIRED_FIELD_MISSING'],
  );
});

test('queries with conditions, children and pages', async () => {
  const connection = await loggedIn();
  const account = await connection.sobject('Account').create({ Name: 'parent', NumberOfEmployees: 7 });
  const contacts = Array.from({ length: 250 }, (_, n) => ({ LastName: `child ${n}`, AccountId: account.id }));
  for (let start = 0; start < contacts.length; start += 200) {
    await connection.sobject('Contact').create(contacts.slice(start, start + 200));
  }
  const found = await connection
    .sobject('Account')
    .find({ Name: { $like: 'par%' }, NumberOfEmployees: { $gte: 7 } }, 'Id, Name, CreatedDate')
    .sort({ CreatedDate: -1 })
    .limit(5)
    .include('Contacts')
    .select('LastName')
    .limit(3)
    .end();
  assert.equal(found[0].Contacts.records.length, 3);
  const query = connection.query(
    `SELECT LastName, Account.Name FROM Contact WHERE AccountId = '${account.id}'`,
    { headers: { 'Sforce-Query-Options': 'batchSize=200' }, autoFetch: true, maxFetch: 1000 },
  );
  assert.equal((await query).records.length, 250);
  const [code, message] = await refusal(() => connection.query('SELECT Nope FROM Account'));
  assert.equal(code, 'INVALID_FIELD');
  assert.match(message, /No such column 'Nope' on entity 'Account'/);
});

test('composite requests refer to one another', async () => {
  const connection = await loggedIn();
  const base = `/services/data/v${connection.version}`;
  const { compositeResponse } = await connection.requestPost(`${base}/composite`, {
    allOrNone: true,
    compositeRequest: [
      { method: 'POST', url: `${base}/sobjects/Account`, referenceId: 'refA', body: { Name: 'composite' } },
      {
        method: 'POST',
        url: `${base}/sobjects/Contact`,
        referenceId: 'refC',
        body: { LastName: 'inner', AccountId: '@{refA.id}' },
      },
    ],
  });
  assert.deepEqual(compositeResponse.map((part) => part.httpStatusCode), [201, 201]);
});

test('Apex REST, actions, limits, Tooling, changes of a time', async () => {
  const connection = await loggedIn();
  await connection.apex.post('/accounts', { name: 'apex', phone: '1', industry: 'Media' });
  const list = await connection.apex.get('/accounts');
  assert.ok(list.some((account) => account.name === 'apex'));
  const base = `/services/data/v${connection.version}`;
  const action = await connection.requestPost(`${base}/actions/custom/flow/Ship_Order`, { inputs: [{ orderId: '801' }] });
  assert.deepEqual([action[0].isSuccess, action[0].outputValues.order], [true, '801']);
  assert.ok((await connection.limits()).DailyApiRequests.Max > 0);
  const members = await connection.tooling.query('SELECT SelectedEntity FROM PlatformEventChannelMember');
  assert.ok(members.records.some((member) => member.SelectedEntity === 'AccountChangeEvent'));
  const lead = await connection.sobject('Lead').create({ LastName: 'x', Company: 'y' });
  const end = new Date(Date.now() + 120_000);
  const start = new Date(end.getTime() - 3_600_000);
  assert.ok((await connection.sobject('Lead').updated(start, end)).ids.includes(lead.id));
  await connection.sobject('Lead').destroy(lead.id);
  const { deletedRecords } = await connection.sobject('Lead').deleted(start, end);
  assert.ok(deletedRecords.some((record) => record.id === lead.id));
});
