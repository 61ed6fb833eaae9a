//! Words of a pool's scheduler that somebody has kept: acknowledgements, sets, assignments and headers,
//! a JSON line each, in the `*.jsonl` files of the folders given with `--words`. Only what the pool's
//! signer has signed counts; everything else in a file is passed over.

use super::brief::Committed;
use quorate_chain::{
    B256,
    court::{Court, Leaf, Proof, SignedSet},
};
use quorate_common::{
    Address,
    accounts::votes_bytes,
    exit::Failure,
    frame::FrameProof,
    ids::PoolId,
    keys::recover,
    messages::{Assign, CommitSet, Message as _, RevealAck, Separator},
    word::{Said, Word},
};
use quorate_grid::evidence::TaskEvidence;
use quorate_scheduler::http::batches::SealedBatch;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

/// Words kept in memory for one pool, a kilobyte each: those of 50,000 tasks in three replicas.
const WORDS_MAX: usize = 400_000;
/// Longest line: a word has under 2 KiB, the signatures of a whole batch some 500.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// The words about one pool.
#[derive(Debug)]
pub(super) struct Words {
    dirs: Vec<PathBuf>,
    pool: PoolId,
    separator: Separator,
    /// How far each file was read.
    read: BTreeMap<PathBuf, u64>,
    by_task: BTreeMap<B256, Vec<Word>>,
    count: usize,
    /// Headers somebody has kept.
    headers: Vec<SealedBatch>,
    full: bool,
}

/// What was new at a look.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    /// Tasks with new words.
    pub(super) tasks: BTreeSet<B256>,
    /// New headers.
    pub(super) headers: Vec<SealedBatch>,
}

impl Words {
    pub(super) fn new(dirs: Vec<PathBuf>, pool: PoolId, separator: Separator) -> Self {
        Self {
            dirs,
            pool,
            separator,
            read: BTreeMap::new(),
            by_task: BTreeMap::new(),
            count: 0,
            headers: Vec::new(),
            full: false,
        }
    }

    /// Reads what has come since the last look.
    pub(super) fn look(&mut self, signer: Address) -> Result<Fresh, Failure> {
        let mut fresh = Fresh::default();
        for dir in self.dirs.clone() {
            // A worker may not have made its folder yet.
            let Ok(listed) = fs::read_dir(&dir) else { continue };
            for path in listed.flatten().map(|entry| entry.path()) {
                if path.extension().is_some_and(|extension| extension == "jsonl") {
                    self.read_on(&path, signer, &mut fresh)?;
                }
            }
        }
        Ok(fresh)
    }

    fn read_on(&mut self, path: &Path, signer: Address, fresh: &mut Fresh) -> Result<(), Failure> {
        let failed = |error: &std::io::Error| crate::failure::file("read", path, error);
        let from = self.read.get(path).copied().unwrap_or(0);
        let length = fs::metadata(path).map_err(|error| failed(&error))?.len();
        if length <= from {
            return Ok(());
        }
        let mut file = File::open(path).map_err(|error| failed(&error))?;
        file.seek(SeekFrom::Start(from)).map_err(|error| failed(&error))?;
        let (mut lines, mut at) = (BufReader::new(file), from);
        loop {
            let mut line = Vec::new();
            let mut next = lines.by_ref().take(LINE_BYTES_MAX);
            let bytes = next.read_until(b'\n', &mut line).map_err(|error| failed(&error))?;
            // Half a line is still being written.
            if bytes == 0 || (!line.ends_with(b"\n") && (bytes as u64) < LINE_BYTES_MAX) {
                break;
            }
            at += bytes as u64;
            self.take(&line, signer, fresh);
        }
        self.read.insert(path.to_owned(), at);
        Ok(())
    }

    /// Takes a word that was not in a file. Whether it was new, and the signer's.
    pub(super) fn hear(&mut self, word: Word, signer: Address) -> bool {
        self.is_ours(&word, signer) && self.insert(word)
    }

