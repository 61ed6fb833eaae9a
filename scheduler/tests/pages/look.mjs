// What every look at pages of ours needs: a browser in which nothing goes wrong unseen, and the questions that are
// asked of every page. `pages.mjs` looks at the operator's pages with it, `owner.mjs` at a worker's.
import { chromium } from "playwright-core";
import axe from "axe-core";
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import http from "node:http";

export const market = JSON.parse(process.env.MARKET);
export const shots = process.env.QUORATE_TEST_SHOTS;
mkdirSync(shots, { recursive: true });

let looked = 0;
// A page that was looked at.
export const count = () => (looked += 1);
export const counted = () => looked;

export const browser = await chromium.launch({
  executablePath: process.env.QUORATE_BROWSER,
  // A name that an attacker points at this machine.
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--host-resolver-rules=MAP evil.example 127.0.0.1"],
});

// A context in which nothing may go wrong unseen.
export const open = async (options = {}, state) => {
  const context = await browser.newContext({ baseURL: market.ui, storageState: state, ...options });
  const page = await context.newPage();
  page.faults = [];
  page.on("dialog", (dialog) => {
    page.faults.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("pageerror", (error) => page.faults.push(`a script failed: ${error.message}`));
  page.on("console", (message) => {
    const text = message.text();
    // Chromium says so of every status above 399, which some steps ask for.
    if (message.type() === "error" && !text.startsWith("Failed to load resource")) page.faults.push(text);
  });
  await context.exposeFunction("hit", (n) => page.faults.push(`hostile text ${n} ran`));
  return page;
};

// Elements that only hostile text could have made.
const foreign = (page) =>
  page.evaluate(() => {
    const ours = (element) => /^\/(ui\/)?assets\//.test((element.src || element.href || "").replace(location.origin, ""));
    const bad = [...document.querySelectorAll("script, link, img, iframe, object, embed, style, base")];
    const strange = bad.filter((element) => !ours(element));
    const armed = [...document.querySelectorAll("*")].filter((element) =>
      [...element.attributes].some(({ name, value }) => name.startsWith("on") || /^\s*javascript:/i.test(value)),
    );
    return [...strange, ...armed].map((element) => element.outerHTML.slice(0, 120));
  });

export const isWell = async (page, what) => {
  assert.deepEqual(await foreign(page), [], `${what}: elements that are not ours`);
  assert.deepEqual(page.faults, [], `${what}: faults`);
  count();
};

// Serious and critical findings only; evaluated by the debugger, which the pages' policy does not bind.
export const isAccessible = async (page, what) => {
  await page.evaluate(axe.source);
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const grave = found.violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  const told = grave.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 150)).join(" | ")}`);
  assert.deepEqual(told, [], `${what}: accessibility`);
};

export const fits = async (page, what) => {
  const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(content <= window, `${what} is ${content} px wide in ${window}`);
};

// Every page in every view: a picture, no wider than the window, accessible, nothing foreign in it.
export const everyPage = async (pages, views, state) => {
  for (const [view, options] of views) {
    const page = await open(options, state);
    for (const [name, path] of Object.entries(pages)) {
      const what = `${name} ${view}`;
      await page.goto(path);
      await page.screenshot({ path: `${shots}/${name}-${view}.png`, fullPage: true });
      await fits(page, what);
      await isAccessible(page, what);
      await isWell(page, what);
    }
    await page.context().close();
  }
  const still = await open({ javaScriptEnabled: false }, state);
  for (const [name, path] of Object.entries(pages)) {
    await still.goto(path);
    assert.ok((await still.locator("main h1").innerText()).length > 0, `${name} without scripts`);
    count();
  }
  await still.context().close();
};

// A request as no browser would send it.
export const raw = (method, path, headers, body = "") =>
  new Promise((resolve, reject) => {
    const request = http.request(
      { host: "127.0.0.1", port: market.port, method, path, headers: { "content-length": body.length, ...headers } },
      (answer) => {
        let text = "";
        answer.on("data", (chunk) => (text += chunk));
        answer.on("end", () => resolve({ status: answer.statusCode, headers: answer.headers, text }));
      },
    );
    request.on("error", reject);
    request.end(body);
  });
