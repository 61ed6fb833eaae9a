//! Why settlement is late, or when it is due: a pure function of what is known.

use super::Told;
use serde::Serialize;

/// Seconds after a batch's window in which its finalization is not late: a few looks and a transaction.
const FINALIZE_GRACE_S: u64 = 600;
/// Seconds without a block after which a chain is not believed to be well. The slowest preset makes one in two
/// seconds; development chains make none while nobody acts, and are believed.
pub const CHAIN_SILENT_S: u64 = 300;

/// What is known.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Our clock.
    pub now_unix_s: u64,
    /// Tasks in the open batch.
    pub open_tasks: usize,
    /// When it was opened.
    pub open_since_s: u64,
    /// Tasks that close it.
    pub batch_tasks: u32,
    /// Age that closes it.
    pub batch_s: u64,
    /// The contract's challenge window.
    pub window_s: u64,
    /// Batches that are not final, oldest first.
    pub pending: Vec<Pending>,
    /// What stands against sending transactions, if something does.
    pub outbox: Option<String>,
    /// The chain, or why it does not answer.
    pub chain: Result<Chain, String>,
}

/// A batch that is not final.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Its index.
    pub batch: u64,
    /// Tasks in it.
    pub tasks: u32,
    /// What of it counts against the bond.
    pub value: u128,
    /// Whether it is on chain.
    pub is_committed: bool,
    /// Since when, once its event was heard.
    pub committed_at: Option<u64>,
    /// Until when a vote it shows as never revealed could still be said on chain.
    pub silent_until: Option<u64>,
}

/// What the contract says.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    /// Time of the newest block.
    pub block_unix_s: u64,
    /// Newest committed batch.
    pub head: u64,
    /// The operator's bond.
    pub bond: u128,
    /// What pending batches count against it.
    pub pending_value: u128,
}

/// Why settlement is late, if it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SettlementExplanation {
    /// Whether somebody must do something.
    pub late: bool,
    /// In one word: `nothing`, `open`, or the first step that is late, or else the first that is under way.
    pub reason: &'static str,
    /// What would change it, or what it waits for.
    pub hint: String,
    /// Every step that is left, oldest batch first, the open one last.
    pub steps: Vec<Step>,
}

/// What a batch waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The batch; `None`: the open one.
    pub batch: Option<u64>,
    /// Its tasks.
    pub tasks: u64,
    /// In one word: `outbox`, `chain`, `bond`, `silence`, `sending`, `window`, `finalizing`, `open`.
    pub reason: &'static str,
    /// Whether it is late.
    pub late: bool,
    /// Unix seconds at which it is due, where that is known.
    pub due_unix_s: Option<u64>,
    /// What would change it, or what it waits for.
    pub hint: String,
}

/// Why settlement is late, or when it is due.
pub fn explain(facts: &Facts) -> SettlementExplanation {
    let mut steps: Vec<Step> = facts.pending.iter().map(|pending| step(facts, pending)).collect();
    if facts.open_tasks > 0 {
        steps.push(open(facts));
    }
    let first = steps.iter().find(|step| step.late).or(steps.first());
    let (reason, hint) = match first {
        Some(step) => (step.reason, step.hint.clone()),
        None => ("nothing", "everything that was settled is final".to_owned()),
    };
    SettlementExplanation { late: steps.iter().any(|step| step.late), reason, hint, steps }
}

fn open(facts: &Facts) -> Step {
    let hint = format!(
        "it closes with {} tasks, or {} s after its first (batch.tasks, batch.age_s)",
        facts.batch_tasks, facts.batch_s
    );
    let due = Some(facts.open_since_s + facts.batch_s);
    let tasks = facts.open_tasks as u64;
    Step { batch: None, tasks, reason: "open", late: false, due_unix_s: due, hint }
}

fn step(facts: &Facts, pending: &Pending) -> Step {
    let due = pending.committed_at.map(|at| at + facts.window_s);
    let over = pending.is_committed && due.is_some_and(|due| due <= facts.now_unix_s);
    let (reason, late, due_unix_s, hint) = match &facts.chain {
        _ if pending.is_committed && !over => (
            "window",
            false,
            due,
            "its challenge window is open; nothing has to be done".to_owned(),
        ),
        Err(why) => (
            "chain",
            true,
            None,
            format!("the chain's node does not answer: {why}; check chain.url"),
        ),
        Ok(chain) => acting(facts, pending, chain, due),
    };
    let (batch, tasks) = (Some(pending.batch), pending.tasks.into());
    Step { batch, tasks, reason, late, due_unix_s, hint }
}

