// Takes the pictures in docs/images: every view in both themes, of a real server with something to show.
//
//   node scripts/screenshots.mjs [VIEW…]

import { fileURLToPath } from "node:url";

import { Server, launch, openPage } from "../test/harness.mjs";

const SIZE = { width: 1280, height: 800 };
/** Long enough for lines in the plots. */
const METRICS_MS = 40_000;
const images = fileURLToPath(new URL("../../docs/images/", import.meta.url));

/** What is done in a view before its picture is taken. */
const VIEWS = {
  page: { address: "k/app/config/limits", act: (page) => page.getByRole("treeitem", { name: "app/" }).waitFor() },
  edit: {
    address: "k/app/config/limits",
    async act(page) {
      await page.getByRole("button", { name: "Edit" }).click();
      const value = page.getByLabel("Value", { exact: true });
      await value.fill((await value.inputValue()).replace("500", "800").replace('"berlin"', '"berlin","porto"'));
      await page.getByRole("region", { name: "What a save changes" }).waitFor();
    },
  },
  history: {
    address: "k/app/config/theme?tab=history",
    act: (page) => page.getByText("that the server still remembers").waitFor(),
  },
  palette: {
    address: "k/app/config/limits",
    async act(page) {
      await page.keyboard.press("Control+k");
      await page.keyboard.type("app/");
      await page.getByRole("option", { name: "app/name" }).waitFor();
    },
  },
  live: { address: "live", act: (page) => page.locator("#log li").nth(30).waitFor() },
  metrics: { address: "metrics", act: (page) => page.waitForTimeout(METRICS_MS) },
  cluster: { address: "cluster", act: (page) => page.getByRole("region", { name: "Groups by node" }).waitFor(), flags: ["--node-listen", "127.0.0.1:0", "cluster", "init", "--groups", "6"] },
  sessions: {
    address: "sessions",
    async act(page) {
      await page.getByRole("button", { name: /^Keys of lease/ }).first().click();
      await page.locator(".keys-of a").first().waitFor();
    },
  },
  transfer: {
    address: "transfer/app/",
    async act(page) {
      const records = [["app/config/theme", "dark"], ["app/config/limits", "{}"], ["app/new", "1"]];
      const text = records.map(([key, value]) => `${JSON.stringify({ key, value })}\n`).join("");
      const file = { name: "app.jsonl", mimeType: "application/jsonl", buffer: Buffer.from(`${text}not a record\n`) };
      await page.getByLabel("File of JSON lines").setInputFiles(file);
      await page.getByText("Nothing was written").waitFor();
    },
  },
  console: {
    address: "console",
    async act(page) {
      const lines = ["list presence/", 'put app/name "John Doe" --ttl 30m', "put app/name Jane --if-absent", "txn 'if app/name present' 'then incr visits' 'else get app/name'", "get nothing", "help lease"];
      for (const line of lines) {
        await page.getByLabel("Command", { exact: true }).fill(line);
        await page.keyboard.press("Enter");
        await page.locator(".prompt button:visible").waitFor({ state: "hidden" });
      }
    },
  },
};

/** Fills a store, and keeps it busy until it is told to stop. */
async function fill(client, stopped) {
  const limits = { requestsPerSecond: 500, watches: 1024, regions: ["berlin", "lisbon"] };
  const entries = [["app/config/theme", "light"], ["app/config/limits", JSON.stringify(limits)], ["app/name", "Tidekeep"], ["jobs/nightly", "done"]];
  for (const [key, value] of entries) await client.put(key, value);
  for (const theme of ["light, please", "dark", "light"]) await client.put("app/config/theme", theme);
  const presence = await client.lease(60_000);
  for (const name of ["ada", "grace", "linus"]) await client.put(`presence/${name}`, "here", { lease: presence.id });
  const lock = await client.lease(30_000);
  await client.put("locks/nightly", "host-3", { lease: lock.id });
  for (let at = 0; !stopped.aborted; at++) {
    const writes = Array.from({ length: 2 + Math.round(6 * (1 + Math.sin(at / 20))) }, (_, i) => client.put(`sensors/${i}/celsius`, (20 + Math.sin((at + i) / 9)).toFixed(2)));
    const reads = Array.from({ length: 20 }, (_, i) => client.get(`sensors/${i % 8}/celsius`));
    await Promise.all([...writes, ...reads, client.put(`sessions/${at % 9}`, "open", { ttlMs: 1500 })]);
    await new Promise((resolve) => setTimeout(resolve, 60));
  }
}

async function picture(browser, name, { address, act, flags = [] }) {
  const server = new Server(...flags);
  await server.start();
  const client = server.client();
  const stop = new AbortController();
  const filled = fill(client, stop.signal);
  for (const colorScheme of ["light", "dark"]) {
    const { page } = await openPage(browser, `${server.url}#/${address}`, { colorScheme, viewport: SIZE });
    await act(page);
    await page.screenshot({ path: `${images}${name}-${colorScheme}.png` });
    await page.context().close();
  }
  stop.abort();
  await filled;
  await client.close();
  await server.remove();
}

const wanted = process.argv.slice(2);
const browser = await launch();
for (const [name, view] of Object.entries(VIEWS)) {
  if (wanted.length === 0 || wanted.includes(name)) await picture(browser, name, view);
}
await browser.close();
