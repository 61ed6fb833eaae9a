// Looks at a worker's page in Chromium: every page at three widths, light and dark, with and without scripts, by
// keyboard alone, under axe, with hostile text in names, and from sites that want to use it. `client/tests/pages.rs`
// makes the market and starts this; MARKET says where the page is and what should be on it.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import http from "node:http";
import { browser, counted, everyPage, isAccessible, isWell, market, open, raw, shots } from "./look.mjs";

const PAGES = {
  "owner-now": "/",
  "owner-earnings": "/earnings",
  "owner-trust": "/trust",
  "owner-preferences": "/preferences",
  "owner-schedule": "/schedule",
  "owner-machine": "/machine",
  "owner-machines": "/machines",
  "owner-log": "/log",
};
const VIEWS = [1280, 768, 390].flatMap((width) =>
  ["light", "dark"].map((colorScheme) => [`${width}-${colorScheme}`, { viewport: { width, height: 900 }, colorScheme }]),
);
const host = `127.0.0.1:${market.port}`;

// What the page says of the worker.
const said = async (page) => (await page.locator("#state").innerText()).trim();

const letIn = async () => {
  const page = await open();
  await page.goto("/");
  assert.match(await page.locator("main").innerText(), /quorate-worker open/);
  await isAccessible(page, "a stranger's page");
  await page.goto(market.url);
  await page.waitForURL(`http://${host}/`);
  const cookie = (await page.context().cookies()).find(({ name }) => name.startsWith("quorate-page-"));
  assert.ok(cookie.httpOnly && cookie.sameSite === "Strict", JSON.stringify(cookie));
  await isWell(page, "let in");
  const other = await open();
  await other.goto(market.url);
  assert.match(await other.locator("[role=alert]").innerText(), /not been let in/);
  await other.context().close();
  return page.context().storageState();
};

// What is shown is what the programs said.
const figures = async (state) => {
  const page = await open({}, state);
  await page.goto("/");
  assert.equal(await page.locator(".home span").innerText(), market.name, "the worker's name, as text");
  assert.ok((await page.locator("#state").innerText()).includes(market.notice), "the operator's reason, as text");
  await page.goto("/earnings");
  const told = await page.locator("main").innerText();
  for (const word of ["Today", "This month", "Pending", "Final", "Claimed", "net of electricity", "The pool pays"]) {
    assert.ok(told.includes(word), `no ${word}: ${told}`);
  }
  const rows = page.locator(".lines tbody tr");
  assert.equal(await rows.count(), Math.min(50, market.settled));
  const [saving] = await Promise.all([page.waitForEvent("download"), rows.first().locator("a").click()]);
  const receipt = JSON.parse(await readFile(await saving.path(), "utf8"));
  assert.equal(receipt.schema, "quorate.worker-receipt/v1");
  assert.ok(receipt.words.length >= 3 && receipt.votes.length >= 1, JSON.stringify(receipt));
  await page.goto("/trust");
  assert.match(await page.locator("main").innerText(), /Score/);
  await isWell(page, "figures");
  await page.context().close();
};

// Nothing but keys.
const byKeyboard = async (state) => {
  const page = await open({}, state);
  await page.goto("/");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the page");
  await page.keyboard.press("Enter");
  const press = async (name) => {
    for (let n = 0; n < 20; n++) {
      await page.keyboard.press("Tab");
      if ((await page.evaluate(() => document.activeElement.textContent)) === name) break;
    }
    assert.equal(await page.evaluate(() => document.activeElement.textContent), name);
    await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
  };
  await press("Pause");
  assert.match(await said(page), /^not working: you paused it;/);
  await isAccessible(page, "paused");
  await press("Finish");
  assert.match(await said(page), /^not working: you asked it to finish/);
  await press("Run");
  assert.match(await said(page), /^not working: the pool has no work|^working|^not working: the pool/);

  await page.goto("/preferences");
  const slider = page.locator("input[type=range][data-for='cpu.percent']");
  await slider.focus();
  for (let n = 0; n < 5; n++) await page.keyboard.press("ArrowLeft");
  assert.equal(await page.inputValue("[id='cpu.percent']"), "95");
  await page.focus("[id='cpu.percent']");
  await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
  assert.match(await page.locator("[role=status]").innerText(), /Saved/);
  assert.equal(await page.inputValue("[id='cpu.percent']"), "95");

  await page.goto("/schedule");
  await page.locator(".day input").first().focus();
  await page.keyboard.press("Space");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Space");
  await page.keyboard.press("ArrowDown");
  await page.screenshot({ path: `${shots}/owner-week.png`, fullPage: true });
  await page.locator("button[value=grid]").focus();
  await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
  assert.match(await page.inputValue("#text"), /^Mon 01:00-24:00, Tue 00:00-24:00/);
  await page.fill("#text", "always");
  await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
  assert.equal(await page.inputValue("#text"), "always");
  await isWell(page, "keys");
  await page.context().close();
};

