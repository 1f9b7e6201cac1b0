// Tests the deck in a real browser: on the wall, on a phone and on paper.
//
// Run by `npm test`. Without npm's files or a browser the tests are skipped with a
// message; they fail then only if REQUIRE has "browser".

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { announced } from './announced.mjs';
import { axe, chromium, missing, options, sayIfSkipped } from './chromium.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const run = promisify(execFile);
const schemes = ['light', 'dark'];
const wall = { width: 1280, height: 720 };
const phone = { width: 390, height: 844 };

sayIfSkipped('the deck in a browser');

describe('the deck', { skip: missing, timeout: 600_000 }, () => {
  let browser;
  let slides;
  let folder;
  // Servers to stop at the end, even if a test fails.
  const started = [];

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'slides-test-'));
    await cargo('build');
    slides = await serve();
    browser = await chromium.launch(options);
  });

  after(async () => {
    await browser?.close();
    for (const it of started) it.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** Opens a new page, and records its requests and its errors. */
  async function open(path, options = {}) {
    const { base = slides.url, ...rest } = options;
    const context = await browser.newContext({ viewport: wall, ...rest });
    const page = await context.newPage();
    const seen = { asked: [], wrong: [] };
    const note = (text) => seen.wrong.push(text);
    context.on('request', (it) => seen.asked.push(it.url()));
    context.on('requestfailed', (it) => {
      // A window that navigates aborts its running requests.
      const why = it.failure().errorText;
      if (why !== 'net::ERR_ABORTED') note(`${why}: ${it.url()}`);
    });
    context.on('response', (it) => {
      if (it.status() >= 400) note(`${it.status()}: ${it.url()}`);
    });
    page.on('pageerror', (error) => note(`thrown: ${error.message}`));
    page.on('console', (it) => it.type() === 'error' && note(it.text()));
    await page.goto(base + path);
    return { page, seen, close: () => context.close() };
  }

  async function deck(options) {
    const opened = await open('', options);
    await until(opened.page, 'window.deck?.isReady()');
    return opened;
  }

  /** Waits for a condition; waitForFunction needs eval, which the page's policy forbids. */
  async function until(page, what) {
    const deadline = Date.now() + 10_000;
    while (!await page.evaluate(what)) {
      assert.ok(Date.now() < deadline, `never: ${what}`);
      await new Promise((done) => { setTimeout(done, 10); });
    }
  }

  const count = (page) => page.evaluate('deck.getTotalSlides()');
  const now = (page) => page.evaluate('deck.getCurrentSlide().id');

  /** Shows a slide with all of its points; returns its id. */
  const show = (page, number) => page.evaluate((number) => {
    deck.slide(number, 0, 999);
    return deck.getCurrentSlide().id;
  }, number);

  for (const colorScheme of schemes) {
    test(`every slide fits the wall, ${colorScheme}`, async () => {
      const { page, seen, close } = await deck({ colorScheme });
      const slides = await count(page);
      assert.ok(slides > 30, `${slides} slides are a deck`);
      for (let number = 0; number < slides; number += 1) {
        const id = await show(page, number);
        assert.deepEqual(await page.evaluate(misfits), [], id);
      }
      assert.deepEqual(seen.wrong, []);
      await close();
    });

    test(`every slide is accessible, ${colorScheme}`, async () => {
      const { page, close } = await deck({ colorScheme });
      await page.evaluate(axe.source);
      const slides = await count(page);
      for (let number = 0; number < slides; number += 1) {
        const id = await show(page, number);
        // What surrounds the slides is the same for all of them.
        const part = number > 0 ? 'section.present' : undefined;
        assert.deepEqual(await violations(page, part), [], id);
      }
      await close();
    });

    test(`the page is for phones too, ${colorScheme}`, async () => {
      const options = { colorScheme, viewport: phone };
      const { page, seen, close } = await open('', options);
      await page.waitForSelector('button.copy');
      assert.equal(await page.evaluate('window.deck'), undefined);
      const wide = await page.evaluate('document.documentElement.scrollWidth');
      assert.equal(wide, phone.width, 'nothing is wider than the phone');
      const small = await page.evaluate(() => {
        const all = [...document.querySelectorAll('main *:not(svg, svg *)')];
        const size = (it) => parseFloat(getComputedStyle(it).fontSize);
        return all.filter((it) => size(it) < 12).map((it) => it.outerHTML);
      });
      assert.deepEqual(small, [], 'nothing is too small to read');
      const notes = page.locator('aside.notes');
      assert.ok(await notes.first().isVisible(), 'one reads what is said');
      await page.evaluate(axe.source);
      assert.deepEqual(await violations(page), []);
      assert.deepEqual(seen.wrong, []);
      await close();
    });
  }

  test('it is dark where the room is dark', async () => {
    const grounds = [];
    for (const colorScheme of schemes) {
      const { page, close } = await deck({ colorScheme });
      grounds.push(await page.evaluate(() => {
        const ground = getComputedStyle(document.querySelector('.reveal-viewport'));
        return ground.backgroundColor.match(/\d+/g).map(Number)[0];
      }));
      await close();
    }
    const [light, dark] = grounds;
    assert.ok(light > 200 && dark < 60, `light ${light}, dark ${dark}`);
  });

  test('it asks this host alone, and not for much', async (context) => {
    const { page, seen, close } = await deck();
    const ready = await page.evaluate('performance.now()');
    await page.waitForLoadState('networkidle');
    const others = seen.asked.filter(
      (it) => !it.startsWith(slides.url) && !it.startsWith('data:'));
    assert.deepEqual(others, []);
    assert.deepEqual(seen.wrong, []);
    const asked = seen.asked.filter((it) => it.startsWith('http')).length;
    const bytes = await page.evaluate(() => ['navigation', 'resource']
      .flatMap((kind) => performance.getEntriesByType(kind))
      .reduce((sum, it) => sum + it.encodedBodySize, 0));
    context.diagnostic(
      `ready in ${Math.round(ready)} ms, ${asked} requests, ${bytes} bytes`);
    assert.ok(asked <= 20, `${asked} requests`);
    // Ten chapters and a drawing have 450 kB.
    assert.ok(bytes <= 500_000, `${bytes} bytes`);
    await close();
  });

  test('keys move, show the overview and the help', async () => {
    const { page, close } = await deck();
    const first = await now(page);
    const expect = async (key, what) => {
      await page.keyboard.press(key);
      await until(page, what);
    };
    await expect('ArrowRight', 'deck.getIndices().h === 1');
    await expect('Space', 'deck.getIndices().h === 2');
    await expect('ArrowLeft', 'deck.getIndices().h === 1');
    await expect('End', 'deck.isLastSlide()');
    await expect('Home', 'deck.isFirstSlide()');
    assert.equal(await now(page), first);
    await expect('o', 'deck.isOverview()');
    await expect('o', '!deck.isOverview()');
    await expect('.', 'deck.isPaused()');
    await expect('.', '!deck.isPaused()');
    await page.keyboard.press('Shift+?');
    await page.getByText('Keyboard Shortcuts').waitFor();
    await close();
  });

  test('a link to a chapter leads there, on the wall too', async () => {
    const { page, close } = await deck();
    for (const chapter of ['01', '02']) {
      await page.evaluate('deck.slide(1)');
      await page.click(`section.present a[href="#chapter-${chapter}"]`);
      const id = `deck.getCurrentSlide().id.startsWith("${chapter}-")`;
      await until(page, id);
      assert.ok(await page.evaluate('deck.getCurrentSlide().className')
        .then((it) => it.includes('opens')));
      assert.deepEqual(await page.evaluate(misfits), []);
      // The keys work from there.
      await page.keyboard.press('Home');
      await until(page, 'deck.isFirstSlide()');
    }
    await close();
  });

  test('points appear one by one, the slide stays', async () => {
    const { page, close } = await deck();
    const number = await page.evaluate(() => {
      const all = deck.getSlides();
      const slide = all.findIndex((it) => it.querySelectorAll('.fragment').length > 1);
      deck.slide(slide);
      return slide;
    });
    const visible = () => page.locator('section.present .fragment.visible').count();
    const points = await page.locator('section.present .fragment').count();
    for (let shown = 0; shown <= points; shown += 1) {
      assert.equal(await visible(), shown);
      assert.equal(await page.evaluate('deck.getIndices().h'), number);
      await page.keyboard.press('ArrowRight');
    }
    assert.equal(await page.evaluate('deck.getIndices().h'), number + 1);
    await close();
  });

  test('every command can be copied, without its prompt', async () => {
    const { page, close } = await deck({
      permissions: ['clipboard-read', 'clipboard-write'],
    });
    const tasks = await page.evaluate(() => deck.getSlides().flatMap(
      (it, at) => (it.querySelector('figure.sh') ? [at] : [])));
    assert.ok(tasks.length > 3, 'there are commands');
    for (const task of tasks) {
      await show(page, task);
      await page.click('section.present button.copy');
      await page.locator('section.present').getByText('Copied').waitFor();
      const code = page.locator('section.present figure.sh code');
      const copied = await page.evaluate('navigator.clipboard.readText()');
      assert.equal(copied, await code.textContent());
      assert.ok(!copied.startsWith('$'), copied);
    }
    await close();
  });

  test('the speaker sees notes, a timer and the pace', async () => {
    const { page, seen, close } = await deck();
    await page.evaluate('deck.slide(1)');
    const [speaker] = await Promise.all([
      page.waitForEvent('popup'), page.keyboard.press('s'),
    ]);
    const said = speaker.locator('.speaker-controls-notes .value');
    const notes = (page) => page.evaluate(
      `deck.getCurrentSlide().querySelector('.notes').textContent.trim()`);
    const same = async () => {
      const text = await notes(page);
      await speaker.getByText(text.slice(0, 60)).first().waitFor();
      assert.ok((await said.textContent()).includes(text.slice(0, 60)));
    };
    await same();
    await page.keyboard.press('ArrowRight');
    await same();
    // Both small windows show the deck and not the page.
    const frames = () => speaker.frames().filter((it) => it.url().includes('receiver'));
    await until(speaker, 'document.querySelectorAll("iframe").length === 2');
    for (const frame of frames()) {
      await until(frame, 'window.deck?.isReady()');
    }
    assert.equal(frames().length, 2);
    assert.ok(await speaker.locator('.timer .hours-value').isVisible());
    const seconds = speaker.locator('.timer .seconds-value');
    const before = await seconds.textContent();
    const second = 'document.querySelector(".timer .seconds-value").textContent';
    await until(speaker, `${second} !== "${before}"`);
    assert.ok(await speaker.locator('.pacing').isVisible(), 'the pace is there');
    // The speaker's keys move the wall.
    await speaker.keyboard.press('ArrowRight');
    await until(page, 'deck.getIndices().h === 3');
    assert.deepEqual(seen.wrong, []);
    await close();
  });

  test('nobody needs JavaScript to read', async () => {
    const { page, seen, close } = await open('', { javaScriptEnabled: false });
    const titles = page.locator('main :is(h1, h2)');
    for (let at = 0; at < await titles.count(); at += 1) {
      assert.ok(await titles.nth(at).isVisible());
    }
    assert.ok(await page.locator('aside.notes').first().isVisible());
    assert.deepEqual(seen.wrong, []);
    await close();
  });

  test('without npm the same address shows the page', async () => {
    const bare = join(folder, 'bare');
    for (const part of ['slides', 'exercises', 'solutions']) {
      const filter = (it) => !/node_modules|target$/.test(it);
      await cp(join(root, part), join(bare, part), { recursive: true, filter });
    }
    const server = await serve('--root', bare);
    const { page, seen, close } = await open('', { base: server.url });
    await page.waitForSelector('button.copy');
    assert.equal(await page.evaluate('window.deck'), undefined);
    assert.ok(await page.locator('aside.notes').first().isVisible());
    assert.deepEqual(seen.wrong, []);
    await close();
  });

  test('a built folder is shown by any server, or from the disk', async () => {
    const built = join(folder, 'built');
    await program('build', built);
    const types = { '.html': 'text/html', '.css': 'text/css',
      '.js': 'text/javascript', '.mjs': 'text/javascript' };
    const server = createServer(async (request, response) => {
      const path = new URL(request.url, 'http://x').pathname;
      const file = join(built, path.replace(/^\/below\//, '').replace(/^$/, 'index.html'));
      const body = await readFile(file).catch(() => undefined);
      const type = types[extname(file)] ?? 'text/plain';
      response.writeHead(body ? 200 : 404, { 'content-type': type });
      response.end(body);
    });
    started.push({ stop: () => {
      server.close();
      server.closeAllConnections();
    } });
    await new Promise((done) => { server.listen(0, '127.0.0.1', done); });
    const base = `http://127.0.0.1:${server.address().port}/below/`;
    const { page, seen, close } = await deck({ base });
    const links = await page.evaluate(() => [
      ...new Set([...document.querySelectorAll('main a[href]')]
        .map((it) => it.href).filter((it) => it.startsWith(location.origin))
        .map((it) => it.split('#')[0])),
    ]);
    assert.ok(links.length > 3, 'there are links to the sources');
    for (const link of links) {
      assert.equal((await fetch(link)).status, 200, link);
    }
    assert.deepEqual(seen.wrong, []);
    await close();
    const disk = await open('', { base: `file://${built}/index.html` });
    assert.equal(await disk.page.evaluate('window.deck'), undefined);
    assert.ok(await disk.page.locator('aside.notes').first().isVisible());
    await disk.close();
  });

  test('paper has every slide once, tagged, with an outline', async (context) => {
    const file = join(folder, 'slides.pdf');
    const begun = performance.now();
    await program('pdf', file);
    const took = Math.round(performance.now() - begun);
    const pdf = (await readFile(file)).toString('latin1');
    const { page, close } = await deck();
    const titles = await page.evaluate(() => deck.getSlides().map(
      (it) => it.querySelector('h1, h2').textContent));
    await close();
    const pages = pdf.match(/\/Type\s*\/Page\b/g).length;
    context.diagnostic(`${pages} pages, ${(await stat(file)).size} bytes, ${took} ms`);
    assert.equal(pages, titles.length);
    for (const [what, mark] of [
      ['tagged', /\/Marked true/], ['a tree', /\/StructTreeRoot/],
    ]) {
      assert.ok(mark.test(pdf), what);
    }
    // The outline has every title; the first one is also the document's title.
    const outline = [...pdf.matchAll(/\/Title\s*\(((?:\\.|[^\\)])*)\)/g)]
      .map((it) => it[1].replace(/\\(.)/g, '$1'));
    for (const title of titles) {
      const times = outline.filter((it) => it === title).length;
      const expected = title === titles[0] ? 2 : 1;
      assert.equal(times, expected, `${title}: in ${JSON.stringify(outline)}`);
    }
  });

  /** Starts the program; returns its address. `after` stops the program. */
  async function serve(...args) {
    const child = spawn(slidesProgram(), ['serve', '--port', '0', ...args], {
      cwd: root, stdio: ['ignore', 'pipe', 'inherit'],
    });
    const url = await announced(child, 'slides serve');
    started.push({ stop: () => child.kill('SIGTERM') });
    return { url };
  }

  const program = (...args) => run(slidesProgram(), args, { cwd: root });
});

function slidesProgram() {
  return join(process.env.CARGO_TARGET_DIR ?? join(root, 'target'), 'debug/slides');
}

function cargo(...args) {
  return run('cargo', [...args, '--quiet', '--package', 'slides'], { cwd: root });
}

/** Runs in the browser: lists the parts of the present slide that do not fit the wall. */
function misfits() {
  const found = [];
  const slide = document.querySelector('section.present');
  const scale = deck.getScale();
  const origin = slide.getBoundingClientRect();
  const box = (it) => {
    const { left, top, right, bottom } = it.getBoundingClientRect();
    return {
      left: (left - origin.left) / scale,
      top: (top - origin.top) / scale,
      right: (right - origin.left) / scale,
      bottom: (bottom - origin.top) / scale,
    };
  };
  const name = (it) => `${it.tagName} ${it.textContent.trim().slice(0, 30)}`;
  const shown = [...slide.querySelectorAll(':not(aside.notes, aside.notes *, br)')]
    .filter((it) => it.getClientRects().length > 0);
  for (const it of shown) {
    const { left, top, right, bottom } = box(it);
    // The bottom 90 pixels stay free, because people's heads hide them.
    if (left < 0 || top < 0 || right > 1280 || bottom > 630) {
      found.push(`outside: ${name(it)} ${left},${top} ${right},${bottom}`);
    }
    if (it.scrollWidth > it.clientWidth + 1 && it.clientWidth > 0) {
      found.push(`cut off: ${name(it)}`);
    }
    const size = parseFloat(getComputedStyle(it).fontSize);
    const words = [...it.childNodes].some(
      (child) => child.nodeType === Node.TEXT_NODE && child.data.trim());
    if (words && size < 20) found.push(`too small: ${name(it)}, ${size}`);
  }
  const title = slide.querySelector('h1, h2');
  const high = parseFloat(getComputedStyle(title).lineHeight) * 1.2;
  const tall = box(title).bottom - box(title).top;
  if (tall > high) found.push(`a title of two lines: ${name(title)}`);
  const blocks = [
    ...slide.querySelectorAll(':scope > p, h1, h2, .body > *, li, figcaption, pre'),
  ].filter((it) => it.getClientRects().length > 0);
  for (const [at, one] of blocks.entries()) {
    for (const other of blocks.slice(at + 1)) {
      if (one.contains(other) || other.contains(one)) continue;
      const [a, b] = [box(one), box(other)];
      const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (across > 1 && down > 1) {
        found.push(`${name(one)} lies on ${name(other)}`);
      }
    }
  }
  for (const button of slide.querySelectorAll('button.copy')) {
    const code = button.parentElement.querySelectorAll('.line');
    const range = document.createRange();
    for (const line of code) {
      range.selectNodeContents(line);
      if (range.getBoundingClientRect().right > button.getBoundingClientRect().left) {
        found.push(`a button lies on ${name(line)}`);
      }
    }
  }
  return found;
}

/** The findings of axe, one per line: on the whole page, or on one part of it. */
async function violations(page, part) {
  const found = await page.evaluate((part) => axe.run(part ?? document), part);
  assert.ok(found.passes.length > 0, `axe has looked at ${part ?? 'the page'}`);
  return found.violations.flatMap((rule) => rule.nodes.map(
    (node) => `${rule.id}: ${node.html.slice(0, 120)} ${node.failureSummary}`));
}
