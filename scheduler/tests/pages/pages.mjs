// Looks at the operator's pages in Chromium: every page at two widths, light and dark, with and without scripts,
// by keyboard alone, under axe, and with hostile text wherever strangers may write. `client/tests/pages.rs` makes
// the market and starts this; MARKET says where it is.
import assert from "node:assert/strict";
import { browser, counted, everyPage, isAccessible, isWell, market, open, raw, shots } from "./look.mjs";

const order = `/ui/orders/${market.orders.well}`;
const PAGES = {
  overview: "/ui",
  workers: "/ui/workers",
  worker: `/ui/workers/${market.worker}`,
  orders: "/ui/orders",
  order,
  ill: `/ui/orders/${market.orders.ill}`,
  task: `${order}/tasks/3`,
  trust: "/ui/trust",
  money: "/ui/money",
  health: "/ui/health",
  log: "/ui/log",
};
const VIEWS = [
  ["wide-light", { viewport: { width: 1280, height: 900 }, colorScheme: "light" }],
  ["wide-dark", { viewport: { width: 1280, height: 900 }, colorScheme: "dark" }],
  ["phone-light", { viewport: { width: 390, height: 844 }, colorScheme: "light" }],
  ["phone-dark", { viewport: { width: 390, height: 844 }, colorScheme: "dark" }],
];

const login = async (name, options) => {
  const page = await open(options);
  await page.goto("/ui/login");
  await page.fill("#name", name);
  await page.fill("#password", market.password);
  await page.press("#password", "Enter");
  await page.waitForURL("**/ui");
  return page;
};

const strangersSeeNothing = async () => {
  const host = `127.0.0.1:${market.port}`;
  for (const path of Object.values(PAGES)) {
    const answer = await raw("GET", path, { host });
    assert.equal(answer.status, 303, path);
    assert.equal(answer.headers.location, "/ui/login", path);
    assert.match(answer.headers["content-security-policy"], /default-src 'self'.*frame-ancestors 'none'/);
  }
  for (const evil of ["evil.example", `evil.example:${market.port}`, "127.0.0.1", `127.0.0.1.evil:${market.port}`]) {
    assert.equal((await raw("GET", "/ui/login", { host: evil })).status, 421, `Host: ${evil}`);
  }
  const form = { host, "content-type": "application/x-www-form-urlencoded" };
  const body = `name=ada&password=${encodeURIComponent(market.password)}`;
  for (const origin of [undefined, "null", "http://evil.example", `https://${host}`]) {
    const headers = origin ? { ...form, origin } : form;
    assert.equal((await raw("POST", "/ui/login", headers, body)).status, 403, `Origin: ${origin}`);
  }
  const cross = { ...form, origin: `http://${host}`, "sec-fetch-site": "cross-site" };
  assert.equal((await raw("POST", "/ui/login", cross, body)).status, 403);
};

const loginByKeyboard = async () => {
  const page = await open();
  await page.goto("/ui/login");
  await isAccessible(page, "login");
  await page.keyboard.type(market.hostile[1].slice(0, 30));
  await page.keyboard.press("Tab");
  await page.keyboard.type("a wrong password");
  await page.keyboard.press("Enter");
  await page.waitForSelector("[role=alert]");
  await isWell(page, "a wrong password");
  await page.fill("#name", "ada");
  await page.focus("#password");
  await page.keyboard.type(market.password);
  await page.keyboard.press("Enter");
  await page.waitForURL("**/ui");
  const cookie = (await page.context().cookies()).find(({ name }) => name === "quorate");
  assert.ok(cookie.httpOnly && cookie.sameSite === "Strict", JSON.stringify(cookie));
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the page");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  await isWell(page, "after a login");
  return page.context().storageState();
};

// Hostile text is there, as text.
const hostileTextIsText = async (state) => {
  const page = await open({}, state);
  await page.goto("/ui/workers");
  const names = await page.locator("td .name").allInnerTexts();
  for (const text of market.hostile) assert.ok(names.includes(text), `no worker is called ${text}: ${names}`);
  await page.goto(PAGES.task);
  const wrote = await page.locator("pre.stdout").innerText();
  for (const text of market.hostile) assert.ok(wrote.includes(text), `${text} was not written: ${wrote}`);
  for (const text of market.hostile) {
    for (const path of [`/ui/workers?q=${encodeURIComponent(text)}`, `/ui/orders?q=${encodeURIComponent(text)}`,
      `/ui/${encodeURIComponent(text)}`, `/ui/orders/${encodeURIComponent(text)}`, `/ui/workers?among=${encodeURIComponent(text)}`]) {
      await page.goto(path);
      await isWell(page, path);
    }
  }
  await page.goto(`/ui/workers?q=${encodeURIComponent("onerror")}`);
  assert.equal(await page.locator("tbody tr").first().locator(".name").innerText(), market.hostile[1]);
  await page.context().close();
};