    fn take(&mut self, line: &[u8], signer: Address, fresh: &mut Fresh) {
        if let Ok(word) = serde_json::from_slice::<Word>(line) {
            let task_id = word.said.task_id();
            if self.hear(word, signer) {
                fresh.tasks.insert(task_id);
            }
        } else if let Ok(sealed) = serde_json::from_slice::<SealedBatch>(line) {
            let digest = self.separator.digest(sealed.header.struct_hash());
            let signed = recover(digest, &sealed.seal.header) == Some(signer);
            let new = !self.headers.iter().any(|known| known.header == sealed.header);
            if signed && new && sealed.header.pool == self.pool {
                self.headers.push(sealed.clone());
                fresh.headers.push(sealed);
            }
        }
    }

    fn is_ours(&self, word: &Word, signer: Address) -> bool {
        pool_of(&word.said) == self.pool && word.signer(&self.separator) == Some(signer)
    }

    fn insert(&mut self, word: Word) -> bool {
        if self.count >= WORDS_MAX {
            if !std::mem::replace(&mut self.full, true) {
                tracing::warn!(pool = %self.pool, "more than {WORDS_MAX} words: later ones are not read; give --words a folder of fewer tasks");
            }
            return false;
        }
        let known = self.by_task.entry(word.said.task_id()).or_default();
        // Said twice in other frames, it is still one word.
        if known.iter().any(|other| other.said == word.said) {
            return false;
        }
        known.push(word);
        self.count += 1;
        true
    }

    /// The words about a task.
    pub(super) fn about(&self, task_id: B256) -> &[Word] {
        self.by_task.get(&task_id).map_or(&[], Vec::as_slice)
    }

    /// What some of a task's words prove against each other, whatever becomes of the task.
    pub(super) fn contradictions(&self, court: &Court, task_id: B256) -> Vec<Proof> {
        let words = self.about(task_id);
        let sets: Vec<SignedSet> = words.iter().filter_map(signed_set).collect();
        let assigns: Vec<_> = words.iter().filter_map(assign).collect();
        let sets = pairs(&sets).filter(|(a, b)| are_two_sets(&a.set, &b.set));
        let sets = sets.map(|(a, b)| court.two_sets(a, b));
        let assigns = pairs(&assigns).filter(|(a, b)| are_two_assigns(a.0, b.0));
        let assigns = assigns.map(|(a, b)| court.two_assigns(*a, *b));
        sets.chain(assigns).chain(self.short_sets(court, task_id)).collect()
    }

    /// Sets that end before an assignment of their round.
    fn short_sets(&self, court: &Court, task_id: B256) -> Vec<Proof> {
        let words = self.about(task_id);
        let sets: Vec<SignedSet> = words.iter().filter_map(signed_set).collect();
        let assigns = words.iter().filter_map(assign);
        let short = |(assign, proof): (&Assign, &FrameProof)| {
            let ends_first = sets.iter().find(|signed| {
                let same = signed.set.attempt == assign.attempt;
                same && signed.set.reveal_deadline < assign.reveal_deadline
            });
            ends_first.map(|signed| court.short_set((assign, proof), signed))
        };
        assigns.filter_map(short).collect()
    }

    /// What a task's words prove against what its batch shows of it.
    pub(super) fn against(
        &self,
        court: &Court,
        batch: &Committed,
        leaf: &Leaf<'_>,
        task: &TaskEvidence,
    ) -> Vec<Proof> {
        let task_id = task.rec.deal_id.task_id(task.rec.task_idx);
        let roots: Vec<B256> = task.sets.iter().map(|set| set.root).collect();
        let votes = votes_bytes(&roots, &task.votes);
        let filing = batch.filing();
        let words = self.about(task_id).iter();
        let lies = words.filter(|word| !agrees(&self.separator, self.pool, &word.said, task));
        lies.filter_map(|word| match &word.said {
            Said::CommitAck(ack) => {
                Some(court.commit_omitted(&filing, leaf, &votes, (ack, &word.proof)))
            }
            Said::RevealAck(ack) => {
                Some(court.reveal_omitted(&filing, leaf, &votes, (ack, &word.proof)))
            }
            Said::CommitSet(_) => Some(court.set_denied(&filing, leaf, &votes, &signed_set(word)?)),
            Said::Assign(_) => None,
        })
        .collect()
    }

