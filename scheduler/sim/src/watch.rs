//! Who looks on: the watcher, who repeats every batch from its evidence as bytes and holds the scheduler to
//! its words; and the questions asked at the end.

use crate::{
    chain::{Batch, Event as Said},
    law::{Lawful, Violation, hold},
    machine::Machine,
    world::World,
};
use alloy_primitives::B256;
use quorate_common::{
    accounts::Vote,
    ids::{PoolId, TaskKey, WorkerIdx},
    messages::{Header, Message as _, Reveal},
    word::{Said as Word, Word as SignedWord},
};
use quorate_grid::{
    Grid,
    audit::{Books, Registry, check_signatures},
    evidence::{BatchFile, Seal, TaskEvidence},
    ledger::{BatchState, Identity},
};
use std::collections::BTreeMap;

/// Milliseconds in which an honest worker on a good line always answers.
const ANSWERS_MS: u64 = 15_000;

/// The watcher.
#[derive(Debug)]
pub(crate) struct Watcher {
    books: Books,
    read: u64,
    /// Headers that were signed, by index.
    signed: BTreeMap<u64, (B256, Seal)>,
    /// Evidence of the tasks that were settled, by their id.
    settled: BTreeMap<B256, TaskEvidence>,
}

impl Watcher {
    /// Before the first batch.
    pub(crate) fn new(pool: PoolId) -> Self {
        Self { books: Books::new(pool), read: 0, signed: BTreeMap::new(), settled: BTreeMap::new() }
    }

    /// A header was signed: for each place there is one.
    pub(crate) fn signed(
        &mut self,
        header: &Header,
        seal: Seal,
        on_chain: Option<B256>,
        rolled_back: bool,
    ) -> Result<bool, Violation> {
        let hash = header.struct_hash();
        let known = self.signed.insert(header.index, (hash, seal)).map(|(known, _)| known);
        let second = known.is_some_and(|known| known != hash);
        // A scheduler on an old disk cannot know of what it signed and nobody has seen.
        let excused = rolled_back && on_chain.is_none();
        hold(!second || excused, "one header is signed for each place", || {
            format!("batch {}: {known:?} and {hash}", header.index)
        })?;
        Ok(second)
    }
}

/// Not a unit is made or lost.
pub(crate) fn check_money(grid: &Grid) -> Lawful {
    let ledger = grid.ledger();
    let (earned, slashed, spent, refunded) = ledger.sums();
    let open = ledger.open().tasks.last().map(|task| &task.rec);
    let closed =
        |of: fn(&Header) -> u128| ledger.closed.values().map(|c| of(&c.header)).sum::<u128>();
    let fees = closed(|h| h.fees) + open.map_or(0, |rec| rec.run_fees);
    let royalties = closed(|h| h.royalties) + open.map_or(0, |rec| rec.run_royalties);
    let price = |deal: &quorate_grid::deal::Deal| deal.terms.price() * u128::from(deal.settled);
    let locked: u128 = grid.deals().values().map(price).sum();
    let (out, into) = (earned + fees + royalties + refunded, locked + slashed);
    hold(out == into, "money is conserved", || format!("{out} out, {into} in"))?;
    let fair = refunded + spent <= locked + slashed;
    hold(fair, "no more is owed back than was taken", || format!("{refunded}, {spent}, {locked}"))
}

impl World {
    /// Takes the batches that became final on chain.
    pub(crate) fn watch(&mut self) -> Lawful {
        let blocks = self.chain.blocks_after(self.watcher.read, false);
        let Some(last) = blocks.last().map(|block| block.number) else { return Ok(()) };
        let headers: Vec<Header> = blocks
            .iter()
            .flat_map(|block| block.events.iter())
            .filter_map(|event| match event {
                Said::Committed(header, _) => Some((**header).clone()),
                _ => None,
            })
            .collect();
        self.watcher.read = last;
        for header in headers {
            self.watch_batch(&header)?;
        }
        Ok(())
    }

    /// The whole of a batch: signatures, steps, what the chain knows of its deals and workers.
    fn watch_batch(&mut self, header: &Header) -> Lawful {
        let index = header.index;
        let bytes = self.mirror.get(&header.evidence);
        let bytes = bytes.ok_or_else(|| broken("the evidence of a batch is public", index, ""))?;
        let file = BatchFile::parse(bytes).map_err(|e| broken("evidence is read", index, e))?;
        let (_, seal) = &self.watcher.signed[&index];
        let signer = self.signer.address();
        check_signatures(&self.separator, signer, header, &file, seal)
            .map_err(|e| broken("a batch is signed", index, e))?;
        let registry = self.registry(&file)?;
        self.watcher
            .books
            .advance(&self.separator, &registry, header, &file)
            .map_err(|e| broken("a batch stands the watcher's check", index, format!("{e:?}")))?;
        let batch = self.chain.committed(index).cloned();
        let batch = batch.ok_or_else(|| broken("a final batch is on chain", index, ""))?;
        for task in &file.tasks {
            self.watch_task(&batch, task)?;
        }
        self.check_solvency()
    }

