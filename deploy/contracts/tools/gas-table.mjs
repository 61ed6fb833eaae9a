#!/usr/bin/env node
// Writes snapshots/gas.json as the table in README.md, between its two markers; with --check fails
// if the table is not that.
import fs from "node:fs";

const [BEGIN, END] = ["<!-- gas table: ./check --bless writes it -->\n", "<!-- end of gas table -->\n"];

const readme = fs.readFileSync("README.md", "utf8");
const gas = JSON.parse(fs.readFileSync("snapshots/gas.json", "utf8"));
const rows = Object.entries(gas).map(([name, value]) => `| ${name} | ${Number(value).toLocaleString("en-US")} |\n`);
const table = `| transaction | gas |\n|---|---:|\n${rows.join("")}`;
const [before, rest] = [readme.split(BEGIN)[0], readme.split(END)[1]];
const wanted = before + BEGIN + table + END + rest;

if (!process.argv.includes("--check")) {
  fs.writeFileSync("README.md", wanted);
} else if (readme !== wanted) {
  console.error("README.md: the gas table is not snapshots/gas.json: run ./check --bless and commit both");
  process.exit(1);
}
