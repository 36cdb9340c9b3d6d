// Bulk API 2.0 by jsforce, over plain http.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import jsforce from 'jsforce';
import { control, refusal, start, stop, values } from './emulator.mjs';

before(start);
after(stop);

const loggedIn = async () => {
  const connection = new jsforce.Connection({ loginUrl: values.ONE_URL });
  await connection.login('olga@one.example.com', 'emulator1TOKEN');
  connection.bulk2.pollInterval = 50;
  return connection;
};

test('records go in, what failed is told, and they come out again', async () => {
  const { bulk2 } = await loggedIn();
  const input = Array.from({ length: 300 }, (_, n) => ({ Source_Id__c: `j${n}`, Name: `Bulk ${n}`, Phone: 'a "b"\nc' }));
  input.push({ Source_Id__c: 'none', Name: '', Phone: '' });
  const upsert = { object: 'Account', operation: 'upsert', externalIdFieldName: 'Source_Id__c', input };
  const results = await bulk2.loadAndWaitForResults(upsert);
  assert.equal(results.successfulResults.length, 300);
  assert.equal(results.successfulResults[0].sf__Created, 'true');
  assert.equal(results.successfulResults[0].Phone, 'a "b"\nc');
  assert.equal(results.failedResults.length, 1);
  assert.match(results.failedResults[0].sf__Error, /^REQUIRED_FIELD_MISSING:.*:Name --$/);
  assert.deepEqual(results.unprocessedRecords, []);

  const records = await (await bulk2.query("SELECT Name, Phone FROM Account WHERE Name LIKE 'Bulk%'")).toArray();
  assert.equal(new Set(records.map((record) => record.Name)).size, 300);
});

test('a job is made, filled, started and ended step by step', async () => {
  const { bulk2 } = await loggedIn();
  await control('bulk', { hold_at: 0 });
  const job = bulk2.createJob({ object: 'Account', operation: 'insert', lineEnding: 'LF' });
  await job.open();
  await job.uploadData('Name\nStep\n');
  await job.close();
  assert.equal((await job.check()).state, 'UploadComplete');
  await job.abort();
  await control('bulk', { hold_at: null });
  assert.equal((await job.check()).state, 'Aborted');
  assert.deepEqual(await job.getUnprocessedRecords(), [{ Name: 'Step' }]);
  await job.delete();
  const [code] = await refusal(() => job.check());
  assert.equal(code, 'NOT_FOUND');
});

test('a job whose columns are unknown fails with the reason', async () => {
  const { bulk2 } = await loggedIn();
  const insert = { object: 'Account', operation: 'insert', input: [{ Name: 'A', Foo__c: '1' }] };
  const [, message] = await refusal(() => bulk2.loadAndWaitForResults(insert));
  assert.match(message, /Field name not found : Foo__c/);
});

test('what a bulk query cannot have is refused', async () => {
  const { bulk2 } = await loggedIn();
  const [, message] = await refusal(() => bulk2.query('SELECT BillingAddress FROM Account'));
  assert.equal(message, 'Selecting compound data not supported in Bulk Query');
});
