#!/usr/bin/env node
// Fails if README.md lacks a figure of snapshots/gas.json, so that its gas table cannot go stale.
import fs from "node:fs";

const readme = fs.readFileSync("README.md", "utf8");
const gas = JSON.parse(fs.readFileSync("snapshots/gas.json", "utf8"));
const missing = Object.entries(gas).filter(([, value]) => !readme.includes(Number(value).toLocaleString("en-US")));
for (const [name, value] of missing) console.error(`README.md: no ${Number(value).toLocaleString("en-US")} (${name})`);
process.exit(missing.length === 0 ? 0 : 1);
