//! What an operator can do to a running pool, from a page or from the command line: one way for both, so that
//! both check the same, write the same line into the log, and end when the record is on disk.

use crate::{actors::grid::Restrain, http::State, logbook::Entry};
use quorate_common::{
    exit::{Code, Failure},
    ids::WorkerIdx,
};
use quorate_grid::{
    effect::Reply,
    restraint::{Keep, REASON_BYTES_MAX, Restraint},
};
use tokio::sync::oneshot;

/// Who acts.
#[derive(Clone, Debug)]
pub struct Actor {
    /// The operator's name.
    pub operator: String,
    /// From where.
    pub from: String,
}

impl Actor {
    /// Whoever may open the data folder's socket.
    pub fn local() -> Self {
        Self { operator: "local".into(), from: "local".into() }
    }
}

/// What is done to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// No new work.
    Drain,
    /// Away with it.
    Ban,
    /// It is free.
    Unban,
}

impl Act {
    /// The word for it, in commands, forms and the log.
    pub fn word(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Ban => "ban",
            Self::Unban => "unban",
        }
    }

    /// The act of a word.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Drain, Self::Ban, Self::Unban].into_iter().find(|act| act.word() == word)
    }

    fn keep(self) -> Option<Keep> {
        match self {
            Self::Drain => Some(Keep::Drained),
            Self::Ban => Some(Keep::Banned),
            Self::Unban => None,
        }
    }
}

/// Does it, and comes back when it is on disk, in the journal and in the log. The log has a line before
/// (`asked`) and one after: what cannot be written down is not done.
///
/// # Errors
/// The reason is missing or too long, the contract knows no such worker, the disk refuses.
pub async fn restrain(
    state: &State,
    actor: &Actor,
    act: Act,
    worker: WorkerIdx,
    reason: &str,
) -> Result<(), Failure> {
    let on = worker.to_string();
    let (operator, from, act_word) = (&*actor.operator, &*actor.from, act.word());
    let asked = Entry { operator, from, act: act_word, on: &on, reason, outcome: "asked" };
    state.logbook.write(state.shared.now().unix_ms, &asked)?;
    let done = act_on(state, actor, act, worker, reason).await;
    let outcome = done.as_ref().map_or_else(|failure| failure.message.clone(), |()| "done".into());
    let ended = Entry { outcome: &outcome, ..asked };
    state.logbook.write(state.shared.now().unix_ms, &ended)?;
    tracing::info!(operator = actor.operator, act = act.word(), %worker, %outcome, "an operator acts");
    done
}

async fn act_on(
    state: &State,
    actor: &Actor,
    act: Act,
    worker: WorkerIdx,
    reason: &str,
) -> Result<(), Failure> {
    let reason = reason.trim();
    if act != Act::Unban {
        check_reason(reason)?;
    }
    let restraint = act.keep().map(|keep| Restraint {
        keep,
        reason: reason.to_owned(),
        by: actor.operator.clone(),
        at_unix_ms: state.shared.now().unix_ms,
    });
    let (reply, hear) = oneshot::channel();
    state.grid.do_send(Restrain { worker, restraint, reply });
    match hear.await {
        Ok(Reply::UnknownWorker) => {
            let text = format!("{worker} is not registered in this pool's contract");
            Err(Failure::new(Code::NotFound, text).hint("`worker ls` lists those that are"))
        }
        Ok(Reply::Restrained | Reply::Accepted { .. }) => Ok(()),
        Err(_) => Err(crate::http::stopping()),
    }
}

/// A reason is for the worker's owner too.
fn check_reason(reason: &str) -> Result<(), Failure> {
    let fits = !reason.is_empty() && reason.len() <= REASON_BYTES_MAX;
    if fits && !reason.chars().any(char::is_control) {
        return Ok(());
    }
    let text = format!(
        "reason of {} bytes: expected 1 to {REASON_BYTES_MAX}, without control characters",
        reason.len()
    );
    Err(Failure::new(Code::Usage, text).hint("one sentence; the worker's owner reads it too"))
}
