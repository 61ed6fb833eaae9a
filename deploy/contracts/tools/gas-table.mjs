#!/usr/bin/env node
// Writes snapshots/*.json as the tables in README.md, each between its two markers; with --check
// fails if a table is not that.
import fs from "node:fs";

const TABLES = [
  ["gas", "<!-- gas table: ./check --bless writes it -->\n", "<!-- end of gas table -->\n"],
  ["court", "<!-- court gas table: ./check --bless writes it -->\n", "<!-- end of court gas table -->\n"],
];

const readme = fs.readFileSync("README.md", "utf8");
const wanted = TABLES.reduce((text, [name, begin, end]) => {
  const gas = JSON.parse(fs.readFileSync(`snapshots/${name}.json`, "utf8"));
  const rows = Object.entries(gas).map(([row, value]) => `| ${row} | ${Number(value).toLocaleString("en-US")} |\n`);
  const [before, rest] = [text.split(begin)[0], text.split(end)[1]];
  return `${before}${begin}| transaction | gas |\n|---|---:|\n${rows.join("")}${end}${rest}`;
}, readme);

if (!process.argv.includes("--check")) {
  fs.writeFileSync("README.md", wanted);
} else if (readme !== wanted) {
  console.error("README.md: a gas table is not its snapshot: run ./check --bless and commit both");
  process.exit(1);
}
