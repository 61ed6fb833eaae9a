// Checks a receipt's path in the browser: the task's leaf, its way to the batch's root, the header's hash, and
// what the contract is said to hold of it. Signatures and the vote are `quorate verify`'s.
"use strict";

const Keccak = (() => {
  const mask = (1n << 64n) - 1n;
  const rounds = [];
  const turns = [];
  // Round constants and rotations, made as FIPS 202 defines them.
  let lfsr = 1;
  for (let round = 0; round < 24; round++) {
    let constant = 0n;
    for (let j = 0; j < 7; j++) {
      if (lfsr & 1) constant |= 1n << BigInt((1 << j) - 1);
      lfsr = lfsr & 0x80 ? ((lfsr << 1) ^ 0x171) & 0xff : lfsr << 1;
    }
    rounds.push(constant);
  }
  let [x, y] = [1, 0];
  for (let t = 0; t < 24; t++) {
    turns.push([x, y, BigInt((((t + 1) * (t + 2)) / 2) % 64)]);
    [x, y] = [y, (2 * x + 3 * y) % 5];
  }
  const turn = (word, by) => ((word << by) | (word >> (64n - by))) & mask;

  const permute = (a) => {
    for (const constant of rounds) {
      const c = [0, 1, 2, 3, 4].map((x) => a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20]);
      for (let i = 0; i < 25; i++) a[i] ^= c[(i + 4) % 5] ^ turn(c[(i + 1) % 5], 1n);
      let [px, py] = [1, 0];
      let word = a[1];
      for (const [x, y, by] of turns) {
        [px, py] = [y, (2 * x + 3 * y) % 5];
        [word, a[px + 5 * py]] = [a[px + 5 * py], turn(word, by)];
      }
      for (let y = 0; y < 25; y += 5) {
        const row = a.slice(y, y + 5);
        for (let x = 0; x < 5; x++) a[y + x] = row[x] ^ (~row[(x + 1) % 5] & mask & row[(x + 2) % 5]);
      }
      a[0] ^= constant;
    }
  };

  // keccak256 of bytes, as bytes.
  return (bytes) => {
    const rate = 136;
    const padded = new Uint8Array(Math.ceil((bytes.length + 1) / rate) * rate);
    padded.set(bytes);
    padded[bytes.length] ^= 0x01;
    padded[padded.length - 1] ^= 0x80;
    const a = new Array(25).fill(0n);
    const view = new DataView(padded.buffer);
    for (let block = 0; block < padded.length; block += rate) {
      for (let i = 0; i < rate / 8; i++) a[i] ^= view.getBigUint64(block + 8 * i, true);
      permute(a);
    }
    const out = new DataView(new ArrayBuffer(32));
    for (let i = 0; i < 4; i++) out.setBigUint64(8 * i, a[i], true);
    return new Uint8Array(out.buffer);
  };
})();

const hex = (bytes) => "0x" + Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

// One ABI word of a number or of 0x and hex digits, as JSON has it.
const word = (value) => {
  const text = String(value);
  const digits = text.startsWith("0x") ? text.slice(2) : BigInt(text).toString(16);
  if (digits.length > 64 || !/^[0-9a-f]*$/i.test(digits)) throw new Error(`not a word: ${text.slice(0, 80)}`);
  const padded = digits.padStart(64, "0");
  return Uint8Array.from({ length: 32 }, (_, i) => parseInt(padded.slice(2 * i, 2 * i + 2), 16));
};

const join = (parts) => {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
};

const HEADER =
  "Header(uint32 poolId,uint64 index,bytes32 parent,bytes32 tasksRoot,bytes32 stateRoot,bytes32 evidence," +
  "uint32 count,uint128 payout,uint128 fees,uint128 royalties,uint128 slashed,uint128 cumFees)";
const HEADER_FIELDS = ["pool", "index", "parent", "tasks_root", "state_root", "evidence", "count", "payout", "fees",
  "royalties", "slashed", "cum_fees"];
const TASK_FIELDS = ["deal_id", "task_idx", "attempt", "outcome", "commit_set_root", "winner_digest", "reward",
  "run_payout", "run_fees", "run_royalties", "run_slash", "votes_hash", "post_state_root"];
const TASKS_DEPTH = 16;

const taskLeaf = (rec) => Keccak(join([word(1), ...TASK_FIELDS.map((field) => word(rec[field]))]));

const rootOf = (leaf, place, path) =>
  path.reduce((here, sibling, height) => {
    const other = word(sibling);
    return Keccak((place >> height) & 1 ? join([other, here]) : join([here, other]));
  }, leaf);

const headerHash = (header) =>
  Keccak(join([Keccak(new TextEncoder().encode(HEADER)), ...HEADER_FIELDS.map((field) => word(header[field]))]));

// Every step, in words: [whether it holds, what was found].
const steps = ({ receipt, opening, stage }) => {
  const { header, rec, place, path } = receipt;
  const leaf = taskLeaf(rec);
  const root = rootOf(leaf, place, path);
  const hash = headerHash(header);
  const same = (a, b) => hex(word(a)) === hex(word(b));
  const found = [
    [true, `The task's leaf is ${hex(leaf)}.`],
    [path.length === TASKS_DEPTH && place < header.count && same(hex(root), header.tasks_root),
      `Its path of ${path.length} hashes leads from place ${place} to ${hex(root)}; the header says ${header.tasks_root}.`],
  ];
  if (opening) {
    found.push([same(hex(hash), opening.header_hash),
      `The header hashes to ${hex(hash)}; the contract's event of batch ${header.index} said ${opening.header_hash}.`]);
    found.push([same(header.state_root, opening.state_root), "The state after the batch is the one the contract holds."]);
  } else {
    found.push([true, `The header hashes to ${hex(hash)}; batch ${header.index} is not on chain yet.`]);
  }
  const holds = found.every(([ok]) => ok);
  found.push([holds, holds ? `The receipt's path holds; the task is ${stage || "accepted"}.` : "The receipt does NOT hold."]);
  return found;
};

const check = async () => {
  const list = document.getElementById("proof");
  const say = (ok, text) => {
    const item = document.createElement("li");
    item.className = ok ? "ok" : "bad";
    item.textContent = `${ok ? "✓" : "✗"} ${text}`;
    list.append(item);
  };
  list.replaceChildren();
  try {
    const answer = await fetch(document.querySelector("[data-receipt]").dataset.receipt);
    if (!answer.ok) throw new Error(`there is no receipt yet (${answer.status})`);
    steps(await answer.json()).forEach(([ok, text]) => say(ok, text));
    list.dataset.done = "1";
  } catch (error) {
    say(false, `Not checked: ${error.message}`);
  }
};

if (typeof document !== "undefined") {
  // Again whenever the page has loaded itself anew.
  const arm = () => {
    const button = document.getElementById("check");
    if (!button) return;
    button.hidden = false;
    button.addEventListener("click", check);
  };
  document.addEventListener("fresh", arm);
  arm();
} else {
  module.exports = { Keccak, hex, word, taskLeaf, rootOf, headerHash, steps };
}
