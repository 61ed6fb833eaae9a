#!/usr/bin/env node
// Fails if README.md names a test that is not there. A name may end in `*`: any test that begins so.
import fs from "node:fs";
import path from "node:path";

const NAME = /`((?:test|testFuzz|invariant)_\w+\*?)`/g;
const FUNCTION = /function\s+((?:test|testFuzz|invariant)_\w+)/g;

const tests = new Set(sources("test").flatMap((file) => all(FUNCTION, file)));
const named = new Set(all(NAME, "README.md"));
const missing = [...named].filter((name) => !exists(name));

for (const name of missing) console.error(`README.md names ${name}, which no file in test/ has`);
if (missing.length > 0) process.exit(1);
console.log(`${named.size} tests named in README.md are there`);

function exists(name) {
  if (!name.endsWith("*")) return tests.has(name);
  return [...tests].some((test) => test.startsWith(name.slice(0, -1)));
}

function sources(folder) {
  return fs
    .readdirSync(folder, { recursive: true })
    .filter((file) => file.endsWith(".sol"))
    .map((file) => path.join(folder, file));
}

function all(pattern, file) {
  return [...fs.readFileSync(file, "utf8").matchAll(pattern)].map((match) => match[1]);
}
