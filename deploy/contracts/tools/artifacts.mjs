#!/usr/bin/env node
// Writes abi/*.json from forge's output, or with --check says how they differ from it. One file
// per contract: {"abi", "bytecode", "deployedBytecode"}, immutables zero in the last one, as
// compiled. Rust builds read these files, so that they need neither Node nor a Solidity compiler.
import fs from "node:fs";

const CONTRACTS = [
  "Settlement",
  "Market",
  "Oracle",
  "Court",
  "StepBench",
  "WordBench",
  "BookBench",
  "Escape",
  "TestToken",
];
/** EIP-170: a chain refuses longer code. */
const CODE_MAX = 24_576;

const check = process.argv.includes("--check");
let stale = 0;

for (const name of CONTRACTS) {
  const made = artifact(name);
  const size = bytes(made.deployedBytecode);
  if (size > CODE_MAX) fail(`${name} has ${size} bytes of code, at most ${CODE_MAX} are allowed`);
  const path = `abi/${name}.json`;
  if (!check) {
    fs.writeFileSync(path, text(made));
    console.log(`${path}: ${size} bytes of code, ${CODE_MAX - size} left`);
  } else {
    stale += compare(path, made) ? 0 : 1;
  }
}
if (stale > 0) fail(`${stale} of ${CONTRACTS.length} artifacts are stale: run ./build and commit abi/`);
if (check) console.log(`${CONTRACTS.length} artifacts match their sources`);

/** What forge compiled, reduced to what is committed. */
function artifact(name) {
  const full = JSON.parse(fs.readFileSync(`out/${name}.sol/${name}.json`, "utf8"));
  return {
    abi: full.abi,
    bytecode: full.bytecode.object,
    deployedBytecode: full.deployedBytecode.object,
  };
}

/** One ABI entry a line, so that a change of the ABI reads as one in a diff. */
function text({ abi, bytecode, deployedBytecode }) {
  // The Rust reader looks for a struct's fields where the struct is declared: all of them are at home
  // in the file, none in an interface.
  const entries = abi.map((entry) => `  ${JSON.stringify(entry).replaceAll(/struct I[A-Z]\w*\./g, "struct ")}`).join(",\n");
  return `{"abi":[\n${entries}\n],\n"bytecode":"${bytecode}",\n"deployedBytecode":"${deployedBytecode}"}\n`;
}

/** True if the committed file is what was made; otherwise prints in a few lines what differs. */
function compare(path, made) {
  const committed = fs.existsSync(path) ? fs.readFileSync(path, "utf8") : "";
  if (committed === text(made)) return true;
  console.error(`${path} differs:`);
  const old = committed === "" ? { abi: [], bytecode: "0x", deployedBytecode: "0x" } : JSON.parse(committed);
  const [had, has] = [old, made].map((a) => new Set(a.abi.map((entry) => JSON.stringify(entry))));
  for (const entry of had) if (!has.has(entry)) console.error(`  - ${entry}`);
  for (const entry of has) if (!had.has(entry)) console.error(`  + ${entry}`);
  for (const field of ["bytecode", "deployedBytecode"]) {
    if (old[field] === made[field]) continue;
    console.error(`  ${field}: ${bytes(old[field])} bytes committed, ${bytes(made[field])} compiled`);
  }
  return false;
}

function bytes(hex) {
  return (hex.length - 2) / 2;
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
