// Takes a picture of every dashboard: shoot.js PROMETHEUS-URL RANGE.json DASHBOARDS-DIR OUTPUT-DIR. Chromium is the
// system's (CHROMIUM names another). Exits with 1 if a panel is empty that must not be, or a query fails.
import { chromium } from 'playwright-core';
import { createServer } from 'node:http';
import { mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { extname, join, normalize } from 'node:path';

const [prometheus, rangeFile, dashboards, output] = process.argv.slice(2);
const range = JSON.parse(readFileSync(rangeFile, 'utf8'));
const dist = new URL('dist', import.meta.url).pathname;
const kinds = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json' };

async function answer(request, response) {
  const url = new URL(request.url, 'http://localhost');
  if (url.pathname.startsWith('/prometheus/')) {
    const found = await fetch(prometheus + url.pathname.slice('/prometheus'.length) + url.search);
    response.writeHead(found.status, { 'content-type': 'application/json' });
    return response.end(await found.text());
  }
  const path = normalize(url.pathname);
  const file = path.startsWith('/dashboards/')
    ? join(dashboards, path.slice('/dashboards/'.length))
    : join(dist, path === '/' ? 'index.html' : path);
  try {
    const bytes = readFileSync(file);
    response.writeHead(200, { 'content-type': kinds[extname(file)] ?? 'application/octet-stream' });
    response.end(bytes);
  } catch {
    response.writeHead(404);
    response.end();
  }
}

async function shoot(browser, base, board) {
  const page = await browser.newPage({ viewport: { width: 1600, height: 1000 }, deviceScaleFactor: 1 });
  const said = [];
  page.on('pageerror', (error) => said.push(`page: ${error.message}`));
  await page.goto(`${base}/?board=${board}&from=${range.from}&to=${range.to}`);
  await page.waitForSelector('body[data-drawn]', { timeout: 60_000 });
  await page.screenshot({ path: join(output, `${board}.png`), fullPage: true, animations: 'disabled' });
  const findings = await page.evaluate(() => window.findings);
  await page.close();
  return [...findings, ...said];
}

const server = createServer(answer).listen(0, '127.0.0.1');
await new Promise((ready) => server.once('listening', ready));
const base = `http://127.0.0.1:${server.address().port}`;
mkdirSync(output, { recursive: true });
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
// In a container there is no sandbox to be had; the pages are ours.
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--force-color-profile=srgb'] });
let wrong = 0;
for (const file of readdirSync(dashboards).filter((name) => name.endsWith('.json')).sort()) {
  const board = file.slice(0, -'.json'.length);
  const findings = await shoot(browser, base, board);
  for (const finding of findings) console.error(`${board}: ${finding}`);
  console.log(`${join(output, board)}.png: ${findings.length === 0 ? 'drawn' : `${findings.length} findings`}`);
  wrong += findings.length;
}
await browser.close();
server.close();
process.exit(wrong === 0 ? 0 : 1);
