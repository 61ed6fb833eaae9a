//! What the laptop's log tells: what was sealed, acknowledged and run, and what of that while its scheduler was in
//! reach.

use super::home::Home;
use std::collections::{BTreeMap, BTreeSet};

/// A task and a round of it.
pub(crate) type Replica = (String, String);
/// A seal is on disk.
pub(crate) const SEALED: &str = " DEBUG sealed ";
/// Seals that may be on their way at once: of the run that ended last, and of the one before.
const UNDER_WAY: usize = 2;

/// From one place of the log to another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) from: usize,
    pub(crate) to: usize,
}

/// A log, read to its end.
pub(crate) struct Diary {
    lines: Vec<Line>,
}

struct Line {
    at: usize,
    text: String,
}

/// What became of votes that were sealed while the scheduler was in reach.
#[derive(Debug)]
pub(crate) struct Punctuality {
    pub(crate) seals: usize,
    /// Never acknowledged.
    pub(crate) late: Vec<Replica>,
    /// Milliseconds from a seal to its acknowledgement, at most.
    pub(crate) slowest_ms: u64,
}

impl Diary {
    pub(crate) fn read(home: &Home) -> Self {
        let (mut at, mut lines) = (0, Vec::new());
        for line in home.said().split_inclusive('\n') {
            lines.push(Line { at, text: line.trim_end().to_owned() });
            at += line.len();
        }
        Self { lines }
    }

    /// Every replica of which it says this.
    pub(crate) fn of(&self, what: &str) -> BTreeSet<Replica> {
        self.saying(what).map(Line::replica).collect()
    }

    /// How often it says this in a span.
    pub(crate) fn count(&self, what: &str, span: Span) -> usize {
        self.saying(what).filter(|line| span.holds(line.at)).count()
    }

    /// Votes that were sealed outside of `outages`: each is acknowledged, but for those that were on their way when
    /// an outage began.
    pub(crate) fn punctuality(&self, outages: &[Span]) -> Punctuality {
        let acks: BTreeMap<Replica, u64> =
            self.saying(" commit acked ").map(|line| (line.replica(), line.ms())).collect();
        let seals: Vec<&Line> = self.saying(SEALED).collect();
        let is_excused = |n: usize| {
            let after = seals.get(n + UNDER_WAY).map_or(usize::MAX, |line| line.at);
            outages.iter().any(|outage| seals[n].at <= outage.to && after >= outage.from)
        };
        let (mut late, mut slowest_ms, mut count) = (Vec::new(), 0, 0);
        for n in (0..seals.len()).filter(|n| !is_excused(*n)) {
            count += 1;
            match acks.get(&seals[n].replica()) {
                Some(ms) => slowest_ms = slowest_ms.max(ms.saturating_sub(seals[n].ms())),
                None => late.push(seals[n].replica()),
            }
        }
        Punctuality { seals: count, late, slowest_ms }
    }

    fn saying(&self, what: &str) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(move |line| line.text.contains(what))
    }
}

impl Span {
    fn holds(self, at: usize) -> bool {
        self.from <= at && at < self.to
    }
}

impl Line {
    fn replica(&self) -> Replica {
        let field = |name: &str| {
            let found = self.text.split_whitespace().find_map(|word| word.strip_prefix(name));
            found.unwrap_or_default().to_owned()
        };
        (field("task="), field("attempt="))
    }

    /// Milliseconds of the day, by the laptop's own clock: `2026-11-24T01:26:39.815665Z DEBUG …`.
    fn ms(&self) -> u64 {
        let time = self.text.split(['T', 'Z']).nth(1).unwrap_or_default();
        let mut parts = time.split([':', '.']).map(|part| part.parse::<u64>().unwrap());
        let mut next = || parts.next().unwrap();
        let (h, m, s, us) = (next(), next(), next(), next());
        ((h * 60 + m) * 60 + s) * 1_000 + us / 1_000
    }
}
