// Figures for `make bench`: compares this deck with plain reveal.js, which shows the
// same chapters with its own plugins for Markdown, colours and notes. Both run in
// turns in one browser; the output is JSON. Usage: node tests/figures.mjs BROWSER ROUNDS

import { execFile, spawn } from 'node:child_process';
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';

import { announced } from './announced.mjs';

const [executablePath, rounds] = process.argv.slice(2);
const slides = fileURLToPath(new URL('..', import.meta.url));
const run = promisify(execFile);
const args = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update',
  '--disable-sync',
];
const launch = () => chromium.launch({ executablePath, args });

/** A page as in reveal.js's own documentation. */
const chapters = (await readdir(slides)).filter((it) => /^\d\d-.*\.md$/.test(it));
const plain = `<!doctype html><html lang="en"><head><meta charset="utf-8">
<link rel="stylesheet" href="node_modules/reveal.js/dist/reveal.css">
<link rel="stylesheet" href="node_modules/reveal.js/dist/theme/white.css">
</head><body><div class="reveal"><div class="slides">
${chapters.sort().map((it) => `<section data-markdown="${it}"
  data-separator="^\\r?\\n---\\r?\\n$" data-separator-notes="^Note:"></section>`).join('\n')}
</div></div><script type="module">
import Reveal from './node_modules/reveal.js/dist/reveal.mjs';
import Markdown from './node_modules/reveal.js/dist/plugin/markdown.mjs';
import Highlight from './node_modules/reveal.js/dist/plugin/highlight.mjs';
import Notes from './node_modules/reveal.js/dist/plugin/notes.mjs';
window.deck = Reveal;
Reveal.initialize({ plugins: [Markdown, Highlight, Notes] });
</script></body></html>`;
const types = { '.html': 'text/html', '.css': 'text/css', '.mjs': 'text/javascript' };

async function servePlain() {
  const server = createServer(async (request, response) => {
    const path = new URL(request.url, 'http://x').pathname;
    const body = path === '/' ? plain
      : await readFile(join(slides, path)).catch(() => undefined);
    const type = types[extname(path) || '.html'] ?? 'text/plain';
    response.writeHead(body ? 200 : 404, { 'content-type': type });
    response.end(body);
  });
  await new Promise((done) => { server.listen(0, '127.0.0.1', done); });
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    stop: () => { server.close(); server.closeAllConnections(); },
  };
}

/** Serves the deck as `make slides` does. */
async function serveOurs() {
  const child = spawn('sh', [join(slides, 'run.sh'), 'serve'], {
    env: { ...process.env, PORT: '0' }, stdio: ['ignore', 'pipe', 'inherit'],
  });
  const url = await announced(child, 'run.sh');
  const ended = new Promise((done) => { child.on('exit', done); });
  return { url, stop: () => { child.kill('SIGTERM'); return ended; } };
}

/** The time from the start to the first slide, and the traffic until then. */
async function first(browser, serve) {
  const begun = performance.now();
  const server = await serve();
  const context = await browser.newContext({ viewport: { width: 1280, height: 720 } });
  const page = await context.newPage();
  let requests = 0;
  page.on('request', (it) => { requests += it.url().startsWith('http'); });
  await page.goto(server.url);
  while (!await page.evaluate('window.deck?.isReady()')) {
    await new Promise((done) => { setTimeout(done, 5); });
  }
  const seconds = (performance.now() - begun) / 1000;
  await page.waitForLoadState('networkidle');
  const bytes = await page.evaluate(() => ['navigation', 'resource']
    .flatMap((kind) => performance.getEntriesByType(kind))
    .reduce((sum, it) => sum + it.encodedBodySize, 0));
  const shown = await page.evaluate('deck.getTotalSlides()');
  if (shown < 30) throw new Error(`${server.url} shows ${shown} slides`);
  await context.close();
  await server.stop();
  return { seconds, requests, bytes };
}

async function paper(file, print) {
  const begun = performance.now();
  await print(file);
  const pdf_seconds = (performance.now() - begun) / 1000;
  return { pdf_seconds, pdf_bytes: (await stat(file)).size };
}

const oursOnPaper = (file) => run('sh', [join(slides, 'run.sh'), 'pdf', file]);

async function plainOnPaper(file) {
  const server = await servePlain();
  const browser = await launch();
  const page = await browser.newPage();
  await page.goto(`${server.url}?print-pdf`);
  while (!await page.evaluate('document.querySelectorAll(".pdf-page").length > 30')) {
    await new Promise((done) => { setTimeout(done, 5); });
  }
  await writeFile(file, await page.pdf({ preferCSSPageSize: true, printBackground: true }));
  await browser.close();
  server.stop();
}

const folder = await mkdtemp(join(tmpdir(), 'slides-figures-'));
const browser = await launch();
try {
  const seen = { ours: [], plain: [] };
  for (let round = 0; round <= Number(rounds); round += 1) {
    const ours = {
      ...await first(browser, serveOurs),
      ...await paper(join(folder, 'ours.pdf'), oursOnPaper),
    };
    const other = {
      ...await first(browser, servePlain),
      ...await paper(join(folder, 'plain.pdf'), plainOnPaper),
    };
    // The first round warms up.
    if (round > 0) {
      seen.ours.push(ours);
      seen.plain.push(other);
    }
  }
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
  await rm(folder, { recursive: true, force: true });
}