    /// Signed sets of a task's round.
    pub(super) fn sets(&self, task_id: B256, attempt: u16) -> Vec<SignedSet> {
        let sets = self.about(task_id).iter().filter_map(signed_set);
        sets.filter(|signed| signed.set.attempt == attempt).collect()
    }

    /// Acknowledged reveals of a task.
    pub(super) fn reveals(&self, task_id: B256) -> Vec<(&RevealAck, &FrameProof)> {
        let acks = self.about(task_id).iter().filter_map(|word| match &word.said {
            Said::RevealAck(ack) => Some((ack, &word.proof)),
            Said::Assign(_) | Said::CommitAck(_) | Said::CommitSet(_) => None,
        });
        acks.collect()
    }

    /// Assignments of a task.
    pub(super) fn assigns(&self, task_id: B256) -> Vec<(&Assign, &FrameProof)> {
        self.about(task_id).iter().filter_map(assign).collect()
    }
}

fn pool_of(said: &Said) -> PoolId {
    match said {
        Said::Assign(message) => message.pool,
        Said::CommitAck(message) => message.pool,
        Said::CommitSet(message) => message.pool,
        Said::RevealAck(message) => message.pool,
    }
}

fn signed_set(word: &Word) -> Option<SignedSet> {
    let Said::CommitSet(set) = &word.said else { return None };
    Some(SignedSet { set: set.clone(), proof: word.proof.clone() })
}

fn assign(word: &Word) -> Option<(&Assign, &FrameProof)> {
    let Said::Assign(assign) = &word.said else { return None };
    Some((assign, &word.proof))
}

/// Signed again with a later deadline it is the same set.
fn are_two_sets(a: &CommitSet, b: &CommitSet) -> bool {
    a.attempt == b.attempt && (a.root != b.root || a.n != b.n)
}

fn are_two_assigns(a: &Assign, b: &Assign) -> bool {
    let same = a.deal == b.deal && a.task_idx == b.task_idx && a.worker == b.worker;
    same && a.attempt == b.attempt && a != b
}

fn pairs<T>(all: &[T]) -> impl Iterator<Item = (&T, &T)> {
    all.iter().enumerate().flat_map(|(at, a)| all[at + 1..].iter().map(move |b| (a, b)))
}

/// Whether a word is kept by what the batch shows. Only saves asking: the Court decides.
fn agrees(separator: &Separator, pool: PoolId, said: &Said, task: &TaskEvidence) -> bool {
    let task_id = said.task_id();
    let vote = |worker: u32| task.votes.iter().find(|vote| vote.worker == worker);
    match said {
        Said::Assign(_) => true,
        Said::CommitSet(set) => {
            let held = task.votes.iter().filter(|vote| vote.attempt <= set.attempt).count();
            let frozen = task.sets.get(usize::from(set.attempt));
            frozen.is_some_and(|frozen| frozen.root == set.root) && held == usize::from(set.n)
        }
        Said::CommitAck(ack) => {
            let waiting = usize::from(ack.attempt) >= task.sets.len();
            waiting
                || vote(ack.worker.0).is_some_and(|vote| {
                    let open = || {
                        let (attempt, digest) = (vote.attempt, vote.digest);
                        separator.commitment(task_id, attempt, ack.worker, digest, vote.salt)
                    };
                    let shown = if vote.digest.is_zero() { vote.salt } else { open() };
                    shown == ack.commitment
                })
        }
        Said::RevealAck(ack) => {
            let waiting = usize::from(ack.attempt) >= task.sets.len();
            waiting
                || vote(ack.worker.0).is_some_and(|vote| {
                    vote_hash(pool, task_id, task, vote).is_some_and(|hash| hash == ack.vote_hash)
                })
        }
    }
}

/// The struct hash of a shown vote; nothing if it is shown as never revealed.
fn vote_hash(
    pool: PoolId,
    task_id: B256,
    task: &TaskEvidence,
    vote: &quorate_common::accounts::Vote,
) -> Option<B256> {
    let set_root = task.sets.get(usize::from(vote.attempt))?.root;
    let (attempt, digest, salt) = (vote.attempt, vote.digest, vote.salt);
    let reveal =
        quorate_common::messages::Reveal { pool, task_id, attempt, set_root, digest, salt };
    (!digest.is_zero()).then(|| reveal.struct_hash())
}
