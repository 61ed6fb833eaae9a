//! What the demo came to, for people and as JSON, and whether it held.

use super::{
    books::Money,
    cast::{Claim, Reckoning, Role},
    work::Found,
};
use crate::{amount, output::Output, verify::Report};
use quorate_common::{
    api::{Amount, BatchView, OrderView},
    exit::Failure,
};
use quorate_scheduler::system::Running;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Gas, by what it was used for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gas {
    open_deal: u64,
    commit: u64,
    finalize: u64,
    claims: u64,
}

impl Gas {
    /// From the scheduler's counters and the claims' receipts.
    pub(super) fn read(running: &Running, claims: &[Claim]) -> Self {
        let gas = |kind: &str| running.shared.metrics.gas.with_label_values(&[kind]).get();
        Self {
            open_deal: gas("open_deal"),
            commit: gas("commit"),
            finalize: gas("finalize"),
            claims: claims.iter().map(|claim| claim.gas).sum(),
        }
    }

    fn settlement(&self) -> u64 {
        self.open_deal + self.commit + self.finalize
    }
}

/// Everything there is to say.
#[derive(Debug)]
pub(super) struct Summary {
    pub order: OrderView,
    pub batches: Vec<BatchView>,
    pub claims: Vec<Claim>,
    pub report: Report,
    pub found: Found,
    pub workers: Vec<Reckoning>,
    pub money: Money,
    pub gas: Gas,
    pub folder: PathBuf,
}

impl Summary {
    /// Whether everything held.
    pub(super) fn holds(&self) -> bool {
        self.checks().iter().all(|(_, held)| *held)
    }

    /// What had to hold, and whether it did.
    fn checks(&self) -> Vec<(&'static str, bool)> {
        let liar = self.workers.iter().find(|worker| worker.role == Role::Liar);
        vec![
            ("every task has an accepted result", self.order.accepted == self.order.tasks),
            ("the primes found are the known ones", self.found.primes == self.found.known),
            ("every receipt verifies", self.report.ok && self.report.receipts == self.order.tasks),
            ("every batch is final", self.batches.iter().all(|batch| batch.state == "final")),
            ("the liar lost stake", liar.is_some_and(|liar| liar.view.slashed > 0)),
            ("the liar lost score", liar.is_some_and(|liar| liar.view.score < liar.peak)),
            ("no honest worker was slashed", self.honest_unharmed()),
            ("everybody was paid what was earned", self.all_paid()),
            ("the contract's tokens add up to the last unit", self.money.adds_up()),
        ]
    }

    fn honest_unharmed(&self) -> bool {
        self.workers.iter().filter(|w| w.role != Role::Liar).all(|w| w.view.slashed == 0)
    }

    fn all_paid(&self) -> bool {
        self.workers.iter().all(|worker| {
            let claim = self.claims.iter().find(|claim| claim.worker == worker.view.worker);
            claim.is_some_and(|claim| claim.paid == worker.view.earned)
        })
    }

    /// Prints it.
    ///
    /// # Errors
    /// Standard output.
    pub(super) fn print(&self, output: Output) -> Result<(), Failure> {
        output.either(&self.document(), || self.text())
    }

    fn text(&self) -> String {
        let order = &self.order;
        let primes: Vec<String> = self.found.primes.iter().map(u64::to_string).collect();
        let tasks = f64::from(order.tasks.max(1));
        let replicas = u32::try_from(order.replicas).map_or(f64::NAN, f64::from);
        let gas = |gas: u64| u32::try_from(gas).map_or(f64::NAN, f64::from) / tasks;
        let mut text = format!(
            "Mersenne exponents found: {}\n\n\
             tasks            {} accepted of {}, trust {} ({} votes proven)\n\
             replicas         {} in all, {:.2} per task\n\
             dissenting votes {}\n\
             batches          {}, all final\n\
             gas per task     {:.0} to settle (deal, commit, finalize), {:.0} more for {} claims\n\n",
            primes.join(", "),
            order.accepted,
            order.tasks,
            order.trust,
            self.report.votes,
            order.replicas,
            replicas / tasks,
            order.dissents,
            self.batches.len(),
            gas(self.gas.settlement()),
            gas(self.gas.claims),
            self.claims.iter().filter(|claim| claim.paid > 0).count(),
        );
        text += &self.table();
        for (check, held) in self.checks() {
            text += &format!("\n  {}  {check}", if held { "ok    " } else { "FAILED" });
        }
        text += &format!("\n\nresults and receipts: {}", self.folder.display());
        text += &format!("\ncheck them yourself:  quorate verify {}", self.folder.display());
        text
    }

    fn table(&self) -> String {
        let head = ["worker", "role", "score", "slashed", "claimed", "line cuts"];
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY).set_header(head);
        for (worker, claim) in self.workers.iter().zip(&self.claims) {
            table.add_row([
                worker.view.worker.to_string(),
                worker.role.to_string(),
                format!("{} (peak {})", worker.view.score, worker.peak),
                amount::tokens(worker.view.slashed),
                amount::tokens(claim.paid),
                worker.cuts.to_string(),
            ]);
        }
        format!("{table}\n")
    }

    fn document(&self) -> Value {
        let worker = |(worker, claim): (&Reckoning, &Claim)| {
            json!({ "worker": worker.view.worker, "role": worker.role.to_string(),
                "score": worker.view.score, "peak": worker.peak, "line_cuts": worker.cuts,
                "earned": Amount(worker.view.earned), "slashed": Amount(worker.view.slashed),
                "claimed": Amount(claim.paid) })
        };
        let workers: Vec<Value> = self.workers.iter().zip(&self.claims).map(worker).collect();
        let checks: Vec<Value> =
            self.checks().iter().map(|(check, ok)| json!({ "check": check, "ok": ok })).collect();
        let money = &self.money;
        json!({
            "schema": "quorate.demo/v1",
            "ok": self.holds(),
            "primes": self.found.primes,
            "order": self.order,
            "batches": self.batches.len(),
            "workers": workers,
            "gas": { "open_deal": self.gas.open_deal, "commit": self.gas.commit,
                "finalize": self.gas.finalize, "claims": self.gas.claims },
            "money": { "held": Amount(money.held), "free": Amount(money.free),
                "staked": Amount(money.staked), "bond": Amount(money.bond),
                "locked": Amount(money.locked), "owed": Amount(money.owed),
                "unapplied": Amount(money.unapplied) },
            "verification": self.report,
            "checks": checks,
            "output": self.folder,
        })
    }
}