const cellsAndCauses = async (state) => {
  const page = await open({}, state);
  await page.goto(order);
  const label = await page.locator(".cells svg").getAttribute("aria-label");
  assert.match(label, new RegExp(`${market.tasks} final`), label);
  await page.goto(`${order}?show=final&from=100`);
  assert.equal(await page.locator("#tasks tbody tr").count(), 50);
  assert.match(await page.locator("#tasks .state").first().innerText(), /^final@\d+$/);
  await page.locator(".cells svg").click({ position: { x: 4, y: 4 } });
  await page.waitForURL("**/tasks/0");
  await page.goto(PAGES.ill);
  assert.match(await page.locator("main").innerText(), /exit code 3\s+4/);
  await isWell(page, "cells");
  await page.context().close();
};

const receiptIsChecked = async (state) => {
  const page = await open({}, state);
  const check = async () => {
    await page.goto(PAGES.task);
    await page.focus("#check");
    await page.keyboard.press("Enter");
    await page.waitForSelector("#proof[data-done]");
    return page.locator("#proof li").last().innerText();
  };
  assert.match(await check(), /holds; the task is final@\d+/);
  await page.screenshot({ path: `${shots}/receipt.png`, fullPage: true });
  for (const spoil of [
    (all) => (all.receipt.rec.reward = "123"),
    (all) => (all.receipt.path[3] = "0x" + "11".repeat(32)),
    (all) => (all.receipt.header.payout = "1"),
    (all) => (all.opening.header_hash = "0x" + "22".repeat(32)),
  ]) {
    await page.route("**/receipt.json", async (route) => {
      const answer = await route.fetch();
      const all = await answer.json();
      spoil(all);
      await route.fulfill({ response: answer, json: all });
    });
    assert.match(await check(), /does NOT hold/, String(spoil));
    await page.unroute("**/receipt.json");
  }
  await isWell(page, "receipts");
  await page.context().close();
};

const acts = async (state) => {
  const page = await open({}, state);
  const path = `/ui/workers/${market.idle}`;
  const reason = market.hostile[1];
  await page.goto(path);
  await page.focus("#reason");
  await page.keyboard.type(reason);
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".state.drained");
  assert.ok((await page.locator(".answer").innerText()).includes(reason));
  await isWell(page, "a drained worker");
  await page.fill("#reason", market.hostile[2]);
  await page.click("button[value=ban]");
  await page.waitForSelector(".state.banned");
  await isAccessible(page, "a banned worker");
  await page.screenshot({ path: `${shots}/banned.png`, fullPage: true });
  await page.goto(path);
  await page.click("button[value=ban]");
  assert.match(await page.locator("[role=alert]").innerText(), /expected 1 to 200/);
  await page.goto(path);
  await page.click("button[value=unban]");
  await page.waitForSelector("button[value=drain]");
  assert.equal(await page.locator(".state.banned").count(), 0);
  await page.goto("/ui/log");
  const log = await page.locator("main").innerText();
  for (const word of [reason, market.hostile[2], "drain", "ban", "unban", "login", "wrong name or password", "it is slow"]) {
    assert.ok(log.includes(word), `the log has no ${word}`);
  }
  await isWell(page, "the log");
  await page.context().close();
};

const whoReadsDoesNotAct = async () => {
  const page = await login("bob");
  await page.goto(`/ui/workers/${market.worker}`);
  assert.equal(await page.locator("form.acts, .acts form").count(), 0);
  const csrf = await page.locator("input[name=csrf]").first().inputValue();
  const cookies = (await page.context().cookies()).map(({ name, value }) => `${name}=${value}`).join("; ");
  const headers = { host: `127.0.0.1:${market.port}`, origin: market.ui, cookie: cookies,
    "content-type": "application/x-www-form-urlencoded" };
  const send = (csrf) => raw("POST", `/ui/workers/${market.worker}`, headers, `csrf=${csrf}&act=ban&reason=x`);
  assert.match((await send(csrf)).text, /may read and not act/);
  assert.equal((await send("0".repeat(64))).status, 403);
  await page.click("text=Log out");
  await page.waitForURL("**/ui/login");
  assert.equal((await raw("GET", "/ui", headers)).status, 303, "the cookie is worth nothing any more");
  await page.context().close();
};

const guessesAreFew = async () => {
  const headers = { host: `127.0.0.1:${market.port}`, origin: market.ui, "content-type": "application/x-www-form-urlencoded" };
  const codes = [];
  for (let n = 0; n < 8; n++) codes.push((await raw("POST", "/ui/login", headers, `name=ada&password=guess${n}`)).status);
  assert.deepEqual(codes.slice(0, 5), [403, 403, 403, 403, 403]);
  assert.deepEqual(codes.slice(5), [429, 429, 429]);
};

try {
  await strangersSeeNothing();
  const state = await loginByKeyboard();
  await everyPage(PAGES, VIEWS, state);
  await hostileTextIsText(state);
  await cellsAndCauses(state);
  await receiptIsChecked(state);
  await acts(state);
  await whoReadsDoesNotAct();
  await guessesAreFew();
  console.log(`${counted()} pages looked at`);
} finally {
  await browser.close();
}
