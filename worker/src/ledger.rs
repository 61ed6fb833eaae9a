//! What every task brought: price, pay, score, processor time; a line each when it is settled, for its owner.
//!
//! `ledger/tasks-N.jsonl` is written until it is full, then summed up by the day into `ledger/days.json` and kept
//! until the next one is full. A line is written before the store forgets the task, so a crash between the two
//! writes it twice, and a reader counts it once. Like the store it survives the death of the program, and a loss of
//! power costs what the system had not written yet. Nothing is written while nothing is settled.

use quorate_agent::Settlement;
use quorate_common::{B256, digest::Digest, ids::TaskKey};
use quorate_senses::calendar;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// The folder's name, in the worker's folder.
pub(crate) const DIR: &str = "ledger";
const DAYS: &str = "days.json";
/// Bytes of a file of lines: some ten thousand tasks, read in some ten milliseconds.
const FILE_BYTES: u64 = 4 << 20;
/// Days that are kept: a tax year, and what is needed to look back at it.
const DAYS_MAX: usize = 800;

/// A settled task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// Unix milliseconds.
    pub(crate) at_ms: u64,
    pub(crate) task: TaskKey,
    pub(crate) attempt: u16,
    /// What the contract and every signed word call it.
    pub(crate) task_id: B256,
    pub(crate) app: Digest,
    /// Token units the deal pays for the task: all who agree share it.
    pub(crate) price: u128,
    /// 1 Consensus, 2 NoQuorum, 3 Expired.
    pub(crate) outcome: u8,
    pub(crate) earned: u128,
    pub(crate) slashed: u128,
    /// The worker's score after it.
    pub(crate) score: u32,
    /// Processor time of all runs since the line before.
    pub(crate) core_ms: u64,
}

/// Lines, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sums {
    pub(crate) tasks: u64,
    pub(crate) earned: u128,
    pub(crate) slashed: u128,
    pub(crate) core_ms: u64,
    /// After the last of them.
    pub(crate) score: u32,
}

/// What is summed up: files up to number `folded`, by the day of this machine's calendar.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Days {
    folded: u64,
    days: BTreeMap<String, Sums>,
}

/// Everything a ledger tells.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    /// By the day, as `2026-11-23`.
    pub(crate) days: BTreeMap<String, Sums>,
    /// The last lines, oldest first.
    pub(crate) recent: Vec<Line>,
}

/// A ledger that is written.
#[derive(Debug)]
pub(crate) struct Ledger {
    dir: PathBuf,
    open: Option<(File, u64, u64)>,
    /// Said once, until it works again.
    failing: bool,
}

impl Line {
    pub(crate) fn of(settlement: &Settlement, at_ms: u64, core_ms: u64) -> Self {
        let Settlement { task_id, attempt, app, price, item } = settlement;
        Self {
            at_ms,
            task: item.task,
            attempt: *attempt,
            task_id: *task_id,
            app: *app,
            price: *price,
            outcome: item.outcome,
            earned: item.earned,
            slashed: item.slashed,
            score: item.score,
            core_ms,
        }
    }
}

impl Sums {
    fn add(&mut self, line: &Line) {
        self.tasks += 1;
        self.earned = self.earned.saturating_add(line.earned);
        self.slashed = self.slashed.saturating_add(line.slashed);
        self.core_ms = self.core_ms.saturating_add(line.core_ms);
        self.score = line.score;
    }

    /// Of this and a later time.
    pub(crate) fn and(self, later: &Self) -> Self {
        Self {
            tasks: self.tasks + later.tasks,
            earned: self.earned.saturating_add(later.earned),
            slashed: self.slashed.saturating_add(later.slashed),
            core_ms: self.core_ms.saturating_add(later.core_ms),
            score: later.score,
        }
    }
}

impl Book {
    /// Token units of all days before this one.
    pub(crate) fn earned_before(&self, day: &str) -> u128 {
        let before = self.days.range(..day.to_owned());
        before.fold(0, |sum, (_, day)| sum.saturating_add(day.earned))
    }

    /// Of the days whose name begins so: `2026-11-23`, or `2026-11`.
    pub(crate) fn of(&self, time: &str) -> Sums {
        let days = self.days.iter().filter(|(day, _)| day.starts_with(time));
        days.fold(Sums::default(), |sums, (_, day)| sums.and(day))
    }
}

impl Ledger {
    /// The ledger below `data_dir`, which may be missing.
    pub(crate) fn within(data_dir: &Path) -> Self {
        Self { dir: data_dir.join(DIR), open: None, failing: false }
    }

    /// Adds lines. A disk that fails costs a figure, not a vote: the worker goes on.
    pub(crate) fn write(&mut self, lines: &[Line]) {
        if lines.is_empty() {
            return;
        }
        let written = self.append(lines);
        if let Err(error) = &written
            && !self.failing
        {
            tracing::error!(%error, dir = %self.dir.display(), "what tasks brought cannot be kept");
        }
        if written.is_err() {
            // What is half written ends its line when the file is opened again.
            self.open = None;
        }
        self.failing = written.is_err();
    }

    fn append(&mut self, lines: &[Line]) -> io::Result<()> {
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line)?;
            text.push(b'\n');
        }
        let (file, number, bytes) = match self.open.take() {
            Some(open) => open,
            None => open_last(&self.dir)?,
        };
        (&file).write_all(&text)?;
        let bytes = bytes + text.len() as u64;
        if bytes < FILE_BYTES {
            self.open = Some((file, number, bytes));
            return Ok(());
        }
        file.sync_all()?;
        fold(&self.dir, number)
    }
}

