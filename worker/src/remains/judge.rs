//! To have what a pool left judged by the votes that were shown, one transaction for each task. Leaves out
//! how votes come to be shown: that is in the acts beside.

use super::{
    Remains,
    acts::{Outcome, Report, Sender},
};
use quorate_chain::{B256, SettleError};
use quorate_common::ids::DealId;
use std::collections::BTreeSet;

/// A task that was left: its deal, its place there, its id.
type Left = (DealId, u32, B256);

impl Remains {
    /// Has every task judged of which votes were shown, by anybody: again and again while it helps,
    /// because what is settled raises scores, and more of the others may be decided by them.
    ///
    /// # Errors
    /// The chain's.
    pub async fn settle(&self, sender: &Sender) -> Result<Vec<Report>, SettleError> {
        let shown = self.escape.shown_tasks(self.pool, self.first_block).await?;
        let mut left = self.tasks_of(shown);
        let mut reports = Vec::new();
        loop {
            let (undecided, settled) = self.settle_each(left, sender).await?;
            let has_helped =
                settled.iter().any(|report| matches!(report.outcome, Outcome::Done { .. }));
            reports.extend(settled);
            if undecided.is_empty() || !has_helped {
                reports.extend(undecided.into_iter().map(|(_, report)| report));
                reports.sort_by_key(|report| (report.deal, report.task));
                return Ok(reports);
            }
            left = undecided.into_iter().map(|(task, _)| task).collect();
        }
    }

    /// Tries each once: what the votes do not decide yet, and all else that came of it.
    async fn settle_each(
        &self,
        tasks: Vec<Left>,
        sender: &Sender,
    ) -> Result<(Vec<(Left, Report)>, Vec<Report>), SettleError> {
        let (mut undecided, mut settled) = (Vec::new(), Vec::new());
        for left in tasks {
            let Some(report) = self.settle_one(left, sender).await? else { continue };
            let wanting = |outcome: &Outcome| matches!(outcome, Outcome::Refused { error, .. } if error == "Undecided");
            if wanting(&report.outcome) {
                undecided.push((left, report));
            } else {
                settled.push(report);
            }
        }
        Ok((undecided, settled))
    }

    async fn settle_one(
        &self,
        (deal, task_idx, task_id): Left,
        sender: &Sender,
    ) -> Result<Option<Report>, SettleError> {
        let Some(task) = self.unsettled(deal, task_idx) else { return Ok(None) };
        let outcome = if self.escape.winner_of(task_id).await?.is_some() {
            Outcome::Already
        } else {
            let ballots = self.escape.shown_for(task_id).await?;
            let voters: Vec<_> = ballots.iter().map(|b| self.voter(b.worker)).collect();
            self.act(sender, self.escape.settle(&task, &voters), true).await?
        };
        let slot = self.deals[&deal].slot;
        Ok(Some(Report { deal: slot, task: task_idx, act: "settle", outcome }))
    }

    /// Which tasks of which deals the ids are: their names only go one way.
    fn tasks_of(&self, mut ids: BTreeSet<B256>) -> Vec<Left> {
        let mut found = Vec::new();
        for (deal, opened) in &self.deals {
            for task_idx in 0..opened.terms.tasks {
                if ids.is_empty() {
                    return found;
                }
                let task_id = deal.task_id(task_idx);
                if ids.remove(&task_id) {
                    found.push((*deal, task_idx, task_id));
                }
            }
        }
        found
    }
}
