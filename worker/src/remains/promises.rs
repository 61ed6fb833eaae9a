//! What was promised for tasks that were never settled, from the folders in which workers keep it: what the
//! scheduler signed (`words`), and their own votes (`votes`). A line that does not read, or that the pool's
//! signer has not signed, is passed over.

use super::Remains;
use quorate_chain::court::SignedSet;
use quorate_common::{
    B256,
    frame::FrameProof,
    ids::DealId,
    messages::{Assign, CommitAck},
    word::{KeptVote, Said, Word},
};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
};

/// Longest line: a word or a vote has under 2 KiB. The rest of a longer one is passed over.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// Unsettled tasks by their ids.
#[derive(Debug, Default)]
pub struct Promises(pub(super) BTreeMap<B256, Promised>);

/// What there is about one.
#[derive(Debug)]
pub(super) struct Promised {
    pub(super) deal: DealId,
    pub(super) task_idx: u32,
    pub(super) assigns: Vec<(Assign, FrameProof)>,
    pub(super) acks: Vec<(CommitAck, FrameProof)>,
    pub(super) sets: Vec<SignedSet>,
    pub(super) votes: Vec<KeptVote>,
}

impl Promises {
    /// Reads folders of words, and of votes. One that is not there has nothing in it.
    ///
    /// # Errors
    /// The disk's, with the file.
    pub fn read(
        remains: &Remains,
        words: &[PathBuf],
        votes: &[PathBuf],
    ) -> Result<Self, (PathBuf, io::Error)> {
        let mut promises = Self::default();
        // Only an assignment says which task of which deal an id is: so they come first.
        each_line(words, |line| promises.take_assign(remains, line))?;
        each_line(words, |line| promises.take_word(remains, line))?;
        each_line(votes, |line| promises.take_vote(line))?;
        Ok(promises)
    }

    /// How many tasks there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take_assign(&mut self, remains: &Remains, line: &[u8]) {
        let Some(Word { said: Said::Assign(assign), proof }) = word(line) else { return };
        let (deal, task_idx) = (assign.deal, assign.task_idx);
        let task_id = deal.task_id(task_idx);
        let is_open = self.0.contains_key(&task_id)
            || assign.pool == remains.pool && remains.unsettled(deal, task_idx).is_some();
        let word = Word { said: Said::Assign(assign.clone()), proof: proof.clone() };
        if !is_open || !is_signed(remains, &word) {
            return;
        }
        let empty = || Promised {
            deal,
            task_idx,
            assigns: Vec::new(),
            acks: Vec::new(),
            sets: Vec::new(),
            votes: Vec::new(),
        };
        let known = self.0.entry(task_id).or_insert_with(empty);
        if known.assigns.iter().all(|(other, _)| *other != assign) {
            known.assigns.push((assign, proof));
        }
    }

    fn take_word(&mut self, remains: &Remains, line: &[u8]) {
        let Some(word) = word(line) else { return };
        let Some(known) = self.0.get_mut(&word.said.task_id()) else { return };
        if matches!(word.said, Said::Assign(_)) || !is_signed(remains, &word) {
            return;
        }
        let Word { said, proof } = word;
        match said {
            Said::CommitAck(ack) if known.acks.iter().all(|(other, _)| *other != ack) => {
                known.acks.push((ack, proof));
            }
            Said::CommitSet(set) if known.sets.iter().all(|other| other.set != set) => {
                known.sets.push(SignedSet { set, proof });
            }
            Said::Assign(_) | Said::CommitAck(_) | Said::CommitSet(_) | Said::RevealAck(_) => {}
        }
    }

    fn take_vote(&mut self, line: &[u8]) {
        let Ok(vote) = serde_json::from_slice::<KeptVote>(line) else { return };
        let Some(known) = self.0.get_mut(&vote.reveal.task_id) else { return };
        if known.votes.iter().all(|other| *other != vote) {
            known.votes.push(vote);
        }
    }
}

impl Promised {
    /// The set that a vote was shown to.
    pub(super) fn set_of(&self, vote: &KeptVote) -> Option<&SignedSet> {
        let (attempt, root) = (vote.reveal.attempt, vote.reveal.set_root);
        self.sets.iter().find(|signed| signed.set.attempt == attempt && signed.set.root == root)
    }
}

fn word(line: &[u8]) -> Option<Word> {
    serde_json::from_slice(line).ok()
}

fn is_signed(remains: &Remains, word: &Word) -> bool {
    word.signer(&remains.settlement.separator()) == Some(remains.signer())
}

/// Every line of every `*.jsonl` of the folders.
fn each_line(dirs: &[PathBuf], mut take: impl FnMut(&[u8])) -> Result<(), (PathBuf, io::Error)> {
    for dir in dirs {
        let Ok(listed) = fs::read_dir(dir) else { continue };
        let mut files: Vec<PathBuf> = listed.flatten().map(|entry| entry.path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        files.sort();
        for path in files {
            lines_of(&path, &mut take).map_err(|error| (path, error))?;
        }
    }
    Ok(())
}

fn lines_of(path: &Path, take: &mut impl FnMut(&[u8])) -> io::Result<()> {
    let mut file = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        if file.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        take(&line);
    }
}