/// Reads what is there; a line that was cut short is none.
pub(crate) fn read(data_dir: &Path) -> io::Result<Book> {
    let dir = data_dir.join(DIR);
    let Days { folded, mut days } = read_days(&dir)?;
    let (mut seen, mut recent) = (BTreeSet::new(), Vec::new());
    for number in [folded, folded + 1] {
        for line in lines(&dir, number)? {
            if !seen.insert((line.task_id, line.attempt)) {
                continue;
            }
            if number > folded {
                days.entry(calendar::day(line.at_ms)).or_default().add(&line);
            }
            recent.push(line);
        }
    }
    Ok(Book { days, recent })
}

/// The file that is not full, at its end.
fn open_last(dir: &Path) -> io::Result<(File, u64, u64)> {
    fs::create_dir_all(dir)?;
    let number = read_days(dir)?.folded + 1;
    let mut file = OpenOptions::new().create(true).append(true).open(place(dir, number))?;
    let bytes = file.metadata()?.len();
    if bytes > 0 && !fs::read(place(dir, number))?.ends_with(b"\n") {
        file.write_all(b"\n")?;
    }
    Ok((file, number, bytes))
}

/// Sums up a full file, for good, and lets the one before it go.
fn fold(dir: &Path, number: u64) -> io::Result<()> {
    let Days { mut days, .. } = read_days(dir)?;
    let mut seen = BTreeSet::new();
    let before = lines(dir, number - 1)?;
    seen.extend(before.iter().map(|line| (line.task_id, line.attempt)));
    for line in lines(dir, number)? {
        if seen.insert((line.task_id, line.attempt)) {
            days.entry(calendar::day(line.at_ms)).or_default().add(&line);
        }
    }
    while days.len() > DAYS_MAX {
        days.pop_first();
    }
    let temporary = dir.join("days.json.tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(&serde_json::to_vec(&Days { folded: number, days })?)?;
    file.sync_all()?;
    fs::rename(temporary, dir.join(DAYS))?;
    drop(fs::remove_file(place(dir, number - 1)));
    Ok(())
}

fn read_days(dir: &Path) -> io::Result<Days> {
    match fs::read(dir.join(DAYS)) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Days::default()),
        Err(error) => Err(error),
    }
}

fn lines(dir: &Path, number: u64) -> io::Result<Vec<Line>> {
    let text = match fs::read_to_string(place(dir, number)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text?,
    };
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

fn place(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("tasks-{number}.jsonl"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use quorate_common::ids::DealSlot;

    const DAY_MS: u64 = 86_400_000;
    const AT: u64 = 1_763_900_000_000;

    fn line(idx: u32, at_ms: u64) -> Line {
        let mut task_id = [0; 32];
        task_id[..4].copy_from_slice(&idx.to_be_bytes());
        Line {
            at_ms,
            task: TaskKey { deal: DealSlot(0), idx },
            attempt: 0,
            task_id: B256::new(task_id),
            app: Digest::default(),
            price: 30,
            outcome: 1,
            earned: u128::from(u64::MAX) * 3,
            slashed: 1,
            score: idx,
            core_ms: 5,
        }
    }

    #[test]
    fn days_add_up_and_a_line_twice_is_one() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(dir.path()).unwrap().days.is_empty());
        let mut ledger = Ledger::within(dir.path());
        ledger.write(&[line(1, AT), line(2, AT)]);
        drop(ledger);
        // The program was killed within a line, and says the second task again.
        let file = dir.path().join(DIR).join("tasks-1.jsonl");
        OpenOptions::new().append(true).open(&file).unwrap().write_all(b"{\"at_ms\":1,").unwrap();
        let mut ledger = Ledger::within(dir.path());
        ledger.write(&[line(2, AT), line(3, AT + DAY_MS)]);
        let book = read(dir.path()).unwrap();
        let today = book.of(&calendar::day(AT));
        assert_eq!((today.tasks, today.earned, today.score), (2, u128::from(u64::MAX) * 6, 2));
        assert_eq!(book.of(&calendar::day(AT + DAY_MS)).tasks, 1);
        assert_eq!(book.of("20").core_ms, 15);
        assert_eq!(book.recent.len(), 3);
    }

    #[test]
    fn a_full_file_is_summed_up_and_the_one_before_goes() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::within(dir.path());
        let many: Vec<Line> = (0..3_000).map(|idx| line(idx, AT)).collect();
        let mut total = 0;
        while !dir.path().join(DIR).join("tasks-3.jsonl").exists() {
            let from = total;
            total += 3_000;
            let shift = |line: &Line| self::line(line.task.idx + from, AT);
            ledger.write(&many.iter().map(shift).collect::<Vec<_>>());
            assert!(total < 200_000, "it never folds");
        }
        let names = |name: &str| dir.path().join(DIR).join(name).exists();
        assert!(names("tasks-2.jsonl") && !names("tasks-1.jsonl"));
        let book = read(dir.path()).unwrap();
        assert_eq!(book.of("20").tasks, u64::from(total));
        let bytes: u64 = fs::read_dir(dir.path().join(DIR))
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        assert!(bytes < 3 * FILE_BYTES, "{bytes}");
    }
}
