// A running emulator with one org, and what tests of any client want of it.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** What the emulator says at its start: addresses and keys. */
export const values = {};
let emulator;

export const start = async () => {
  const options = ['emulator', '--org', 'one', '--login-port', '0', '--bus-delay', '0s'];
  emulator = spawn(process.env.ORGBRIDGE, options, { stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const line of createInterface({ input: emulator.stdout })) {
    const found = line.match(/^export (\w+)=(.*)$/);
    if (found) values[found[1]] = found[2];
    if (line.startsWith('# ready')) return;
  }
  throw new Error('the emulator did not start');
};

export const stop = () => emulator.kill();

export const control = async (path, body) => {
  const answer = await fetch(`${values.ONE_URL}/emulator/${path}`, { method: 'POST', body: JSON.stringify(body) });
  assert.equal(answer.status, 200, await answer.clone().text());
};

/** The code and the message of a call that fails. */
export const refusal = async (call) => {
  try {
    await call();
  } catch (error) {
    return [error.errorCode ?? error.name, error.message];
  }
  throw new Error('it was not refused');
};