    /// Deals and workers as the chain has them.
    fn registry(&self, file: &BatchFile) -> Result<Registry, Violation> {
        let identity = |machine: &Machine| {
            let identity = Identity { owner: machine.owner(), vote_key: machine.key.address() };
            (machine.worker.0, identity)
        };
        let workers = self.machines.iter().map(identity).collect();
        let slots = self.chain.slots();
        let mut deals = BTreeMap::new();
        for opened in &file.terms {
            let known = slots.get(&opened.id()) == Some(&opened.slot);
            hold(known, "a batch's deals are the chain's", || format!("{}", opened.slot))?;
            deals.insert(opened.id(), opened.clone());
        }
        Ok(Registry { workers, deals })
    }

    fn watch_task(&mut self, batch: &Batch, task: &TaskEvidence) -> Lawful {
        let key = TaskKey { deal: task.slot, idx: task.rec.task_idx };
        let task_id = task.rec.deal_id.task_id(task.rec.task_idx);
        let first = self.watcher.settled.insert(task_id, task.clone()).is_none();
        hold(first, "a task is settled once on chain", || format!("{key}"))?;
        for vote in task.votes.iter().filter(|vote| vote.digest.is_zero()) {
            self.watch_silence(batch, task, vote, task_id)?;
        }
        Ok(())
    }

    /// A vote shown as never revealed: its time was over, and it was not said on chain (F6).
    fn watch_silence(
        &self,
        batch: &Batch,
        task: &TaskEvidence,
        vote: &Vote,
        task_id: B256,
    ) -> Lawful {
        let key = TaskKey { deal: task.slot, idx: task.rec.task_idx };
        let committed_at = batch.opening.committed_at;
        let Some(set) = task.sets.get(usize::from(vote.attempt)) else { return Ok(()) };
        let until = set.reveal_deadline;
        hold(
            committed_at >= until + self.plan.policy.slack_s,
            "silence is shown when its time is over",
            || format!("{key}: {committed_at}, {until}"),
        )?;
        // A pool that does not wait for the chain's tidings can be proven deaf, and knows it.
        if self.plan.policy.hear_s < self.plan.policy.slack_s || self.node.rolled_back {
            return Ok(());
        }
        let mut entries = self.chain.events().filter(|said| is_entry(said)).take(batch.inbox);
        let vote_key =
            |worker| self.machines.iter().find(|m| m.worker == worker).map(|m| m.key.address());
        let signer = vote_key(WorkerIdx(vote.worker));
        let said = entries.find(|said| match said {
            Said::Vote(said, at) => {
                let (reveal, proof) = &**said;
                let fits = reveal.task_id == task_id && reveal.attempt == vote.attempt;
                let root = reveal.set_root == set.root && *at <= until;
                fits && root && proof.signer(&self.separator, reveal.struct_hash()) == signer
            }
            _ => false,
        });
        hold(said.is_none(), "a vote said on chain in time is heard", || {
            format!("{key}: worker-{}", vote.worker)
        })?;
        self.watch_demands(batch, vote, (key, task_id))
    }

    /// Who demanded its set in time was answered, with time to reveal.
    fn watch_demands(&self, batch: &Batch, vote: &Vote, task: (TaskKey, B256)) -> Lawful {
        let (key, task_id) = task;
        let entries: Vec<&Said> =
            self.chain.events().filter(|said| is_entry(said)).take(batch.inbox).collect();
        let is_its = |said: &&Said| match said {
            Said::Demand { task_id: about, attempt, worker, at_s } => {
                let its = *about == task_id && worker.0 == vote.worker && *attempt == vote.attempt;
                let until = self.promise(worker, *attempt, task_id);
                let early = at_s + self.plan.policy.slack_s <= batch.opening.committed_at;
                its && early && until.is_some_and(|until| *at_s <= until + self.plan.policy.slack_s)
            }
            _ => false,
        };
        let Some(at) = entries.iter().position(is_its) else { return Ok(()) };
        let answered = entries[at..].iter().any(|said| match said {
            Said::Set(shown, shown_at) => {
                let (set, _) = &**shown;
                let fits = set.task_id == task_id && set.attempt == vote.attempt;
                fits && set.reveal_deadline >= shown_at + self.plan.policy.slack_s
            }
            _ => false,
        });
        let unsaid = self.chain.unsaid.contains(&task_id);
        hold(answered || unsaid, "a demand made in time is answered", || {
            format!("{key}: worker-{}", vote.worker)
        })
    }