type Told4 = (&'static str, bool, Option<u64>, String);

/// A transaction is due: what keeps it.
fn acting(facts: &Facts, pending: &Pending, chain: &Chain, due: Option<u64>) -> Told4 {
    let cap = chain.bond / 3 * 2;
    let silent =
        pending.silent_until.filter(|until| !pending.is_committed && *until > facts.now_unix_s);
    let bond = !pending.is_committed && pending.value.saturating_add(chain.pending_value) > cap;
    if let Some(until) = silent {
        let hint = "it shows a vote as never revealed, which may still be said on chain until then";
        return ("silence", false, Some(until), hint.to_owned());
    }
    if let Some(trouble) = &facts.outbox {
        return ("outbox", true, None, trouble.clone());
    }
    if bond {
        let hint = "two thirds of the bond cap what may be pending: add bond, or wait until older \
                    batches are final";
        return ("bond", true, None, hint.to_owned());
    }
    if pending.is_committed {
        let late = due.is_some_and(|due| facts.now_unix_s > due + FINALIZE_GRACE_S);
        let hint = "its window is over: it is being finalized, older ones first";
        return ("finalizing", late, due, hint.to_owned());
    }
    ("sending", false, None, "it is being signed and brought on chain, older ones first".to_owned())
}

impl SettlementExplanation {
    /// In words.
    pub fn told(&self) -> Told {
        let answer = match (self.late, self.reason) {
            (_, "nothing") => "Everything that was settled is final.".to_owned(),
            (true, reason) => format!("Settlement is late ({reason})."),
            (false, reason) => format!("Settlement is on its way ({reason})."),
        };
        let facts = self.steps.iter().map(|step| {
            let name = step.batch.map_or("open batch".into(), |batch| format!("batch {batch}"));
            (name, format!("{} tasks, {}: {}", step.tasks, step.reason, step.hint))
        });
        let tone = if self.late { "bad" } else { "ok" }.into();
        let hint = if self.reason == "nothing" { String::new() } else { self.hint.clone() };
        Told { answer, hint, tone, facts: facts.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn pending(batch: u64) -> Pending {
        let (is_committed, committed_at, silent_until) = (false, None, None);
        Pending { batch, tasks: 512, value: 100, is_committed, committed_at, silent_until }
    }

    fn facts() -> Facts {
        Facts {
            now_unix_s: NOW,
            open_tasks: 0,
            open_since_s: 0,
            batch_tasks: 512,
            batch_s: 600,
            window_s: 172_800,
            pending: vec![pending(4)],
            outbox: None,
            chain: Ok(Chain { block_unix_s: NOW, head: 3, bond: 3_000, pending_value: 0 }),
        }
    }

    /// What changes, the reason, whether that is late.
    type Case = (fn(&mut Facts), &'static str, bool);

    #[test]
    fn every_delay_has_its_reason() {
        let cases: [Case; 10] = [
            (|f| f.pending.clear(), "nothing", false),
            (|_| {}, "sending", false),
            (|f| f.outbox = Some("the gas account is empty".into()), "outbox", true),
            (|f| f.chain = Err("connection refused".into()), "chain", true),
            (|f| f.pending[0].value = 2_001, "bond", true),
            (|f| f.pending[0].silent_until = Some(NOW + 60), "silence", false),
            (|f| commit(f, NOW - 100), "window", false),
            (|f| commit(f, NOW - 172_800), "finalizing", false),
            (|f| commit(f, NOW - 172_800 - 601), "finalizing", true),
            (
                |f| {
                    f.pending.clear();
                    (f.open_tasks, f.open_since_s) = (3, NOW - 60);
                },
                "open",
                false,
            ),
        ];
        for (change, reason, late) in cases {
            let mut facts = facts();
            change(&mut facts);
            let told = explain(&facts);
            assert_eq!((told.reason, told.late), (reason, late));
            assert!(!told.hint.is_empty() && !told.told().answer.is_empty());
        }
    }

    fn commit(facts: &mut Facts, at: u64) {
        let batch = &mut facts.pending[0];
        (batch.is_committed, batch.committed_at) = (true, Some(at));
    }

    #[test]
    fn the_late_step_is_told_before_those_that_wait_their_time() {
        let mut facts = facts();
        commit(&mut facts, NOW - 5);
        facts.pending.push(pending(5));
        facts.outbox = Some("fee cap".into());
        let told = explain(&facts);
        assert_eq!((told.reason, told.steps.len()), ("outbox", 2));
        assert_eq!(told.steps[0].due_unix_s, Some(NOW - 5 + 172_800));
    }
}
