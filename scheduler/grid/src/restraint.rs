//! What an operator may do about a worker: keep new work from it (*drained*), or have no more of it at all
//! (*banned*). Both are records with a reason, survive a restart, and are told to the worker. Neither takes
//! anything from anybody: who has bound itself to a result may still reveal it, since silence would cost it its
//! stake. Who may ask for this is the shell's business.

use crate::{
    effect::{Effect, Reply},
    fleet::Member,
    grid::Grid,
    input::{SessionId, Ticket},
    record::Record,
};
use quorate_common::{
    clock::Now,
    ids::{TaskKey, WorkerIdx},
};
use serde::{Deserialize, Serialize};

/// Bytes of a reason: two lines in a table, and in a worker's log.
pub const REASON_BYTES_MAX: usize = 200;
/// Bytes of an operator's name.
pub const NAME_BYTES_MAX: usize = 32;
/// When a banned worker may ask again: bans are lifted by people, who can wait for ten minutes.
const BANNED_RETRY_MS: u64 = 600_000;

/// How much is kept from a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// New work: it finishes what it has.
    Drained,
    /// Everything: what it has not committed goes to others, and it is sent away.
    Banned,
}

/// A worker is kept from work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restraint {
    /// How much.
    pub keep: Keep,
    /// Why, for the worker and everybody who asks; at most [`REASON_BYTES_MAX`].
    pub reason: String,
    /// Which operator; at most [`NAME_BYTES_MAX`].
    pub by: String,
    /// Unix milliseconds.
    pub at_unix_ms: u64,
}

impl Restraint {
    /// One sentence for the worker.
    pub fn notice(&self) -> String {
        match self.keep {
            Keep::Drained => format!(
                "the pool's operator gives this worker no new work: {}; what it has may be finished",
                self.reason
            ),
            Keep::Banned => {
                format!("the pool's operator has banned this worker: {}", self.reason)
            }
        }
    }
}

impl Member {
    /// Whether an operator keeps it from new work.
    pub(crate) fn is_restrained(&self) -> bool {
        self.restraint.is_some()
    }

    /// Whether an operator wants no more of it.
    pub(crate) fn is_banned(&self) -> bool {
        self.restraint.as_ref().is_some_and(|restraint| restraint.keep == Keep::Banned)
    }
}

impl Grid {
    /// An operator's word about a worker; the same word again changes nothing.
    pub(crate) fn on_restrain(
        &mut self,
        now: Now,
        ticket: Ticket,
        worker: WorkerIdx,
        restraint: Option<Restraint>,
    ) {
        let Some(member) = self.durable.fleet.get(worker) else {
            return self.effect(Effect::Reply(ticket, Reply::UnknownWorker));
        };
        if !says_the_same(member.restraint.as_ref(), restraint.as_ref()) {
            self.record(Record::Restrained { worker, restraint });
            if let Some(session) = self.durable.fleet.session(worker) {
                self.welcome(session, Some(worker));
            }
            self.take_back(now, worker);
            self.send_away(worker);
        }
        self.effect(Effect::Reply(ticket, Reply::Restrained));
    }

    /// What a banned worker has not committed goes to others.
    fn take_back(&mut self, now: Now, worker: WorkerIdx) {
        let member = self.durable.fleet.get(worker).filter(|member| member.is_banned());
        let tasks: Vec<TaskKey> = member.iter().flat_map(|m| m.tasks.iter().copied()).collect();
        for key in tasks {
            let attempt = self.task(key).and_then(|task| task.open()?.replica(worker));
            let attempt = attempt.map(|replica| replica.attempt);
            let session = self.durable.fleet.session(worker);
            if let (true, Some(session), Some(attempt)) =
                (self.lose(now, key, worker), session, attempt)
            {
                self.effect(Effect::Send(session, crate::effect::ToSession::Cancel(key, attempt)));
            }
        }
    }

    /// Ends the connection of a banned worker that has nothing to reveal any more.
    pub(crate) fn send_away(&mut self, worker: WorkerIdx) {
        let Some(member) = self.durable.fleet.get(worker) else { return };
        let Some(session) = member.link.as_ref().map(|link| link.session) else { return };
        if member.is_banned() && member.tasks.is_empty() {
            self.durable.fleet.disconnect(session);
            self.say_banned(session, worker);
        }
    }

    /// Whether a banned worker that says hello is turned away. It is not while it has votes under way.
    pub(crate) fn turns_away(&mut self, session: SessionId, worker: WorkerIdx) -> bool {
        let member = self.durable.fleet.get(worker);
        let away = member.is_some_and(|member| member.is_banned() && member.tasks.is_empty());
        if away {
            self.say_banned(session, worker);
        }
        away
    }

    fn say_banned(&mut self, session: SessionId, worker: WorkerIdx) {
        let restraint = self.durable.fleet.get(worker).and_then(|m| m.restraint.as_ref());
        let reason = restraint.map(Restraint::notice).unwrap_or_default();
        self.goodbye(session, &reason, Some(BANNED_RETRY_MS));
    }
}

/// Whether nothing would change: who said it and when does not count.
fn says_the_same(known: Option<&Restraint>, new: Option<&Restraint>) -> bool {
    let said = |restraint: &Restraint| (restraint.keep, restraint.reason.clone());
    known.map(said) == new.map(said)
}