    /// What a worker's assignment said of the reveal's deadline.
    fn promise(&self, worker: &WorkerIdx, attempt: u16, task_id: B256) -> Option<u64> {
        let machines = self.machines.iter().filter(|machine| machine.worker == *worker);
        let mut words = machines.flat_map(|machine| &machine.words);
        words.find_map(|word| match &word.said {
            Word::Assign(assign) => {
                let its =
                    assign.attempt == attempt && assign.deal.task_id(assign.task_idx) == task_id;
                its.then_some(assign.reveal_deadline)
            }
            _ => None,
        })
    }

    /// All that final batches owe is covered by what deals locked and stakes lost.
    fn check_solvency(&self) -> Lawful {
        let earned: u128 = self.watcher.books.workers().map(|(_, a)| a.cum_earned).sum();
        let seized: u128 = self.watcher.books.workers().map(|(_, a)| a.cum_slashed).sum();
        let back: u128 = self.watcher.books.deals().map(|(_, book)| book.account.refunded).sum();
        let fees = self.chain.contract.batches.last().map_or(0, |batch| batch.header.cum_fees);
        let (out, most) = (earned + back + fees, self.chain.contract.locked + seized);
        hold(out <= most, "the contract can pay what it owes", || format!("{out} of {most}"))?;
        for (worker, account) in self.watcher.books.workers() {
            let stake = self.machines.iter().find(|m| m.worker == worker).map(|m| m.person.stake);
            let covered = stake.is_some_and(|stake| account.cum_slashed <= stake);
            hold(covered, "nobody loses more than its stake", || {
                format!("{worker}: {} of {stake:?}", account.cum_slashed)
            })?;
        }
        Ok(())
    }

    /// A silent voter of good will on a good line is the scheduler's fault.
    pub(crate) fn check_blame(&self, task: TaskKey, worker: WorkerIdx) -> Lawful {
        let Some(deadline_s) = self.node.law.silent(task, worker) else { return Ok(()) };
        let blameless = self.was_there(worker, deadline_s, |_, _| true);
        hold(!blameless, "no honest worker that is there loses its stake", || {
            format!("{worker} at {task}")
        })
    }

    /// A result that was ready in time, on a good line, was heard.
    pub(crate) fn check_heard(&self, task: TaskKey, worker: WorkerIdx) -> Lawful {
        let Some(deadline_s) = self.node.law.commit_deadline(task, worker) else { return Ok(()) };
        let ready = |machine: &Machine, since: u64| {
            let sealed = machine.deadlines(task).is_some_and(|(commit, _)| commit == deadline_s);
            sealed && machine.sealed_at.get(&task).is_some_and(|at| *at <= since)
        };
        let unheard = self.was_there(worker, deadline_s, ready);
        hold(!unheard, "what an honest worker on a good line has ready is heard", || {
            format!("{worker} at {task}")
        })
    }

    /// Whether an honest machine of the worker was connected, on a steady line to a steady scheduler, long
    /// enough before a deadline that has passed, and more.
    fn was_there(
        &self,
        worker: WorkerIdx,
        deadline_s: u64,
        more: impl Fn(&Machine, u64) -> bool,
    ) -> bool {
        let due_ms = deadline_s.saturating_sub(crate::chain::START_S) * 1_000;
        let since = due_ms.saturating_sub(ANSWERS_MS);
        let steady =
            self.node.wrong_until == 0 && self.node.slow_until <= since && self.t >= due_ms;
        let lies = self.node.rolled_back || self.plan.faults.false_sets;
        let there = |machine: &&Machine| {
            let link = machine.session.and_then(|session| self.links.get(&session));
            let steady = link.is_some_and(|link| link.since <= since && link.rough_until <= since);
            machine.worker == worker && machine.person.habit.is_honest() && steady
        };
        let mut machines = self.machines.iter().filter(there);
        steady && !lies && machines.any(|machine| more(machine, since))
    }

    /// When everything is over.
    pub(crate) fn last_look(&mut self) -> Lawful {
        if self.node.halted.is_some() {
            return Ok(());
        }
        let law = "every batch is final in the end";
        let up = self.node.up.as_ref();
        let up = up.ok_or_else(|| broken("the scheduler runs in the calm", 0, ""))?;
        check_money(&up.grid)?;
        up.grid.check();
        for (index, closed) in &up.grid.ledger().closed {
            // Whose disk is an old one may close a batch anew after the chain has told of it; production's
            // fence ends such a scheduler (`finals.rs`).
            hold(closed.state == BatchState::Final || self.node.rolled_back, law, || {
                format!("{index}: {:?}", closed.state)
            })?;
        }
        for (slot, deal) in up.grid.deals() {
            hold(deal.finished(), "every task ends", || format!("{slot}: {}", deal.settled))?;
        }
        let open = up.grid.ledger().open().tasks.len();
        hold(open == 0, "the last batch is closed", || format!("{open} tasks are in none"))?;
        let (settled, seen) = (self.node.law.settled_count(), self.watcher.settled.len());
        hold(settled == seen, "every settled task is on chain", || format!("{settled}, {seen}"))?;
        let (ours, theirs) = (up.grid.ledger().state_root(), self.watcher.books.state_root());
        hold(ours == theirs, "scores reproduce from the evidence", || format!("{ours} {theirs}"))?;
        self.tally.add("sum: tasks", settled as u64);
        self.check_counts()?;
        self.check_words()
    }

