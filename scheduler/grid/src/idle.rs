//! Why nothing is scheduled, for the whole pool: the first thing that is true of it, in the order in which it
//! would have to change, and what waits for what. Looks at a few deals only, each of which is a look at every
//! worker.

use crate::{explain::WaitingTasks, grid::Grid, task::Task};
use quorate_common::ids::{DealSlot, TaskKey};
use serde::Serialize;

/// Deals that are looked at: those whose turn it is.
const DEALS_LOOKED: usize = 4;

/// Why nothing is scheduled, or that all is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PoolExplanation {
    /// In one word: `nobody`, `no_orders`, `opening`, `bytes`, `offline`, `full`, `running`, `held`, or an
    /// obstacle (see [`crate::Obstacle`]).
    pub reason: &'static str,
    /// Whether work is waiting that nobody does, and somebody could change that.
    pub stuck: bool,
    /// What would change it.
    pub hint: String,
    /// Workers that are connected.
    pub connected: usize,
    /// Their slots.
    pub slots: u64,
    /// Replicas under way.
    pub busy: u64,
    /// Tasks nobody was asked for yet.
    pub queued: u64,
    /// Tasks under way.
    pub open: u64,
    /// What some of the waiting tasks wait for, by reason, most tasks first.
    pub waiting: Vec<WaitingTasks>,
}

impl Grid {
    /// Why nothing is scheduled.
    pub fn explain_pool(&self) -> PoolExplanation {
        let headcount = self.headcount();
        let waiting = self.waiting_of_some();
        let left = headcount.queued + headcount.open;
        let full = headcount.slots > 0 && headcount.busy >= headcount.slots;
        let (reason, stuck, hint) = if headcount.known == 0 {
            ("nobody", left > 0, "no worker is registered: hand out an invitation")
        } else if headcount.running == 0 && headcount.opening > 0 {
            ("opening", false, "deals are being opened on chain; no task can start before")
        } else if headcount.running == 0 {
            ("no_orders", false, "no task is left: work comes when somebody places an order")
        } else if headcount.unready == headcount.running {
            ("bytes", true, "bags or modules are not here: their requesters must upload them")
        } else if headcount.connected == 0 {
            ("offline", true, "no worker is connected: is quic.listen reachable from outside?")
        } else if full && headcount.queued > 0 {
            ("full", false, "all slots are at work and more is waiting: more workers would help")
        } else if waiting.is_empty() && headcount.busy > 0 {
            ("running", false, "everything that is left is being worked on")
        } else if waiting.is_empty() {
            ("held", false, "answers are there, and wait for the checks that the pool promises")
        } else {
            let first = &waiting[0].workers;
            let stuck = !matches!(first.reason, "turn" | "busy");
            return Self::explained(headcount, waiting.clone(), (first.reason, stuck, &first.hint));
        };
        Self::explained(headcount, waiting, (reason, stuck, hint))
    }

    fn explained(
        headcount: crate::headcount::Headcount,
        waiting: Vec<WaitingTasks>,
        (reason, stuck, hint): (&'static str, bool, &str),
    ) -> PoolExplanation {
        PoolExplanation {
            reason,
            stuck,
            hint: hint.to_owned(),
            connected: headcount.connected,
            slots: headcount.slots,
            busy: headcount.busy,
            queued: headcount.queued,
            open: headcount.open,
            waiting,
        }
    }

    /// What the next tasks of some deals wait for.
    fn waiting_of_some(&self) -> Vec<WaitingTasks> {
        let mut found: Vec<WaitingTasks> = Vec::new();
        for slot in self.deals_in_turn() {
            let deal = &self.durable.deals[&slot];
            let queued = TaskKey { deal: slot, idx: deal.next };
            let queued = matches!(self.task(queued), Some(Task::Queued)).then_some(queued);
            let Some(key) = queued.or_else(|| self.wanting.of_deal(slot).next()) else { continue };
            let tasks = (deal.terms.tasks - deal.next) as usize + self.wanting.count(slot);
            let workers = self.waiting(key);
            match found.iter_mut().find(|known| known.workers.reason == workers.reason) {
                Some(known) => known.tasks += tasks,
                None => {
                    let example = deal.terms.filled_before + key.idx;
                    found.push(WaitingTasks { tasks, example, workers });
                }
            }
        }
        found.sort_by_key(|waiting| std::cmp::Reverse(waiting.tasks));
        found
    }

    /// The oldest deals with tasks that want somebody.
    fn deals_in_turn(&self) -> Vec<DealSlot> {
        let wants = |slot: &DealSlot| self.fresh.contains(*slot) || self.wanting.count(*slot) > 0;
        let open = self.durable.deals.iter().filter(|(_, deal)| deal.ready && !deal.finished());
        open.map(|(slot, _)| *slot).filter(wants).take(DEALS_LOOKED).collect()
    }
}
