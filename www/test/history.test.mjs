// The history of a key on the page: what it was, what each version changed, and the way back.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Server, launch, openPage } from "./harness.mjs";

let browser, server, client;

before(async () => {
  browser = await launch();
  server = new Server();
  await server.start();
  client = server.client();
});
after(async () => {
  await client.close();
  await browser.close();
  await server.remove();
});

const versions = (page) => page.getByRole("list", { name: "Versions, newest first" }).getByRole("listitem");

test("tells every version that is remembered, compares any two, and restores one", async () => {
  const revisions = [];
  for (const value of ["one", "two", "three"]) revisions.push((await client.put("name", value)).revision);
  await client.put("other", "x");
  const { page, complaints } = await openPage(browser, `${server.url}#/k/name?tab=history`);
  await page.getByText("3 versions that the server still remembers").waitFor();
  const told = await versions(page).evaluateAll((lines) => lines.map(({ dataset }) => Number(dataset.revision)));
  assert.deepEqual(told, [...revisions].reverse());
  assert.match(await page.locator(".history .diff").innerText(), /From revision \d+ to revision \d+.*two.*three/s);

  await page.getByRole("button", { name: `Compare with revision ${revisions[0]}` }).click();
  await page.locator(".history del", { hasText: "one" }).waitFor();
  await page.locator(".history ins", { hasText: "three" }).waitFor();

  // What happens now is seen as it happens.
  await client.put("name", "four");
  await versions(page).nth(3).waitFor();

  await page.getByRole("button", { name: `Restore revision ${revisions[0]}` }).click();
  await page.getByText("Saved name").waitFor();
  assert.equal((await client.get("name")).text(), "one");
  await versions(page).nth(4).waitFor();
  assert.deepEqual(complaints, []);
});

test("an address names a revision, and a key that is gone still has its history", async () => {
  const { revision } = await client.put("gone", "here");
  await client.put("gone", "and there");
  await client.delete("gone");
  const { page } = await openPage(browser, `${server.url}#/k/gone?rev=${revision}`);
  await page.getByText("gone is not there.").waitFor();
  await page.getByText(/From nothing to revision/).waitFor();
  assert.equal(await versions(page).count(), 3);
  assert.match(await versions(page).first().innerText(), /deleted/);
  await page.getByRole("button", { name: `Restore revision ${revision}` }).click();
  await page.getByText("Created gone").waitFor();
  assert.equal((await client.get("gone")).text(), "here");
});

test("what was before a restart is remembered as the server remembers it", async () => {
  await client.put("kept", "before");
  await server.kill();
  await server.start();
  await client.put("kept", "behind");
  const { page } = await openPage(browser, `${server.url}#/k/kept?tab=history`);
  await versions(page).first().waitFor();
  assert.match(await versions(page).first().innerText(), /behind/);
  assert.match(await versions(page).nth(1).innerText(), /before/);
});
