// A million keys below one prefix: the list reaches any of them, in few elements and without a long task.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Server, launch, openPage } from "./harness.mjs";

const COUNT = 1_000_000;
const BATCH = 500;
const UNDER_WAY = 16;
/** What a frame may cost the page's thread for 60 a second. It is processor time: others on the machine do not count. */
const FRAME_MS = 16;
const STEPS = 120;
const ELEMENTS_MAX = 1500;

const key = (index) => `many/${String(index).padStart(7, "0")}`;
let browser, server, client;

before(async () => {
  browser = await launch();
  server = new Server("--durability", "none");
  await server.start();
  client = server.client();
  let next = 0;
  const fill = async () => {
    while (next < COUNT) {
      const from = next;
      next += BATCH;
      const puts = Array.from({ length: BATCH }, (_, at) => ({ op: "put", key: key(from + at), value: `value ${from + at}` }));
      await client.txn().then(...puts).commit({ timeoutMs: 60_000 });
    }
  };
  await Promise.all(Array.from({ length: UNDER_WAY }, fill));
}, { timeout: 300_000 });
after(async () => {
  await client.close();
  await browser.close();
  await server.remove();
});

/** What a page does from now on: its long tasks and the time between its frames. */
const observe = (page) =>
  page.evaluate(() => {
    globalThis.seen = { long: [], frames: [] };
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) seen.long.push(duration);
    }).observe({ type: "longtask" });
    let last = performance.now();
    const frame = (now) => {
      seen.frames.push(now - last);
      last = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });

/** Milliseconds of processor time that the page's tasks have taken. */
async function taskTime(page) {
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable", { timeDomain: "threadTicks" });
  return async () => {
    const { metrics } = await session.send("Performance.getMetrics");
    return metrics.find(({ name }) => name === "TaskDuration").value * 1000;
  };
}

test("a million keys scroll smoothly, in the list and in the tree", { timeout: 120_000 }, async () => {
  const { page, complaints } = await openPage(browser, `${server.url}#/p/many/`);
  await page.getByText("1,000,000 keys").waitFor();
  await page.locator(`[data-key="${key(0)}"]`).waitFor();
  const list = page.locator("#rows .grid-body");
  const shown = async () => {
    const keys = await list.locator("[data-key]").evaluateAll((rows) => {
      const { top, bottom } = document.querySelector("#rows .grid-body").getBoundingClientRect();
      const seen = rows.filter((row) => row.getBoundingClientRect().top >= top - 1 && row.getBoundingClientRect().bottom <= bottom + 1);
      return seen.map((row) => row.dataset.key).sort();
    });
    return keys.map((shown) => Number(shown.slice(5)));
  };
  const follows = (numbers) => numbers.every((number, at) => at === 0 || number === numbers[at - 1] + 1);
  await observe(page);

  // Row by row, as by a wheel.
  const time = await taskTime(page);
  const framesNow = () => page.evaluate(() => globalThis.seen.frames.length);
  const [before, framesBefore] = [await time(), await framesNow()];
  for (let step = 0; step < STEPS; step++) {
    await list.evaluate((element) => (element.scrollTop += 300));
    await page.evaluate(() => new Promise(requestAnimationFrame));
  }
  await page.locator(`[data-key="${key(Math.floor((STEPS * 300) / 26))}"]`).waitFor();
  const perFrame = ((await time()) - before) / ((await framesNow()) - framesBefore);
  assert.ok(follows(await shown()));

  // Far away at once, as by dragging the bar, and to both ends.
  for (const part of [0.5, 0.123, 0.9, 0.501]) {
    await list.evaluate((element, part) => (element.scrollTop = part * (element.scrollHeight - element.clientHeight)), part);
    await list.locator(".unknown").first().waitFor({ state: "attached", timeout: 1000 }).catch(() => {});
    await page.locator("#rows .grid-body:not(:has(.unknown))").waitFor();
    const numbers = await shown();
    assert.ok(follows(numbers) && numbers.length > 5, `${numbers}`);
    assert.ok(Math.abs(numbers[0] / COUNT - part) < 0.001, `${numbers[0]} at ${part}`);
  }
  await list.evaluate((element) => (element.scrollTop = element.scrollHeight));
  await page.locator(`[data-key="${key(COUNT - 1)}"]`).waitFor();
  await list.evaluate((element) => (element.scrollTop = 0));
  await page.locator(`[data-key="${key(0)}"]`).waitFor();

  // The keyboard reaches the end, too.
  await page.keyboard.press("l");
  await page.keyboard.press("End");
  await page.locator(`[data-key="${key(COUNT - 1)}"]`).waitFor();

  // The tree loads what comes into sight.
  const tree = page.locator("#tree");
  for (let step = 0; step < 60; step++) {
    await tree.evaluate((element) => (element.scrollTop = element.scrollHeight));
    await page.evaluate(() => new Promise(requestAnimationFrame));
  }
  const lines = await tree.evaluate((element) => element.scrollHeight / 24);
  assert.ok(lines > 3000, `${lines} lines of the tree`);

  const { long, frames } = await page.evaluate(() => globalThis.seen);
  const elements = await page.evaluate(() => document.querySelectorAll("*").length);
  frames.sort((a, b) => a - b);
  const at = (part) => frames[Math.floor(part * (frames.length - 1))].toFixed(1);
  console.log(`a scrolled frame: ${perFrame.toFixed(1)} ms; long tasks: ${long.length}, longest ${Math.max(0, ...long).toFixed(0)} ms; frames: median ${at(0.5)} ms, p99 ${at(0.99)} ms; elements: ${elements}`);
  assert.ok(elements < ELEMENTS_MAX, `${elements} elements`);
  assert.ok(perFrame > 0 && perFrame < FRAME_MS, `${perFrame} ms of the processor for a frame`);
  assert.deepEqual(complaints, []);
});

test("a filter goes through all of them, and the page stays alive", { timeout: 120_000 }, async () => {
  const { page } = await openPage(browser, `${server.url}#/p/many/`);
  await page.getByText("1,000,000 keys").waitFor();
  await page.getByLabel("Filter keys").fill("99999");
  await page.getByText(/of 1,000,000 keys pass$/).waitFor({ timeout: 60_000 });
  await page.locator('[data-key="many/0099999"]', { hasText: "value 99999" }).waitFor();
  const [, found] = /^([\d,]+) of/.exec(await page.locator("#rows .count").innerText());
  const expected = Array.from({ length: COUNT }, (_, index) => key(index)).filter((name) => name.includes("99999")).length;
  assert.equal(Number(found.replaceAll(",", "")), expected);
});
