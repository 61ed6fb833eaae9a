//! What the scheduler signed, kept for whoever may have to prove it: `words/HOUR.jsonl`, a word a line.
//! `quorate watch --words` reads the folder. `votes/HOUR.jsonl` has this worker's own votes, by which it is
//! paid when its scheduler is gone. Who lies is not looked at here.

use quorate_common::{clock::SystemClock, report::Chain, word::Word};
use serde::Serialize;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

/// Hours a word is kept. A pool that left a task is ended seven days after its deal's deadline at the
/// earliest; then votes are shown for a window (ten days at most) and three days. The rest is what deals of
/// three weeks need, and two days for whoever has to do it.
const KEPT_HOURS: u64 = (7 + 10 + 3 + 21 + 2) * 24;
/// Bytes of a folder: a million words. When there are more the oldest hours go.
const BYTES_MAX: u64 = 1 << 30;

/// The folder.
#[derive(Debug)]
pub(crate) struct Words {
    dir: PathBuf,
    /// The hour that is written, and its file.
    open: Option<(u64, File)>,
    /// Said once, until it works again.
    failing: bool,
    /// The acknowledgement with the highest count.
    newest: Option<Word>,
}

impl Words {
    /// The folder at `dir`, which may be missing.
    pub(crate) fn at(dir: PathBuf) -> Self {
        let newest = newest_in(&dir).unwrap_or_else(|error| {
            let dir = dir.display();
            tracing::error!(error = %Chain(&error), "the scheduler's words cannot be read in {dir}");
            None
        });
        Self { dir, open: None, failing: false, newest }
    }

    /// The acknowledgement with the highest count: shows a scheduler that was set back that it was.
    pub(crate) fn newest(&self) -> Option<&Word> {
        self.newest.as_ref()
    }

    /// Keeps a word of the scheduler.
    pub(crate) fn hear(&mut self, word: &Word) {
        if count(word) > self.newest.as_ref().and_then(count) {
            self.newest = Some(word.clone());
        }
        self.keep(word);
    }

    /// Keeps a word or a vote. A disk that fails costs a proof, not a vote: the worker goes on.
    pub(crate) fn keep(&mut self, word: &impl Serialize) {
        let kept = self.append(hour(), word);
        if let Err(error) = &kept
            && !self.failing
        {
            let dir = self.dir.display();
            tracing::error!(error = %Chain(error), "what may have to be shown cannot be kept in {dir}");
        }
        if kept.is_err() {
            // What is half written ends its line when the file is opened again.
            self.open = None;
        }
        self.failing = kept.is_err();
    }

    fn append(&mut self, hour: u64, word: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(word)?;
        line.push(b'\n');
        self.file(hour)?.write_all(&line)
    }

    fn file(&mut self, hour: u64) -> io::Result<&mut File> {
        if self.open.as_ref().is_none_or(|(open, _)| *open != hour) {
            fs::create_dir_all(&self.dir)?;
            sweep(&self.dir, hour)?;
            let path = self.dir.join(format!("{hour}.jsonl"));
            self.open = Some((hour, reopen(&path)?));
        }
        Ok(&mut self.open.as_mut().expect("set a line ago").1)
    }
}

/// Opens a file behind its last line. Half a line, of a disk that was full, would spoil the next word too.
fn reopen(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
    if file.metadata()?.len() > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

/// A word's place among the pool's acknowledgements.
fn count(word: &Word) -> Option<u64> {
    word.acknowledged().map(|(_, seq)| seq)
}

/// The highest count in the last hour that has an acknowledgement: counts only grow, hours as well.
fn newest_in(dir: &Path) -> io::Result<Option<Word>> {
    if !dir.is_dir() {
        return Ok(None);
    }
    let mut hours = hours(dir)?;
    hours.reverse();
    for (_, path, _) in hours {
        let lines = BufReader::new(File::open(path)?).lines();
        // The last line may be half a word: the program was killed.
        let words = lines.map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok());
        let newest = words.filter(|word| count(word).is_some()).max_by_key(count);
        if newest.is_some() {
            return Ok(newest);
        }
    }
    Ok(None)
}