    /// What honest workers that are here count as earned is what their accounts hold, whoever was away when it
    /// was settled. One that still keeps a result has not heard the last word yet.
    fn check_counts(&mut self) -> Lawful {
        let Some(up) = self.node.up.as_ref().filter(|_| !self.node.rolled_back) else {
            return Ok(());
        };
        let mut compared = 0;
        for machine in self.machines.iter().filter(|machine| machine.person.habit.is_honest()) {
            let here = machine.agent.as_ref().filter(|_| machine.session.is_some());
            let Some(agent) = here.filter(|agent| agent.kept().next().is_none()) else { continue };
            let account = up.grid.ledger().worker(machine.worker);
            let booked =
                account.map_or((0, 0), |account| (account.cum_earned, account.cum_slashed));
            let counted = (agent.totals().earned, agent.totals().slashed);
            hold(counted == booked, "an honest worker's count is its account", || {
                format!("{}: counted {counted:?}, booked {booked:?}", machine.worker)
            })?;
            compared += u64::from(booked.0 > 0);
        }
        self.tally.add("sum: counts compared with accounts", compared);
        Ok(())
    }

    /// What honest workers were told is what the batches show.
    fn check_words(&mut self) -> Lawful {
        let mut broken_words = 0;
        for machine in self.machines.iter().filter(|machine| machine.person.habit.is_honest()) {
            for word in &machine.words {
                let task = self.watcher.settled.get(&word.said.task_id());
                let kept = task.is_none_or(|task| self.keeps(word, task));
                let excused = self.node.rolled_back || self.plan.faults.false_sets;
                hold(kept || excused, "what was acknowledged is in the batch", || {
                    format!("{}: {:?}", machine.worker, word.said)
                })?;
                broken_words += u64::from(!kept);
            }
        }
        if self.node.rolled_back {
            self.tally.add("act: words an old disk broke, provable", broken_words);
        }
        Ok(())
    }

    /// As the watcher's: whether a word is kept by what a batch shows.
    fn keeps(&self, word: &SignedWord, task: &TaskEvidence) -> bool {
        let vote = |worker: u32| task.votes.iter().find(|vote| vote.worker == worker);
        let waiting = |attempt: u16| usize::from(attempt) >= task.sets.len();
        match &word.said {
            Word::Assign(assign) => task
                .sets
                .get(usize::from(assign.attempt))
                .is_none_or(|set| set.reveal_deadline >= assign.reveal_deadline),
            Word::CommitSet(set) => {
                let frozen = task.sets.get(usize::from(set.attempt));
                frozen.is_some_and(|frozen| frozen.root == set.root && frozen.n == set.n)
            }
            Word::CommitAck(ack) => {
                let shown = |vote: &Vote| {
                    let (task_id, worker) = (ack.task_id, ack.worker);
                    if vote.digest.is_zero() {
                        return vote.salt == ack.commitment;
                    }
                    let (attempt, digest, salt) = (vote.attempt, vote.digest, vote.salt);
                    let separator = self.separator.0;
                    crate::paper::commitment(separator, task_id, attempt, worker, digest, salt)
                        == ack.commitment
                };
                waiting(ack.attempt) || vote(ack.worker.0).is_some_and(shown)
            }
            Word::RevealAck(ack) => {
                let shown = |vote: &Vote| {
                    let Some(set) = task.sets.get(usize::from(vote.attempt)) else { return false };
                    let (attempt, set_root) = (vote.attempt, set.root);
                    let (pool, task_id) = (ack.pool, ack.task_id);
                    let (digest, salt) = (vote.digest, vote.salt);
                    let reveal = Reveal { pool, task_id, attempt, set_root, digest, salt };
                    reveal.struct_hash() == ack.vote_hash
                };
                waiting(ack.attempt) || vote(ack.worker.0).is_some_and(shown)
            }
        }
    }
}

fn is_entry(said: &Said) -> bool {
    matches!(said, Said::Vote(..) | Said::Demand { .. } | Said::Set(..))
}

fn broken(law: &'static str, index: u64, what: impl std::fmt::Display) -> Violation {
    Violation { law, what: format!("batch {index}: {what}") }
}
