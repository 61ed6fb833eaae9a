//! Spoils samples until the time is over, and watches what a decoder does with them.

use peak_alloc::PeakAlloc;
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// The variables that give more time, and play a seed again.
const SECONDS: &str = "QUORATE_FUZZ_SECONDS";
const SEED: &str = "QUORATE_FUZZ_SEED";
/// Changes to a sample at once: one finds most, many together get past checks of two fields.
const CHANGES_MAX: u64 = 6;
/// Longest input, so that a second holds thousands.
const BYTES_MAX: usize = 64 << 10;
/// Bytes that a decoder may hold at once beside [`PER_BYTE`]: serde makes room for a mebibyte of
/// elements that were announced and did not come yet, of each of some lists inside each other.
const ROOM: usize = 8 << 20;
/// Bytes that it may hold for each byte of input: a byte may stand for an element of a hundred bytes.
const PER_BYTE: usize = 512;

/// Decoders count memory of the whole process, so one runs at a time.
static TURN: Mutex<()> = Mutex::new(());

/// What a decoder said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Taken,
    Refused,
}

/// A decoder's answer, from a result or an option.
pub(crate) fn said(is_taken: bool) -> Said {
    if is_taken { Said::Taken } else { Said::Refused }
}

/// Feeds `decode` with spoiled samples. It panics if what it took does not come back as it was.
///
/// # Panics
/// If the decoder does, if it takes no sample as it is, or allocates too much.
pub(crate) fn fuzz(name: &str, samples: &[Vec<u8>], mut decode: impl FnMut(&[u8]) -> Said) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let number = |name| std::env::var(name).ok().map(|text: String| text.parse().unwrap());
    let seed = number(SEED).unwrap_or_else(fresh_seed);
    let time = Duration::from_secs(number(SECONDS).unwrap_or(1));
    for (n, sample) in samples.iter().enumerate() {
        assert_eq!(decode(sample), Said::Taken, "{name}: sample {n} is no sample");
    }
    let mut dice = Dice(seed);
    let (began, mut runs, mut taken, mut most) = (Instant::now(), 0_u64, 0_u64, 0);
    while began.elapsed() < time {
        let input = Input { name, seed, bytes: spoil(samples, &mut dice) };
        MEMORY.reset_peak_usage();
        let before = MEMORY.current_usage();
        taken += u64::from(decode(&input.bytes) == Said::Taken);
        let held = MEMORY.peak_usage().saturating_sub(before);
        assert!(held <= ROOM + PER_BYTE * input.bytes.len(), "{name}: {held} bytes were held");
        most = most.max(held);
        runs += 1;
    }
    let rate = runs / time.as_secs().max(1);
    eprintln!(
        "{name}: {SEED}={seed}, {runs} inputs ({rate}/s), {taken} taken, at most {most} bytes held"
    );
}

fn fresh_seed() -> u64 {
    let random = quorate_common::keys::random32().unwrap();
    u64::from_le_bytes(*random.first_chunk().unwrap())
}

/// The input that is being decoded: shown if that panics.
struct Input<'a> {
    name: &'a str,
    seed: u64,
    bytes: Vec<u8>,
}

impl Drop for Input<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: {SEED}={}: {}", self.name, self.seed, hex::encode(&self.bytes));
        }
    }
}

fn spoil(samples: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = dice.choose(samples).clone();
    for _ in 0..=dice.below(CHANGES_MAX) {
        change(&mut bytes, samples, dice);
    }
    bytes.truncate(BYTES_MAX);
    bytes
}

/// Bytes that mean something to somebody: limits of integers and varints, quotes, braces.
const MEANING: [&[u8]; 12] = [
    &[0],
    &[0x7f],
    &[0x80, 1],
    &[0xff],
    &[0xff, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
    &[0, 0, 0, 0, 0, 0, 0, 0x80],
    b"\"",
    b"{[",
    b"-1e999",
    b"\xf0\x9f\x92\xa9",
];

fn change(bytes: &mut Vec<u8>, samples: &[Vec<u8>], dice: &mut Dice) {
    let length = bytes.len() as u64;
    let at = dice.index(length + 1);
    let to = at + dice.index((length - at as u64).min(64) + 1);
    match dice.below(8) {
        0 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
        1 if at < bytes.len() => bytes[at] = dice.next().to_le_bytes()[0],
        2 => drop(bytes.splice(at..to, dice.choose(&MEANING).iter().copied())),
        3 => drop(bytes.splice(at..at, dice.choose(&MEANING).iter().copied())),
        4 => drop(bytes.drain(at..to)),
        5 => {
            let again = bytes[at..to].to_vec();
            drop(bytes.splice(at..at, again));
        }
        6 => bytes.truncate(at),
        _ => {
            let other = dice.choose(samples);
            let from = dice.index(other.len() as u64 + 1);
            let tail = &other[from..other.len().min(from + 64)];
            drop(bytes.splice(at..to, tail.iter().copied()));
        }
    }
}

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, count: u64) -> u64 {
        self.next() % count
    }

    fn index(&mut self, count: u64) -> usize {
        usize::try_from(self.below(count)).unwrap()
    }

    fn choose<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.index(of.len() as u64)]
    }
}
