//! The laws of the records: what the scheduler may write down, judged record by record as it becomes
//! durable, by a model that shares no code with the grid.

use crate::{
    paper::{self, Ballot, Price},
    programs::Proofs,
};
use alloy_primitives::{Address, B256, keccak256};
use quorate_common::{
    digest::Digest,
    ids::{DealSlot, TaskKey, WorkerIdx},
    merkle::{SET_DEPTH, Tree},
    messages::{Message as _, Reveal, Separator},
};
use quorate_grid::{Grid, Record, deal::Opened, poco::Outcome, restraint::Keep};
use std::collections::{BTreeMap, BTreeSet};

/// A law that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which law, in a few words.
    pub law: &'static str,
    /// What happened.
    pub what: String,
}

/// Whether the laws hold.
pub type Lawful = Result<(), Violation>;

/// Says that a law is broken, unless it holds.
pub fn hold(holds: bool, law: &'static str, what: impl FnOnce() -> String) -> Lawful {
    if holds { Ok(()) } else { Err(Violation { law, what: what() }) }
}

/// What was so when a record was made.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The scheduler's unix second.
    pub now_s: u64,
    /// When what it records was said, if it was said on chain.
    pub said_s: Option<u64>,
    /// Whether the record's worker was connected.
    pub connected: bool,
    /// Whether it follows from a worker's giving up.
    pub gave_up: bool,
}

#[derive(Clone, Debug)]
struct Replica {
    worker: WorkerIdx,
    net: Option<u64>,
    attempt: u16,
    commit_deadline: u64,
    reveal_deadline: u64,
    commit: Option<(u64, B256)>,
    shown: Option<Digest>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Assigned,
    Lost,
    Committed,
    Revealed,
    Missed,
}

#[derive(Clone, Debug, Default)]
struct Task {
    replicas: Vec<Replica>,
    /// Root, size and deadline of each frozen set.
    sets: Vec<(B256, usize, u64)>,
    stored: BTreeSet<Digest>,
    settled: bool,
}

/// A worker as the records have it.
#[derive(Clone, Debug, Default)]
struct Account {
    owner: Address,
    stake: u128,
    exiting: bool,
    kept: Option<Keep>,
    held: u128,
    score: u32,
    earned: u128,
    seized: u128,
}

#[derive(Clone, Debug)]
struct Deal {
    opened: Opened,
    id: quorate_common::ids::DealId,
    price: Price,
    spent: u128,
    refunded: u128,
}

/// Everything the records say.
#[derive(Clone, Debug)]
pub struct Law {
    separator: Separator,
    hear_s: u64,
    /// Who lost its work although it was here and in time, in the last record.
    overtaken: Option<(TaskKey, WorkerIdx)>,
    tasks: BTreeMap<TaskKey, Task>,
    workers: BTreeMap<WorkerIdx, Account>,
    deals: BTreeMap<DealSlot, Deal>,
    proofs: Proofs,
    seq: u64,
}

