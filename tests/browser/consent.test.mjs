// The page on which a user lets an app in, in a real browser. PAGES: where pictures of it go.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';

const CALLBACK = 'http://localhost:1717/OauthRedirect';
const values = {};
let emulator, browser, client;
const received = [];

before(async () => {
  emulator = spawn(process.env.ORGBRIDGE, ['emulator', '--org', 'one'], { stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const line of createInterface({ input: emulator.stdout })) {
    const found = line.match(/^export (\w+)=(.*)$/);
    if (found) values[found[1]] = found[2];
    if (line.startsWith('# ready')) break;
  }
  client = createServer((request, response) => {
    const url = new URL(request.url, CALLBACK);
    if (url.pathname === '/OauthRedirect') received.push(Object.fromEntries(url.searchParams));
    response.end('You can close this window.');
  });
  await new Promise((listening) => client.listen(1717, 'localhost', listening));
  browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update'],
  });
});

after(async () => {
  await browser?.close();
  client?.close();
  emulator?.kill();
});

const authorize = (parameters = {}) => {
  const query = new URLSearchParams({
    response_type: 'code',
    client_id: values.ONE_KEY,
    redirect_uri: CALLBACK,
    scope: 'api refresh_token',
    state: 's<1>"&',
    ...parameters,
  });
  return `${values.ONE_URL}/services/oauth2/authorize?${query}`;
};

const open = async (url, name, size = { width: 900, height: 700 }) => {
  const page = await browser.newPage({ viewport: size });
  const problems = [];
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
  const answer = await page.goto(url);
  if (process.env.PAGES) await page.screenshot({ path: `${process.env.PAGES}/${name}.png` });
  return { page, problems, status: answer.status() };
};

test('a user who allows the app comes back with a code that is good for a token', async () => {
  const { page, problems } = await open(authorize(), 'consent');
  const text = await page.textContent('body');
  assert.match(text, /OrgBridge/);
  assert.deepEqual(problems, []);
  await page.getByRole('button', { name: 'Allow' }).click();
  await page.waitForURL(`${CALLBACK}*`);
  const { code, state } = received.pop();
  assert.equal(state, 's<1>"&');
  const answer = await fetch(`${values.ONE_URL}/services/oauth2/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'authorization_code',
      code,
      client_id: values.ONE_KEY,
      client_secret: values.ONE_SECRET,
      redirect_uri: CALLBACK,
    }),
  });
  assert.equal(answer.status, 200, await answer.clone().text());
  assert.ok((await answer.json()).refresh_token);
  await page.close();
});

test('a user who denies it comes back with an error', async () => {
  const { page } = await open(authorize(), 'consent-narrow', { width: 380, height: 700 });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
  assert.ok(!wide, 'nothing is cut off on a narrow screen');
  await page.getByRole('button', { name: 'Deny' }).click();
  await page.waitForURL(`${CALLBACK}*`);
  const { error, error_description: description } = received.pop();
  assert.deepEqual([error, description], ['access_denied', 'end-user denied authorization']);
  await page.close();
});

test('an app that is not known gets no redirect, and nothing of the request runs', async () => {
  const { page, status } = await open(authorize({ client_id: '<script>document.title="hacked"</script>' }), 'unknown-app');
  assert.equal(status, 400);
  assert.notEqual(await page.title(), 'hacked');
  assert.equal(received.length, 0);
  await page.close();
});
