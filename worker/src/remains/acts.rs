//! What can be done with what a pool left, one transaction for each task: to end the pool, to be paid for
//! standing by, and to show votes. The contract is asked before anything is sent, so
//! that what it refuses costs nothing; what it refuses is reported, and the next task is tried.

use super::{
    Remains, RemainsError,
    promises::{Promised, Promises},
};
use quorate_chain::{
    Address, B256, Call, Outbox, SettleError,
    escape::{SetVote, Unsettled},
};
use quorate_common::{
    accounts::Vote,
    api::Amount,
    clock::SystemClock,
    frame,
    ids::{DealSlot, WorkerIdx},
    keys::VoteKey,
    merkle::SET_DEPTH,
    messages::Message as _,
    word::KeptVote,
};
use serde::Serialize;

/// Who sends, or would.
#[derive(Clone, Debug)]
pub enum Sender {
    /// Sends, and pays the gas.
    Outbox(Outbox),
    /// Sends nothing: it is only said what would be done.
    Nobody,
}

/// What became of one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The deal's number in the pool.
    pub deal: DealSlot,
    /// The task, from 0, as the deal counts.
    pub task: u32,
    /// What was tried: `neglect`, `claim`, `show` or `settle`.
    pub act: &'static str,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Done {
        /// By which transaction.
        tx: B256,
        /// Gas it used.
        gas: u64,
        /// Token units paid, where something is.
        #[serde(skip_serializing_if = "Option::is_none")]
        paid: Option<Amount>,
    },
    /// It would be done.
    Would {
        /// Gas it would use.
        gas: u64,
        /// Token units it would pay, where it would.
        #[serde(skip_serializing_if = "Option::is_none")]
        paid: Option<Amount>,
    },
    /// It was done before.
    Already,
    /// The contract refuses.
    Refused {
        /// The contract's error by name.
        error: String,
        /// In words.
        why: String,
    },
}

impl Outcome {
    /// Whether something was done, or would be.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Would { .. })
    }
}

impl Remains {
    /// Makes final what is due, so that nothing is pending; without a sender nothing. Whether there was
    /// something: then the pool is to be read again.
    ///
    /// # Errors
    /// The chain's.
    pub async fn finalize_due(&self, sender: &Sender) -> Result<bool, RemainsError> {
        let Sender::Outbox(outbox) = sender else { return Ok(false) };
        let head = self.settlement.chain().head().await?.timestamp;
        // A chain that makes blocks only for transactions is behind the clock.
        let now = head.max(SystemClock::start().now().unix_s());
        let Some(call) = self.finalize_next(now) else { return Ok(false) };
        outbox.send(call).await?;
        Ok(true)
    }

    /// Ends a live pool for the first of the tasks that the contract takes as a reason.
    ///
    /// # Errors
    /// The chain's.
    pub async fn neglect(
        &self,
        promises: &Promises,
        sender: &Sender,
    ) -> Result<Vec<Report>, SettleError> {
        let mut reports = Vec::new();
        for promised in promises.0.values() {
            let Some(signed) = promised.sets.first() else { continue };
            let Some(task) = self.unsettled_of(promised) else { continue };
            let outcome = self.act(sender, self.escape.neglect(&task, signed), false).await?;
            let done = outcome.is_done();
            reports.push(self.report(promised, "neglect", outcome));
            if done {
                break;
            }
        }
        Ok(reports)
    }

    /// Has a worker paid for standing by, for each task it had committed to.
    ///
    /// # Errors
    /// The chain's.
    pub async fn claim_abandoned(
        &self,
        promises: &Promises,
        worker: WorkerIdx,
        sender: &Sender,
    ) -> Result<Vec<Report>, SettleError> {
        let mut reports = Vec::new();
        for promised in promises.0.values() {
            let Some(call) = self.claim_of(promised, worker) else { continue };
            let outcome = self.act(sender, call, true).await?;
            // Once the pool has paid all that it pays, no other task brings anything.
            let over = matches!(&outcome, Outcome::Refused { error, .. } if error == "NothingLeft");
            reports.push(self.report(promised, "claim", outcome));
            if over {
                break;
            }
        }
        Ok(reports)
    }

    fn claim_of(&self, promised: &Promised, worker: WorkerIdx) -> Option<Call> {
        let task = self.unsettled_of(promised)?;
        let own = promised.acks.iter().filter(|(ack, _)| ack.worker == worker);
        let pair = |(ack, ack_proof)| {
            let is_its = |assign: &&(quorate_common::messages::Assign, _)| {
                let ack: &quorate_common::messages::CommitAck = ack;
                assign.0.worker == worker && assign.0.attempt == ack.attempt
            };
            let (assign, proof) = promised.assigns.iter().find(is_its)?;
            Some(self.escape.claim_abandoned(&task, (assign, proof), (ack, ack_proof)))
        };
        own.map(|(ack, proof)| (ack, proof)).find_map(pair)
    }