// With a mouse, several boxes at once.
const byMouse = async (state) => {
  const page = await open({ viewport: { width: 1280, height: 900 } }, state);
  await page.goto("/schedule");
  const boxes = page.locator(".day input");
  const middle = async (n) => {
    const box = await boxes.nth(n).boundingBox();
    return [box.x + box.width / 2, box.y + box.height / 2];
  };
  await boxes.nth(0).scrollIntoViewIfNeeded();
  await page.mouse.move(...(await middle(0)));
  await page.mouse.down();
  for (const n of [1, 2, 3]) await page.mouse.move(...(await middle(n)));
  await page.mouse.up();
  const on = await boxes.evaluateAll((boxes) => boxes.slice(0, 5).map((box) => box.checked));
  assert.deepEqual(on, [false, false, false, false, true]);
  await isWell(page, "painting");
  await page.context().close();
};

const withoutScripts = async (state) => {
  const page = await open({ javaScriptEnabled: false }, state);
  await page.goto("/");
  await page.selectOption("#for", "1h");
  await page.click("button[value=pause]");
  assert.match(await said(page), /you paused it until /);
  await page.click("button[value=run]");
  await page.goto("/machine");
  await page.click("text=Clear the cache");
  assert.match(await page.locator("main").innerText(), /Disk:/);
  // Another machine, from here.
  await page.goto("/machines");
  const other = page.locator("section", { has: page.getByRole("heading", { name: market.companion }) });
  assert.match(await page.locator("main").innerText(), /Only asks/);
  await Promise.all([page.waitForNavigation(), other.locator("button[value=pause]").click()]);
  assert.match(await other.innerText(), /you paused it/);
  await Promise.all([page.waitForNavigation(), other.locator("button[value=run]").click()]);
  assert.doesNotMatch(await other.innerText(), /you paused it/);
  await page.goto("/preferences");
  assert.equal(await page.locator("input[type=range]:visible").count(), 0, "sliders do nothing without scripts");
  await page.context().close();
};

// The page shows what changes without being loaded again.
const itIsLive = async (state) => {
  const page = await open({}, state);
  await page.goto("/");
  const other = await open({}, state);
  await other.goto("/");
  await other.click("button[value=finish]");
  await page.waitForFunction(() => /you asked it to finish/.test(document.querySelector("#state").textContent));
  await other.click("button[value=run]");
  await other.context().close();
  await isWell(page, "live");
  await page.context().close();
};

// A site that the owner visits while the page is open.
const otherSitesGetNothing = async (state) => {
  const cookies = state.cookies.map(({ name, value }) => `${name}=${value}`).join("; ");
  for (const evil of ["evil.example", `evil.example:${market.port}`, "127.0.0.1", `${host}.evil.example`]) {
    assert.equal((await raw("GET", "/", { host: evil, cookie: cookies })).status, 421, `Host: ${evil}`);
  }
  const form = `<form method=post action="http://${host}/wish"><input name=do value=pause></form>
    <script>
      const tries = [fetch("http://${host}/", { credentials: "include" }), fetch("http://${host}/wish", {
        method: "POST", credentials: "include", body: "do=pause", headers: { "content-type": "application/x-www-form-urlencoded" } })];
      Promise.allSettled(tries).then((all) => { document.title = all.map(({ status }) => status).join(); });
    </script><iframe src="http://${host}/"></iframe>`;
  const site = http.createServer((_, answer) => answer.setHeader("content-type", "text/html").end(form));
  await new Promise((ready) => site.listen(0, "127.0.0.1", ready));
  const page = await open({}, state);
  page.faults.push = () => 0;
  await page.goto(`http://localhost:${site.address().port}/`);
  await page.waitForFunction(() => document.title === "rejected,rejected");
  const framed = page.frames().find((frame) => frame !== page.mainFrame());
  assert.ok(!(await framed.content()).includes("csrf"), "it was framed");
  const [sent] = await Promise.all([page.waitForNavigation(), page.evaluate(() => document.forms[0].submit())]);
  assert.equal(sent.status(), 403);
  const rebound = await page.goto(`http://evil.example:${market.port}/`);
  assert.equal(rebound.status(), 421);
  await page.goto("/");
  assert.ok(!(await said(page)).includes("paused"), "another site paused it");
  site.close();
  await page.context().close();
};

try {
  const state = await letIn();
  await everyPage(PAGES, VIEWS, state);
  await figures(state);
  await byKeyboard(state);
  await byMouse(state);
  await withoutScripts(state);
  await itIsLive(state);
  await otherSitesGetNothing(state);
  console.log(`${counted()} pages looked at`);
} finally {
  await browser.close();
}
