//! A worker that signs for real and computes nothing: what it would report is part of its character.

use alloy_primitives::{Address, B256, keccak256};
use quorate_common::{
    digest::Digest,
    frame,
    ids::{DealId, DealSlot, PoolId, TaskKey, WorkerIdx},
    keys::{Signature, VoteKey},
    messages::Separator,
    wire::{CommitItem, CommitSetItem, GaveUp, GiveUpReason, Inline, RevealItem, Votes},
};
use quorate_grid::{effect::ToSession, input::SessionId};
use std::collections::BTreeMap;

/// What a worker does with what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Finds `right`.
    Honest,
    /// Finds something of its own.
    Liar,
    /// Finds the same wrong thing as all its kind.
    Colluder,
    /// Commits to `right` and never reveals.
    Mute,
    /// Works until told to finish.
    Slow,
    /// Gives everything back.
    Quitter,
    /// Gives back what is of deal 0, which it says is none of its, and is honest otherwise.
    Choosy(GiveUpReason),
}

/// How far it is with a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Working,
    Committed { acked: bool },
    Revealed { set_root: B256, acked: bool },
}

/// A replica it has.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) attempt: u16,
    pub(crate) result: String,
    pub(crate) salt: B256,
    pub(crate) stage: Stage,
}

/// A worker.
#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) worker: WorkerIdx,
    pub(crate) owner: Address,
    pub(crate) key: VoteKey,
    pub(crate) node_key: B256,
    pub(crate) slots: u16,
    pub(crate) net: Option<u64>,
    pub(crate) habit: Habit,
    /// Whether results are small enough to come with the reveal.
    pub(crate) inline: bool,
    /// What it runs tasks with.
    pub(crate) engine: Digest,
    /// The least unit price it works for.
    pub(crate) ask: u128,
    /// Whether it brings the bytes it is asked for.
    pub(crate) brings: bool,
    pub(crate) session: Option<SessionId>,
    pub(crate) deals: BTreeMap<DealSlot, DealId>,
    pub(crate) held: BTreeMap<TaskKey, Held>,
    pub(crate) commits: Vec<CommitItem>,
    pub(crate) reveals: Vec<RevealItem>,
    pub(crate) gave_up: Vec<GaveUp>,
    pub(crate) uploads: Vec<(TaskKey, Digest)>,
    /// Whether it ever committed to nothing, so that sets may hold that.
    pub(crate) raves: bool,
    salts: u64,
}

/// The bytes of a result are its name.
pub(crate) fn digest_of(result: &str) -> Digest {
    Digest::of(result.as_bytes())
}

impl Fake {
    pub(crate) fn new(idx: u32, owner: u8, habit: Habit) -> Self {
        let mut secret = [0x11; 32];
        secret[28..].copy_from_slice(&idx.to_be_bytes());
        Self {
            worker: WorkerIdx(idx),
            owner: Address::repeat_byte(owner),
            key: VoteKey::from_bytes(&secret).unwrap(),
            node_key: keccak256(secret),
            slots: 1,
            net: None,
            habit,
            inline: true,
            engine: Digest::ZERO,
            ask: 0,
            brings: true,
            session: None,
            deals: BTreeMap::new(),
            held: BTreeMap::new(),
            commits: Vec::new(),
            reveals: Vec::new(),
            gave_up: Vec::new(),
            uploads: Vec::new(),
            raves: false,
            salts: 0,
        }
    }

    /// One of an owner of its own that runs tasks with a certain engine.
    pub(crate) fn with_engine(idx: u32, engine: &str, habit: Habit) -> Self {
        let engine = digest_of(engine);
        Self { engine, ..Self::new(idx, u8::try_from(idx).unwrap(), habit) }
    }

    /// Takes a message of the scheduler.
    pub(crate) fn hear(&mut self, separator: &Separator, message: &ToSession) {
        match message {
            ToSession::Deal(info) => {
                self.deals.insert(info.slot, info.id);
            }
            ToSession::Assign(item) => self.assigned(separator, item.task, item.attempt),
            ToSession::CommitAck(item) => {
                if let Some(Held { stage: Stage::Committed { acked }, .. }) =
                    self.held.get_mut(&item.task)
                {
                    *acked = true;
                }
            }
            ToSession::Set(item) => self.shown(separator, item),
            ToSession::RevealAck(item) => {
                if let Some(Held { stage: Stage::Revealed { acked, .. }, .. }) =
                    self.held.get_mut(&item.task)
                {
                    *acked = true;
                }
            }
            ToSession::Cancel(task, _) => {
                self.held.remove(task);
            }
            ToSession::Settled(item) => {
                self.held.remove(&item.task);
            }
            ToSession::Fetch(task, digest) => {
                if self.brings {
                    self.uploads.push((*task, *digest));
                }
            }
            ToSession::Welcome { .. } | ToSession::Goodbye(_) => {}
        }
    }

    /// Finishes what it works on.
    pub(crate) fn finish(&mut self, separator: &Separator, task: TaskKey, result: &str) {
        let held = self.held.get_mut(&task).unwrap();
        held.result = result.into();
        held.stage = Stage::Committed { acked: false };
        self.say_commit(separator, task);
    }