    /// Shows a worker's votes of tasks of a dead pool.
    ///
    /// # Errors
    /// The chain's.
    pub async fn show(
        &self,
        promises: &Promises,
        worker: WorkerIdx,
        key: &VoteKey,
        sender: &Sender,
    ) -> Result<Vec<Report>, SettleError> {
        let mut reports = Vec::new();
        for (task_id, promised) in &promises.0 {
            let own = promised.votes.iter().filter(|vote| vote.worker == worker);
            let Some((vote, signed)) = own.filter_map(|v| Some((v, promised.set_of(v)?))).next()
            else {
                continue;
            };
            let Some(task) = self.unsettled_of(promised) else { continue };
            let shown = self.escape.shown_for(*task_id).await?;
            let outcome = if shown.iter().any(|ballot| ballot.worker == worker) {
                Outcome::Already
            } else {
                let votes = [self.sign(vote, key)];
                let call = self.escape.show(task.terms, task.task_idx, signed, &votes);
                self.act(sender, call, false).await?
            };
            reports.push(self.report(promised, "show", outcome));
        }
        Ok(reports)
    }

    /// Signs a vote by itself: a frame of one has the shortest proof.
    fn sign(&self, kept: &KeptVote, key: &VoteKey) -> SetVote {
        let reveal = &kept.reveal;
        let signature = frame::sign(key, &self.settlement.separator(), &[reveal.struct_hash()]);
        let vote = Vote {
            worker: kept.worker.0,
            attempt: reveal.attempt,
            digest: reveal.digest,
            salt: reveal.salt,
            frame_index: 0,
            frame_count: 1,
            path: Vec::new(),
            r: signature.r,
            vs: signature.vs,
        };
        // Shown on chain, a set comes without a path. Where it has one commitment, that is no loss.
        let is_known = usize::from(kept.place) < 1 << SET_DEPTH;
        let (place, path) = if is_known { (kept.place, kept.path) } else { (0, kept.path) };
        SetVote { vote, place, path }
    }

    fn unsettled_of(&self, promised: &Promised) -> Option<Unsettled<'_>> {
        self.unsettled(promised.deal, promised.task_idx)
    }

    fn report(&self, promised: &Promised, act: &'static str, outcome: Outcome) -> Report {
        let deal = self.deals[&promised.deal].slot;
        Report { deal, task: promised.task_idx, act, outcome }
    }

    /// Asks the contract, and sends if it is willing and somebody sends.
    pub(super) async fn act(
        &self,
        sender: &Sender,
        call: Call,
        pays: bool,
    ) -> Result<Outcome, SettleError> {
        let from = match sender {
            Sender::Outbox(outbox) => outbox.account(),
            Sender::Nobody => Address::ZERO,
        };
        let gas = match self.escape.try_out(from, &call).await {
            Ok(gas) => gas,
            Err(error) => return refused(error),
        };
        let paid = if pays { Some(Amount(self.escape.would_pay(&call).await?)) } else { None };
        let Sender::Outbox(outbox) = sender else { return Ok(Outcome::Would { gas, paid }) };
        match outbox.send(call).await {
            Ok(receipt) => Ok(Outcome::Done { tx: receipt.tx, gas: receipt.gas_used, paid }),
            Err(error) => refused(error),
        }
    }
}

/// A refusal is an answer; anything else ends the command.
fn refused(error: SettleError) -> Result<Outcome, SettleError> {
    let SettleError::Reverted(revert) = &error else { return Err(error) };
    let text = revert.text.clone();
    let why = match words(&revert.name) {
        Some(words) => format!("{words}: {text}"),
        None => text,
    };
    Ok(Outcome::Refused { error: revert.name.clone(), why })
}

/// What the contract's refusals mean to whoever is left alone.
fn words(name: &str) -> Option<&'static str> {
    Some(match name {
        "TooEarly" => "not yet; try again when that time has come",
        "TooLate" => "the time for it is over",
        "Pending" => {
            "a batch is pending that may still settle it; finalize it when its window is over"
        }
        "Settled" | "SettledBefore" => "it is settled",
        "PoolLive" => "the pool has not ended; `neglect` ends one that left its duties",
        "PaidBefore" => "it was paid for, or as often as the task has replicas",
        "NothingLeft" => "the pool has paid all that it pays for standing by",
        "NothingShown" => {
            "the vote does not count: another of this owner does, or the stake is too small"
        }
        "Undecided" => {
            "the votes shown do not decide; unless other tasks raise its voters' scores, its payer \
             will be refunded"
        }
        "RootMismatch" => "what was given does not prove it",
        _ => return None,
    })
}
