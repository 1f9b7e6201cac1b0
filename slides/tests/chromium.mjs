// Finds the browser that the tests drive, or says why there is none.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { test } from 'node:test';

/** The browser: what CHROMIUM names, or the first that this machine has. */
function findBrowser() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  const names = [
    'chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable',
  ];
  const folders = (process.env.PATH ?? '').split(delimiter);
  const files = names.flatMap((name) => folders.map((it) => join(it, name)));
  files.push('/Applications/Google Chrome.app/Contents/MacOS/Google Chrome');
  return files.find(existsSync);
}

async function load() {
  const browser = findBrowser();
  if (!browser) throw new Error('there is no chromium (CHROMIUM=FILE names one)');
  try {
    const { chromium } = await import('playwright-core');
    const { default: axe } = await import('axe-core');
    return { browser, chromium, axe };
  } catch (error) {
    throw new Error(`npm ci was not run in slides/ (${error.code})`);
  }
}

export let missing;
export const { browser: executablePath, chromium, axe } = await load().catch((error) => {
  missing = error.message;
  return {};
});

/** The options with which no test of ours reaches beyond this machine. */
export const options = {
  executablePath,
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update',
    '--disable-sync',
  ],
};

/** Says that tests of `what` are skipped, which is a failure if REQUIRE has "browser". */
export function sayIfSkipped(what) {
  if (!missing) return;
  const required = (process.env.REQUIRE ?? '').split(/\s+/).includes('browser');
  process.stderr.write(`skipped: ${what}, since ${missing}\n`);
  test(`a browser is there for ${what}`, { skip: !required && missing }, () => {
    assert.fail(`REQUIRE has "browser", and ${missing}`);
  });
}