fn hour() -> u64 {
    SystemClock::start().now().unix_s() / 3600
}

/// Deletes hours that are too old, and the oldest while there are too many bytes.
fn sweep(dir: &Path, now: u64) -> io::Result<()> {
    let hours = hours(dir)?;
    let mut bytes: u64 = hours.iter().map(|(.., length)| length).sum();
    for (hour, path, length) in hours {
        if hour + KEPT_HOURS >= now && bytes <= BYTES_MAX {
            break;
        }
        fs::remove_file(path)?;
        bytes -= length;
    }
    Ok(())
}

/// Every hour with its file and that file's bytes, oldest first.
fn hours(dir: &Path) -> io::Result<Vec<(u64, PathBuf, u64)>> {
    let mut hours = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        let hour = path.file_stem().and_then(|stem| stem.to_str()).and_then(|s| s.parse().ok());
        if let Some(hour) = hour {
            hours.push((hour, path, entry.metadata()?.len()));
        }
    }
    hours.sort_unstable();
    Ok(hours)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use quorate_common::{
        B256,
        frame::FrameProof,
        keys::Signature,
        messages::{CommitAck, CommitSet},
        word::Said,
    };

    fn word(seq: u64) -> Word {
        let signature = Signature { r: B256::ZERO, vs: B256::ZERO };
        let proof = FrameProof { index: 0, count: 1, path: Vec::new(), signature };
        Word { said: Said::CommitAck(CommitAck { seq, ..CommitAck::default() }), proof }
    }

    fn names(dir: &Path) -> Vec<String> {
        let name =
            |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<String> = fs::read_dir(dir).unwrap().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn words_are_read_back_in_order_and_old_hours_go() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("notes.txt"), "the owner's").unwrap();
        let mut words = Words::at(dir.path().into());
        for (hour, seq) in [(1_000, 1), (1_000, 2), (1_001, 3)] {
            words.append(hour, &word(seq)).unwrap();
        }
        let text = fs::read_to_string(dir.path().join("1000.jsonl")).unwrap();
        let read: Vec<Word> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read, [word(1), word(2)]);
        words.append(1_001 + KEPT_HOURS, &word(4)).unwrap();
        assert_eq!(names(dir.path()), ["1001.jsonl", "2033.jsonl", "notes.txt"]);
    }

    #[test]
    fn the_newest_acknowledgement_is_known_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut words = Words::at(dir.path().join("none yet"));
        assert_eq!(words.newest(), None);
        words.hear(&word(9));
        words.hear(&word(3));
        assert_eq!(words.newest(), Some(&word(9)));
        let set = Word { said: Said::CommitSet(CommitSet::default()), ..word(0) };
        for (hour, word) in [(1_000, word(5)), (1_001, word(8)), (1_001, word(7)), (1_002, set)] {
            words.append(hour, &word).unwrap();
        }
        let dir = dir.path().join("none yet");
        fs::OpenOptions::new()
            .append(true)
            .open(dir.join("1001.jsonl"))
            .unwrap()
            .write_all(b"{\"sa")
            .unwrap();
        fs::remove_file(dir.join(format!("{}.jsonl", hour()))).unwrap();
        let mut words = Words::at(dir.clone());
        assert_eq!(words.newest(), Some(&word(8)));
        // The half line costs no other word.
        words.append(1_001, &word(12)).unwrap();
        assert_eq!(Words::at(dir).newest(), Some(&word(12)));
    }

    #[test]
    fn a_full_folder_loses_its_oldest_hours() {
        let dir = tempfile::tempdir().unwrap();
        for hour in [10_u64, 11, 12] {
            let file = File::create(dir.path().join(format!("{hour}.jsonl"))).unwrap();
            file.set_len(BYTES_MAX / 2).unwrap();
        }
        sweep(dir.path(), 13).unwrap();
        assert_eq!(names(dir.path()), ["11.jsonl", "12.jsonl"]);
    }
}