impl Law {
    /// Before the first record. `hear_s` as the scheduler's policy has it.
    pub fn new(separator: Separator, hear_s: u64) -> Self {
        Self {
            separator,
            hear_s,
            overtaken: None,
            tasks: BTreeMap::new(),
            workers: BTreeMap::new(),
            deals: BTreeMap::new(),
            proofs: Proofs::default(),
            seq: 0,
        }
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// The law it breaks.
    pub fn fold(&mut self, record: &Record, at: Moment) -> Lawful {
        self.overtaken_first(record)?;
        self.proofs.fold(record);
        match record {
            Record::Worker { worker, owner, .. } => {
                self.workers.entry(*worker).or_default().owner = *owner;
            }
            Record::Stake { worker, stake, exiting } => {
                let account = self.workers.entry(*worker).or_default();
                (account.stake, account.exiting) = (*stake, *exiting);
            }
            Record::Restrained { worker, restraint } => {
                let account = self.workers.entry(*worker).or_default();
                account.kept = restraint.as_ref().map(|restraint| restraint.keep);
            }
            Record::Deal { opened, .. } => self.deal(opened),
            Record::Assigned { task, worker, net, commit_deadline, reveal_deadline, .. } => {
                self.assigned(*task, (*worker, *net), (*commit_deadline, *reveal_deadline))?;
            }
            Record::Lost { task, worker } => self.lost(*task, *worker, at)?,
            Record::Committed { task, worker, commitment, seq, .. } => {
                self.committed(*task, *worker, (*seq, *commitment), at)?;
            }
            Record::Frozen { task, reveal_deadline } => self.frozen(*task, *reveal_deadline)?,
            Record::Extended { task, attempt, reveal_deadline } => {
                let set = &mut self.task(*task)?.sets[usize::from(*attempt)];
                hold(set.2 < *reveal_deadline, "a set said again has more time", || {
                    format!("{task}: {} to {reveal_deadline}", set.2)
                })?;
                set.2 = *reveal_deadline;
            }
            Record::Revealed { .. } => self.revealed(record, at)?,
            Record::Missed { task, worker } => self.missed(*task, *worker, at)?,
            Record::Stored { task, digest } => {
                self.task(*task)?.stored.insert(*digest);
            }
            Record::Settled { task, outcome, winner, .. } => {
                self.settled(*task, *outcome, *winner, at)?;
            }
            Record::Order { .. }
            | Record::Torn(_)
            | Record::Refused { .. }
            | Record::Demanded { .. }
            | Record::Standing { .. }
            | Record::Closed
            | Record::BatchCommitted { .. }
            | Record::BatchFinal { .. }
            | Record::Cursor { .. } => {}
        }
        Ok(())
    }

    /// Who is here and in time loses its work only to a set that is frozen at once, without it.
    fn overtaken_first(&mut self, record: &Record) -> Lawful {
        let Some((key, worker)) = self.overtaken else { return Ok(()) };
        let at_once = match record {
            Record::Lost { task, .. } => *task == key,
            Record::Frozen { task, .. } => {
                self.overtaken = None;
                *task == key
            }
            _ => false,
        };
        hold(at_once, "who is here and in time keeps its work", || format!("{key}: {worker}"))
    }

    fn deal(&mut self, opened: &Opened) {
        let terms = &opened.terms;
        let price = Price {
            work: terms.unit_price,
            royalty: terms.royalty(),
            stake_ratio: terms.stake_ratio,
            scheduler_ratio: terms.scheduler_ratio,
            trust: terms.trust,
        };
        let (id, opened) = (opened.id(), opened.clone());
        let deal = Deal { opened, id, price, spent: 0, refunded: 0 };
        self.deals.entry(deal.opened.slot).or_insert(deal);
    }

    fn assigned(
        &mut self,
        key: TaskKey,
        (worker, net): (WorkerIdx, Option<u64>),
        by: (u64, u64),
    ) -> Lawful {
        let deal = &self.deals[&key.deal];
        let (stake, most) = (deal.price.stake(), usize::from(deal.opened.terms.replicas));
        let owner_of = |w: WorkerIdx| self.workers[&w].owner;
        let task = self.tasks.entry(key).or_default();
        hold(!task.settled, "a settled task gets no replicas", || format!("{key}"))?;
        let related = task.replicas.iter().find(|r| owner_of(r.worker) == owner_of(worker));
        hold(related.is_none(), "voters of a task have different owners", || {
            format!("{key}: {worker} beside {:?}", related.map(|r| r.worker))
        })?;
        let near = task.replicas.iter().find(|r| net.is_some() && r.net == net);
        hold(near.is_none(), "voters of a task have different networks", || {
            format!("{key}: {worker} beside {:?}", near.map(|r| r.worker))
        })?;
        let live = task.replicas.iter().filter(|r| r.state != State::Lost).count();
        hold(live < most, "a task has no more replicas than asked for", || format!("{key}"))?;
        let attempt = task.sets.len() as u16;
        let (commit_deadline, reveal_deadline) = by;
        let (commit, shown, state) = (None, None, State::Assigned);
        task.replicas.push(Replica {
            worker,
            net,
            attempt,
            commit_deadline,
            reveal_deadline,
            commit,
            shown,
            state,
        });
        let account = self.workers.entry(worker).or_default();
        hold(!account.exiting, "who leaves is given no work", || format!("{key}: {worker}"))?;
        hold(account.kept.is_none(), "who is kept from work is given none", || {
            format!("{key}: {worker}")
        })?;
        self.stake_holds(key, worker, stake)
    }

    /// A live replica holds part of a stake, and no unit is held twice.
    fn stake_holds(&mut self, key: TaskKey, worker: WorkerIdx, stake: u128) -> Lawful {
        let account = self.workers.entry(worker).or_default();
        account.held += stake;
        let free = account.stake.saturating_sub(account.seized);
        hold(account.held <= free, "no stake is held twice", || {
            format!("{key}: {worker} holds {} of {free}", account.held)
        })
    }

    fn lost(&mut self, key: TaskKey, worker: WorkerIdx, at: Moment) -> Lawful {
        let stake = self.deals[&key.deal].price.stake();
        let banned = self.workers.get(&worker).is_some_and(|a| a.kept == Some(Keep::Banned));
        let replica = self.replica(key, worker)?;
        let late = at.now_s > replica.commit_deadline;
        hold(replica.state == State::Assigned, "only running replicas are lost", || {
            format!("{key}: {replica:?}")
        })?;
        replica.state = State::Lost;
        if !(late || banned || at.gave_up || !at.connected) {
            self.overtaken = Some((key, worker));
        }
        self.workers.entry(worker).or_default().held -= stake;
        Ok(())
    }

    fn committed(
        &mut self,
        key: TaskKey,
        worker: WorkerIdx,
        commit: (u64, B256),
        at: Moment,
    ) -> Lawful {
        self.count_ack(commit.0)?;
        let stake = self.deals[&key.deal].price.stake();
        let round = self.task(key)?.sets.len() as u16;
        let replica = self.replica(key, worker)?;
        let is_new = matches!(replica.state, State::Assigned | State::Lost);
        hold(is_new, "one commit per replica", || format!("{key}: {replica:?}"))?;
        hold(at.now_s <= replica.commit_deadline, "no commit after its deadline", || {
            format!("{key}: {worker}, {} after {}", at.now_s, replica.commit_deadline)
        })?;
        hold(replica.attempt == round, "nobody joins a frozen set", || {
            format!("{key}: {worker} of round {} in round {round}", replica.attempt)
        })?;
        let was = std::mem::replace(&mut replica.state, State::Committed);
        replica.commit = Some(commit);
        if was == State::Lost { self.stake_holds(key, worker, stake) } else { Ok(()) }
    }

    fn count_ack(&mut self, seq: u64) -> Lawful {
        hold(seq == self.seq + 1, "acknowledgements are counted one by one", || {
            format!("{seq} after {}", self.seq)
        })?;
        self.seq = seq;
        Ok(())
    }

    fn frozen(&mut self, key: TaskKey, deadline: u64) -> Lawful {
        let task = self.task(key)?;
        let round = task.sets.len() as u16;
        let ours = task.replicas.iter().filter(|r| r.attempt == round);
        let promised = ours.map(|r| r.reveal_deadline).max().unwrap_or(0);
        hold(promised <= deadline, "no set ends before its assignments said", || {
            format!("{key}: {deadline}, promised {promised}")
        })?;
        let mut commits: Vec<(u64, WorkerIdx, B256)> = Vec::new();
        for replica in &task.replicas {
            commits.extend(replica.commit.map(|(seq, hash)| (seq, replica.worker, hash)));
        }
        commits.sort_unstable();
        let leaf = |(_, worker, hash): &(u64, WorkerIdx, B256)| {
            let mut bytes = [0; 64];
            bytes[28..32].copy_from_slice(&worker.0.to_be_bytes());
            bytes[32..].copy_from_slice(&hash.0);
            keccak256(bytes)
        };
        let root = Tree::new(SET_DEPTH, commits.iter().map(leaf).collect()).root();
        task.sets.push((root, commits.len(), deadline));
        Ok(())
    }

    fn revealed(&mut self, record: &Record, at: Moment) -> Lawful {
        let Record::Revealed { task, worker, digest, salt, vote_hash, seq, inline, .. } = record
        else {
            return Ok(());
        };
        self.count_ack(*seq)?;
        let (key, worker, separator) = (*task, *worker, self.separator);
        let deal = &self.deals[&key.deal];
        let (pool, task_id) = (deal.opened.terms.pool, deal.id.task_id(key.idx));
        let task = self.task(key)?;
        let sets = task.sets.clone();
        if inline.is_some() {
            task.stored.insert(*digest);
        }
        let replica = self.replica(key, worker)?;
        let attempt = replica.attempt;
        let set = sets.get(usize::from(attempt)).filter(|_| replica.state == State::Committed);
        let Some((set_root, _, deadline)) = set.copied() else {
            return hold(false, "nothing is shown outside of a frozen set", || {
                format!("{key}: {replica:?}")
            });
        };
        let word = B256::new(digest.0);
        let opened = paper::commitment(separator.0, task_id, attempt, worker, word, *salt);
        let committed = replica.commit.map(|(_, hash)| hash);
        hold(committed == Some(opened), "a reveal opens its commitment", || {
            format!("{key}: {worker} shows {digest}")
        })?;
        let reveal = Reveal { pool, task_id, attempt, set_root, digest: word, salt: *salt };
        hold(reveal.struct_hash() == *vote_hash, "a reveal is for the frozen set", || {
            format!("{key}: {worker}")
        })?;
        let said_s = at.said_s.unwrap_or(at.now_s);
        hold(said_s <= deadline, "no reveal after its deadline", || {
            format!("{key}: {worker}, {said_s} after {deadline}")
        })?;
        (replica.state, replica.shown) = (State::Revealed, Some(*digest));
        Ok(())
    }

    fn missed(&mut self, key: TaskKey, worker: WorkerIdx, at: Moment) -> Lawful {
        let hear_s = self.hear_s;
        let sets = self.task(key)?.sets.clone();
        let replica = self.replica(key, worker)?;
        let set = sets.get(usize::from(replica.attempt));
        let over = set.is_some_and(|(_, _, deadline)| *deadline + hear_s < at.now_s);
        let silent = replica.state == State::Committed;
        hold(silent && over, "silence is judged when its time is over", || {
            format!("{key}: {worker} at {}: {set:?}", at.now_s)
        })?;
        replica.state = State::Missed;
        Ok(())
    }

    fn settled(
        &mut self,
        key: TaskKey,
        outcome: Outcome,
        winner: Option<Digest>,
        at: Moment,
    ) -> Lawful {
        let task = self.tasks.entry(key).or_default();
        hold(!std::mem::replace(&mut task.settled, true), "a task pays once", || format!("{key}"))?;
        let task = task.clone();
        let ballots = self.ballots(&task);
        let deal = &self.deals[&key.deal];
        let (trust, deadline) = (deal.price.trust, deal.opened.terms.deadline);
        let word = winner.map(|digest| B256::new(digest.0));
        let decided = paper::is_decided(trust, &ballots);
        match (outcome, winner, word) {
            (Outcome::Consensus, Some(digest), Some(word)) => {
                let fair = paper::has_consensus(trust, &ballots, word);
                hold(fair, "only a decided result is accepted", || format!("{key}: {ballots:?}"))?;
                let here = task.stored.contains(&digest);
                hold(here, "only a result whose bytes are here is accepted", || format!("{key}"))?;
            }
            (Outcome::NoQuorum, ..) => {
                hold(!decided, "a decided task is not given up", || format!("{key}"))?;
            }
            _ => {
                let over = at.now_s + 5 >= deadline;
                hold(over, "nothing expires before its deal", || format!("{key}"))?;
                let here = task
                    .stored
                    .iter()
                    .any(|digest| paper::has_consensus(trust, &ballots, B256::new(digest.0)));
                let told = here && !self.proofs.withholds(key);
                hold(!told, "a decided task whose bytes are here does not expire", || {
                    format!("{key}")
                })?;
            }
        }
        let shown = ballots.iter().filter(|ballot| ballot.shown.is_some());
        let lost = shown.clone().filter(|ballot| word.is_some() && ballot.shown != word).count();
        let agreed = if word.is_some() { shown.count() } else { 0 };
        self.proofs.settled(key, agreed, lost)?;
        self.pay(key, &task, word, &ballots);
        Ok(())
    }

    fn ballots(&self, task: &Task) -> Vec<Ballot> {
        let frozen = |r: &&Replica| usize::from(r.attempt) < task.sets.len() && r.commit.is_some();
        let ballot = |r: &Replica| Ballot {
            worker: r.worker,
            score: self.workers[&r.worker].score,
            shown: r.shown.map(|digest| B256::new(digest.0)),
        };
        task.replicas.iter().filter(frozen).map(ballot).collect()
    }

    fn pay(&mut self, key: TaskKey, task: &Task, winner: Option<B256>, ballots: &[Ballot]) {
        let Some(deal) = self.deals.get_mut(&key.deal) else { return };
        let stake = deal.price.stake();
        let dues = paper::settle(&deal.price, winner, ballots);
        deal.spent += dues.spent;
        deal.refunded += dues.refunded;
        for due in dues.votes {
            let account = self.workers.entry(due.worker).or_default();
            account.earned += due.earned;
            account.seized += due.seized;
            account.score = due.score;
        }
        for replica in task.replicas.iter().filter(|r| r.state != State::Lost) {
            self.workers.entry(replica.worker).or_default().held -= stake;
        }
    }

    /// Whether the grid's books say what the records come to.
    ///
    /// # Errors
    /// The account that differs.
    pub fn agrees(&self, grid: &Grid) -> Lawful {
        let law = "scores and pay follow from the votes";
        for (worker, due) in &self.workers {
            let account = grid.ledger().worker(*worker);
            let booked = account.map_or((0, 0, 0), |a| (a.score, a.cum_earned, a.cum_slashed));
            let expected = (due.score, due.earned, due.seized);
            hold(booked == expected, law, || format!("{worker}: {booked:?}, due {expected:?}"))?;
        }
        for (slot, due) in &self.deals {
            let account = grid.ledger().deal(*slot).map(|book| &book.account);
            let booked = account.map_or((0, 0), |a| (a.spent, a.refunded));
            let expected = (due.spent, due.refunded);
            hold(booked == expected, law, || format!("{slot}: {booked:?}, due {expected:?}"))?;
        }
        Ok(())
    }

    /// The id of a deal.
    pub fn deal_id(&self, slot: DealSlot) -> Option<quorate_common::ids::DealId> {
        self.deals.get(&slot).map(|deal| deal.id)
    }

    /// Tasks that are settled.
    pub fn settled_count(&self) -> usize {
        self.tasks.values().filter(|task| task.settled).count()
    }

    /// The set that holds a worker's commitment of a round: its root and deadline.
    pub fn set(&self, key: TaskKey, attempt: u16) -> Option<(B256, u64)> {
        let (root, _, deadline) = self.tasks.get(&key)?.sets.get(usize::from(attempt))?;
        Some((*root, *deadline))
    }

    /// The commit deadline of a worker's replica.
    pub fn commit_deadline(&self, key: TaskKey, worker: WorkerIdx) -> Option<u64> {
        let mut replicas = self.tasks.get(&key)?.replicas.iter().rev();
        replicas.find(|r| r.worker == worker).map(|r| r.commit_deadline)
    }

    /// The round and deadline of a worker's replica that is silent.
    pub fn silent(&self, key: TaskKey, worker: WorkerIdx) -> Option<u64> {
        let task = self.tasks.get(&key)?;
        let replica = task.replicas.iter().rev().find(|r| r.worker == worker)?;
        task.sets.get(usize::from(replica.attempt)).map(|(_, _, deadline)| *deadline)
    }

    /// Whether a set of the task was said again, and its time is not over.
    pub fn waits(&self, key: TaskKey, now_s: u64) -> bool {
        let sets = self.tasks.get(&key).map(|task| &task.sets);
        let last = sets.and_then(|sets| sets.iter().map(|(_, _, deadline)| *deadline).max());
        last.is_some_and(|deadline| deadline + self.hear_s + 2 >= now_s)
    }

    /// What a worker committed to in a task.
    pub fn commit(&self, key: TaskKey, worker: WorkerIdx) -> Option<B256> {
        let mut replicas = self.tasks.get(&key)?.replicas.iter().rev();
        replicas.find(|r| r.worker == worker)?.commit.map(|(_, commitment)| commitment)
    }

    /// What somebody else committed to in a task: what no scheduler should tell.
    pub fn others_commit(&self, key: TaskKey, worker: WorkerIdx) -> Option<B256> {
        let mut replicas = self.tasks.get(&key)?.replicas.iter();
        replicas.find_map(|r| r.commit.filter(|_| r.worker != worker)).map(|(_, hash)| hash)
    }

    fn task(&mut self, key: TaskKey) -> Result<&mut Task, Violation> {
        let unknown = || Violation { law: "records come in order", what: format!("{key}") };
        self.tasks.get_mut(&key).ok_or_else(unknown)
    }

    fn replica(&mut self, key: TaskKey, worker: WorkerIdx) -> Result<&mut Replica, Violation> {
        let unknown =
            || Violation { law: "records come in order", what: format!("{key} {worker}") };
        let task = self.task(key)?;
        task.replicas.iter_mut().rev().find(|r| r.worker == worker).ok_or_else(unknown)
    }
}
