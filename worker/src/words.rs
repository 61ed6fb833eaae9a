//! What the scheduler signed, kept for whoever may have to prove it: `words/HOUR.jsonl`, a word a line.
//! `quorate watch --words` reads the folder. `votes/HOUR.jsonl` has this worker's own votes, by which it is
//! paid when its scheduler is gone. Who lies is not looked at here.

use quorate_common::{clock::SystemClock, report::Chain};
use serde::Serialize;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
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
}

impl Words {
    pub(crate) fn at(dir: PathBuf) -> Self {
        Self { dir, open: None, failing: false }
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
            let file = OpenOptions::new().create(true).append(true).open(path)?;
            self.open = Some((hour, file));
        }
        Ok(&mut self.open.as_mut().expect("set a line ago").1)
    }
}

fn hour() -> u64 {
    SystemClock::start().now().unix_s() / 3600
}

/// Deletes hours that are too old, and the oldest while there are too many bytes.
fn sweep(dir: &Path, now: u64) -> io::Result<()> {
    let mut hours: Vec<(u64, PathBuf, u64)> = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        let hour = path.file_stem().and_then(|stem| stem.to_str()).and_then(|s| s.parse().ok());
        if let Some(hour) = hour {
            hours.push((hour, path, entry.metadata()?.len()));
        }
    }
    hours.sort_unstable();
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use quorate_common::{
        B256,
        frame::FrameProof,
        keys::Signature,
        messages::CommitAck,
        word::{Said, Word},
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