    /// Says once more what was not acknowledged: after a reconnection, or a while.
    pub(crate) fn repeat(&mut self, separator: &Separator) {
        let stages: Vec<_> = self.held.iter().map(|(task, held)| (*task, held.stage)).collect();
        for (task, stage) in stages {
            match stage {
                Stage::Committed { acked: false } => self.say_commit(separator, task),
                Stage::Revealed { set_root, acked: false } => self.say_reveal(task, set_root),
                Stage::Working | Stage::Committed { .. } | Stage::Revealed { .. } => {}
            }
        }
    }

    /// What it still has, for its hello.
    pub(crate) fn holding(&self) -> Vec<(TaskKey, u16)> {
        let sealed = |held: &&Held| !matches!(held.stage, Stage::Revealed { .. });
        let held = self.held.iter().filter(|(_, held)| sealed(held));
        held.map(|(task, held)| (*task, held.attempt)).collect()
    }

    /// Everything it has to say, signed as one frame.
    pub(crate) fn frame(&mut self, separator: &Separator, pool: PoolId) -> Option<Votes> {
        if self.commits.is_empty() && self.reveals.is_empty() {
            return None;
        }
        let (commits, reveals) =
            (std::mem::take(&mut self.commits), std::mem::take(&mut self.reveals));
        let zero = Signature { r: B256::ZERO, vs: B256::ZERO };
        let mut votes = Votes { commits, reveals, signature: zero };
        let hashes = votes.hashes(pool, |task| self.deals.get(&task.deal).copied()).unwrap();
        votes.signature = frame::sign(&self.key, separator, &hashes);
        Some(votes)
    }

    pub(crate) fn say_commit(&mut self, separator: &Separator, task: TaskKey) {
        let (attempt, commitment) = (self.held[&task].attempt, self.commitment(separator, task));
        self.commits.push(CommitItem { task, attempt, commitment });
    }

    pub(crate) fn say_reveal(&mut self, task: TaskKey, set_root: B256) {
        let Held { attempt, result, salt, .. } = self.held[&task].clone();
        let digest = digest_of(&result);
        let inline = self.inline.then(|| Inline { blobs: vec![result.into_bytes()] });
        self.reveals.push(RevealItem { task, attempt, set_root, digest, salt, inline });
    }

    pub(crate) fn commitment(&self, separator: &Separator, task: TaskKey) -> B256 {
        let held = &self.held[&task];
        let task_id = self.deals[&task.deal].task_id(task.idx);
        let digest = digest_of(&held.result).word();
        separator.commitment(task_id, held.attempt, self.worker, digest, held.salt)
    }

    fn assigned(&mut self, separator: &Separator, task: TaskKey, attempt: u16) {
        if self.habit == Habit::Quitter {
            self.gave_up.push(GaveUp { task, attempt, reason: GiveUpReason::Leaving });
            return;
        }
        if let Habit::Choosy(reason) = self.habit
            && task.deal == DealSlot(0)
        {
            self.gave_up.push(GaveUp { task, attempt, reason });
            return;
        }
        let known = self.held.get(&task).is_some_and(|held| held.attempt == attempt);
        if known || !self.deals.contains_key(&task.deal) {
            return;
        }
        self.salts += 1;
        let salt = keccak256(
            [self.node_key.0, B256::from(alloy_primitives::U256::from(self.salts)).0].concat(),
        );
        let result = match self.habit {
            Habit::Liar => format!("lie of {}", self.worker),
            Habit::Colluder => "wrong".into(),
            Habit::Honest | Habit::Mute | Habit::Slow | Habit::Quitter | Habit::Choosy(_) => {
                "right".to_owned()
            }
        };
        let done = self.habit != Habit::Slow;
        let stage = if done { Stage::Committed { acked: false } } else { Stage::Working };
        self.held.insert(task, Held { attempt, result, salt, stage });
        if done {
            self.say_commit(separator, task);
        }
    }

    /// Reveals only where its own commitment is in the set, and never for a second set.
    fn shown(&mut self, separator: &Separator, item: &CommitSetItem) {
        let Some(held) = self.held.get(&item.task) else { return };
        let commitment = self.commitment(separator, item.task);
        let leaf = keccak256(
            [B256::left_padding_from(&self.worker.0.to_be_bytes()).0, commitment.0].concat(),
        );
        let (at, depth) = (u64::from(item.position), quorate_common::merkle::SET_DEPTH);
        let mine = quorate_common::merkle::proves(item.root, depth, leaf, at, &item.path);
        assert!(mine || self.raves, "{} was shown a set without its commitment", self.worker);
        assert!(item.position < item.n, "{} stands outside its set", self.worker);
        let first = matches!(held.stage, Stage::Committed { .. });
        if self.habit == Habit::Mute || !mine || held.attempt != item.attempt || !first {
            return;
        }
        let stage = Stage::Revealed { set_root: item.root, acked: false };
        self.held.get_mut(&item.task).unwrap().stage = stage;
        self.say_reveal(item.task, item.root);
    }
}
