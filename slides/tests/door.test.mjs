// Tests the TCP port of step 9 with pages in a real browser.
//
// Any page may send a POST to 127.0.0.1. The pages here try to remove a volume.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { chromium, missing, options, sayIfSkipped } from './chromium.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const run = promisify(execFile);

sayIfSkipped('pages that call a plugin');

describe('a page in a browser', { skip: missing, timeout: 300_000 }, () => {
  let browser;
  let folder;
  let plugin;
  let site;
  let address;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'door-test-'));
    await run('cargo', ['build', '--quiet', '--package', 'solution-09'], { cwd: root });
    const target = process.env.CARGO_TARGET_DIR ?? join(root, 'target');
    const spec = join(folder, 'plugin.spec');
    plugin = spawn(join(target, 'debug/solution-09'), [
      join(folder, 'plugin.sock'), join(folder, 'volumes'),
      '--tcp', '127.0.0.1:0', '--spec', spec,
    ], { cwd: folder, stdio: ['ignore', 'ignore', 'ignore'] });
    address = await patiently('the plugin writes its address', async () => {
      const text = await readFile(spec, 'utf8').catch(() => '');
      return /^tcp:\/\/(.+)\n$/.exec(text)?.[1];
    });
    site = createServer((_, response) => {
      response.setHeader('Content-Type', 'text/html');
      response.end('<!doctype html><title>A page</title><p>A page.');
    });
    await new Promise((done) => { site.listen(0, '127.0.0.1', done); });
    const { args } = options;
    browser = await chromium.launch({
      ...options,
      args: [...args, '--host-resolver-rules=MAP page.example 127.0.0.1'],
    });
  });

  after(async () => {
    await browser?.close();
    site?.close();
    plugin?.kill('SIGTERM');
    await rm(folder, { recursive: true, force: true });
  });

  async function patiently(what, look) {
    const deadline = Date.now() + 30_000;
    for (;;) {
      const found = await look();
      if (found) return found;
      assert.ok(Date.now() < deadline, `never: ${what}`);
      await new Promise((done) => { setTimeout(done, 20); });
    }
  }

  /** Sends a call as Docker does, and returns whether it succeeded. */
  function call(method, name, where = { socketPath: join(folder, 'plugin.sock') }) {
    return new Promise((done, failed) => {
      const sent = request({
        ...where, method: 'POST', path: `/VolumeDriver.${method}`,
      }, (answer) => {
        let text = '';
        answer.on('data', (part) => { text += part; });
        answer.on('end', () => done(answer.statusCode === 200 && !JSON.parse(text).Err));
      });
      sent.on('error', failed);
      sent.end(JSON.stringify({ Name: name }));
    });
  }

  const overTcp = () => {
    const [host, port] = address.split(':');
    return { host, port };
  };

  /** Opens a page of another site, which does `act` with the URL of a Remove. */
  async function visit(act, name) {
    assert.ok(await call('Create', name));
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(`http://127.0.0.1:${site.address().port}/`);
    const url = `http://${address}/VolumeDriver.Remove`;
    const answered = new Promise((done) => {
      page.on('response', (it) => it.url() === url && done(it.status()));
      page.on('requestfailed', (it) => it.url() === url && done('failed'));
    });
    await page.evaluate(act, [url, JSON.stringify({ Name: name })]);
    const status = await answered;
    await context.close();
    return status;
  }

  test('without a browser, the same call over TCP removes the volume', async () => {
    assert.ok(await call('Create', 'control'));
    assert.ok(await call('Remove', 'control', overTcp()));
    assert.ok(!await call('Get', 'control'));
  });

  const ways = {
    fetch: ([url, body]) => fetch(url, { method: 'POST', mode: 'no-cors', body }),
    sendBeacon: ([url, body]) => { navigator.sendBeacon(url, body); },
    form: ([url, body]) => {
      const form = document.createElement('form');
      Object.assign(form, { action: url, method: 'POST', enctype: 'text/plain' });
      const input = document.createElement('input');
      // A form of plain text sends NAME=VALUE.
      [input.name, input.value] = [body.slice(0, -1), '}'];
      form.append(input);
      document.body.append(form);
      form.submit();
    },
  };
  for (const [way, act] of Object.entries(ways)) {
    test(`cannot remove a volume by ${way}`, async () => {
      assert.equal(await visit(act, way), 403);
      assert.ok(await call('Get', way), 'the volume is still there');
    });
  }

  test('cannot give the plugin a name of its own', async () => {
    const page = await browser.newPage();
    const url = `http://page.example:${overTcp().port}/VolumeDriver.List`;
    const answer = await page.goto(url);
    assert.equal(answer.status(), 403);
    await page.close();
  });
});
