// A Bayeux server that knows nothing of us, faye, and as much of an org beside it as the bridge asks for.

import { once } from 'node:events';
import { createServer } from 'node:http';
import faye from 'faye';

export const CHANNEL = '/data/AccountChangeEvent';
const MOUNT = '/cometd/66.0';

/** Takes `websocket` out of what a handshake offers. */
const longPollingOnly = {
  outgoing: (message, callback) => {
    const types = message.supportedConnectionTypes;
    if (types) message.supportedConnectionTypes = types.filter((type) => type !== 'websocket');
    callback(message);
  },
};

export class Org {
  /** Sockets that became WebSockets, and wishes for one that were refused. */
  upgrades = 0;
  refusals = 0;
  /** Clients in the order in which they subscribed. */
  subscribed = [];
  /** Replay ids in the order in which their events were published. */
  published = [];
  /** Error texts of the replies. */
  refused = [];
  #open = new Set();
  #serial = 0;

  /** `websocket`: true, false (not offered) or 'refused' (offered, and the upgrade fails). */
  static async started({ websocket }) {
    const org = new Org();
    org.server = createServer((request, response) => org.#rest(request, response));
    org.bayeux = new faye.NodeAdapter({ mount: MOUNT, timeout: 10 });
    if (websocket === false) org.bayeux.addExtension(longPollingOnly);
    org.bayeux.addExtension({
      outgoing: (message, callback) => {
        if (message.error) org.refused.push(message.error);
        callback(message);
      },
    });
    org.bayeux.on('subscribe', (client, channel) => channel === CHANNEL && org.subscribed.push(client));
    org.bayeux.attach(org.server);
    org.#watch(websocket);
    org.server.listen(0, '127.0.0.1');
    await once(org.server, 'listening');
    org.url = `http://127.0.0.1:${org.server.address().port}`;
    return org;
  }

  /** Knows which sockets carry a poll or a WebSocket. */
  #watch(websocket) {
    this.server.on('request', ({ url, socket }, response) => {
      if (!url.startsWith(MOUNT)) return;
      this.#open.add(socket);
      response.on('close', () => this.#open.delete(socket));
    });
    if (websocket === 'refused') {
      this.server.removeAllListeners('upgrade');
      this.server.on('upgrade', (_, socket) => {
        this.refusals += 1;
        socket.end('HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n');
      });
      return;
    }
    this.server.on('upgrade', (_, socket) => {
      this.upgrades += 1;
      this.#open.add(socket);
      socket.on('close', () => this.#open.delete(socket));
    });
  }

  #rest({ method, url }, response) {
    const reply = (status, body) => {
      response.writeHead(status, { 'Content-Type': 'application/json' });
      response.end(JSON.stringify(body));
    };
    if (method === 'POST' && url === '/services/oauth2/token') {
      return reply(200, {
        access_token: '00D000000000001!token',
        signature: 'c2lnbmF0dXJl',
        instance_url: this.url,
        id: 'https://login.salesforce.com/id/00D000000000001EAA/005000000000001AAA',
        token_type: 'Bearer',
        issued_at: String(Date.now()),
      });
    }
    if (method === 'GET' && /^\/services\/data\/v66\.0\/limits/.test(url)) return reply(200, {});
    if (method === 'GET' && /^\/services\/data\/v66\.0\/query/.test(url)) {
      return reply(200, { totalSize: 0, done: true, records: [] });
    }
    return reply(404, [{ errorCode: 'NOT_FOUND', message: 'The requested resource does not exist' }]);
  }

  /** Faye keeps the engine to itself; there is no public way to drop a session. */
  get #engine() {
    return this.bayeux._server._engine;
  }

  get client() {
    return this.subscribed.at(-1);
  }

  /** A poll is held, or a WebSocket is open. */
  get listened() {
    return this.#engine.hasConnection(this.client) && this.#open.size === 1;
  }

  /** Publishes so many events, some at once and some one by one, so that answers hold many and few. */
  async publish(count) {
    for (let left = count; left > 0; ) {
      const batch = Math.min(left, 1 + (this.#serial % 50));
      await Promise.all(Array.from({ length: batch }, () => this.#publishOne()));
      left -= batch;
    }
  }

  #publishOne() {
    this.#serial += 1;
    const replayId = this.#serial;
    this.published.push(String(replayId));
    return this.bayeux.getClient().publish(CHANNEL, {
      event: { replayId },
      schema: 'IeRuaY6cbI_HsV8Rv1Mc5g',
      payload: {
        Name: `Acme ${replayId}`,
        ChangeEventHeader: {
          entityName: 'Account',
          recordIds: ['001000000000001AAA'],
          changeType: 'UPDATE',
          changedFields: ['Name', 'LastModifiedDate'],
          changeOrigin: '',
          transactionKey: `key-${replayId}`,
          sequenceNumber: 1,
          commitTimestamp: Date.now(),
          commitUser: '005000000000001AAA',
          commitNumber: 1_000 + replayId,
        },
      },
    });
  }

  /** The server forgets the session. */
  drop() {
    this.#engine.destroyClient(this.client);
  }

  /** The line is cut; the server still knows the session. */
  cut() {
    for (const socket of this.#open) socket.destroy();
  }

  async stop() {
    await this.bayeux.getClient().disconnect();
    this.bayeux.close();
    this.server.close();
    this.server.closeAllConnections();
    this.cut();
  }
}
