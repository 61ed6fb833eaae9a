//! One session with the scheduler: who it is, who we are to it, which deals it described.
//! What its duties ask for is `working`'s and `votes`' business.

use crate::{
    Agent, Effect,
    duties::{Breach, Frame, Verified},
    escape::FORCE_S,
};
use quorate_common::{
    Address,
    bug::{self, Bug},
    clock::Now,
    ids::{DealSlot, TaskKey, WorkerIdx},
    wire::{DealInfo, Duties, Goodbye, ToWorker, Welcome},
};
use std::collections::BTreeSet;

/// Deals one session may describe: a year of one new deal every ten minutes, 10 MB. At the limit
/// the session ends, and the next one starts with none.
pub(crate) const SESSION_DEALS_MAX: usize = 1 << 16;

/// First pause before an unregistered worker says hello again: who runs `join` and then `run` is known
/// to the scheduler a second later. Each further pause is twice as long.
pub(crate) const ASK_AGAIN_FIRST_MS: u64 = 1_000;

/// The longest such pause: about a block of a slow chain.
pub(crate) const ASK_AGAIN_CAP_MS: u64 = 15_000;
/// Characters of a scheduler's notice that are kept: a reason of its operator, and the sentence around it.
const NOTICE_CHARS_MAX: usize = 400;

/// Where the talk with the scheduler stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Session {
    /// No connection, or one that is being ended.
    Down,
    /// Connected; `Welcome` has not come.
    Greeting,
    /// The scheduler said who it is.
    Up {
        /// Who signs its duties.
        signer: Address,
        /// What the contract calls us; absent until it knows our node key.
        worker: Option<WorkerIdx>,
        /// Monotonic milliseconds of the welcome.
        since_ms: u64,
    },
}

impl Agent {
    pub(crate) fn on_link_up(&mut self) {
        self.session = Session::Greeting;
        let held: BTreeSet<DealSlot> =
            self.work.keys().chain(self.kept.keys()).map(|task| task.deal).collect();
        self.deals.retain(|slot, _| held.contains(slot));
        for job in self.kept.values_mut() {
            job.sent = None;
        }
        let holding = self.holding();
        self.effect(Effect::Hello { slots: self.offered(), holding });
    }

    pub(crate) fn on_link_down(&mut self) {
        self.session = Session::Down;
    }

    pub(crate) fn on_frame(&mut self, now: Now, frame: ToWorker) {
        if self.session == Session::Down {
            return;
        }
        if let Err(breach) = self.take_frame(now, frame) {
            self.session = Session::Down;
            self.effect(Effect::HangUp(breach));
        }
    }

    /// Slots as the scheduler should see them.
    pub(crate) fn offered(&self) -> u16 {
        let takes = self.take && self.rest.is_none() && !self.leaving;
        if takes { self.slots } else { 0 }
    }

    /// Tells the scheduler what is offered now.
    pub(crate) fn say_slots(&mut self) {
        if self.is_up() {
            self.effect(Effect::Slots(self.offered()));
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        matches!(self.session, Session::Up { .. })
    }

    pub(crate) fn worker(&self) -> Option<WorkerIdx> {
        match self.session {
            Session::Up { worker, .. } => worker,
            Session::Down | Session::Greeting => None,
        }
    }

    fn take_frame(&mut self, now: Now, frame: ToWorker) -> Result<(), Breach> {
        if self.session == Session::Greeting {
            return match frame {
                ToWorker::Welcome(welcome) => self.on_welcome(now, welcome),
                ToWorker::Goodbye(goodbye) => {
                    self.on_goodbye(goodbye);
                    Ok(())
                }
                ToWorker::Deal(_) => Err(Breach::NotWelcomed("Deal")),
                ToWorker::Duties(_) => Err(Breach::NotWelcomed("Duties")),
                ToWorker::Cancel(_) => Err(Breach::NotWelcomed("Cancel")),
                ToWorker::Fetch { .. } => Err(Breach::NotWelcomed("Fetch")),
                ToWorker::Settled(_) => Err(Breach::NotWelcomed("Settled")),
            };
        }
        match frame {
            ToWorker::Welcome(welcome) => self.on_welcome(now, welcome)?,
            ToWorker::Deal(deal) => self.on_deal(deal)?,
            ToWorker::Duties(duties) => self.on_duties(now, duties)?,
            ToWorker::Cancel(replicas) => {
                for (task, attempt) in replicas {
                    self.on_cancel(task, attempt);
                }
            }
            ToWorker::Fetch { task, digest } => self.on_fetch(task, digest),
            ToWorker::Settled(items) => {
                for item in items {
                    self.on_settled(item);
                }
            }
            ToWorker::Goodbye(goodbye) => self.on_goodbye(goodbye),
        }
        Ok(())
    }

    fn on_welcome(&mut self, now: Now, welcome: Welcome) -> Result<(), Breach> {
        let Welcome { pool, domain, signer, worker, stake, score, unix_ms, notice } = welcome;
        if pool != self.config.pool {
            return Err(Breach::WrongPool { got: pool, expected: self.config.pool });
        }
        if domain != self.config.domain {
            return Err(Breach::WrongDomain { got: domain, expected: self.config.domain });
        }
        if let Session::Up { signer: before, worker: was, .. } = self.session {
            if signer != before {
                return Err(Breach::Changed("signer"));
            }
            if was.is_some() && worker != was {
                return Err(Breach::Changed("worker"));
            }
        }
        (self.stake, self.score) = (stake, score);
        self.notice = readable(&notice);
        self.set_clock(i128::from(unix_ms) - i128::from(now.mono_ms));
        self.session = Session::Up { signer, worker, since_ms: now.mono_ms };
        self.unknown = if worker.is_none() { self.unknown + 1 } else { 0 };
        self.forget_renumbered(worker);
        if !bug::is(Bug::NeverAgain) {
            self.send_due_votes(now);
        }
        Ok(())
    }

    /// The scheduler's clock is the one that counts. What was said on chain by one that was far off was said at the
    /// wrong time, and is said again.
    fn set_clock(&mut self, shift_ms: i128) {
        let off_ms = self.shift_ms.abs_diff(shift_ms);
        if off_ms > u128::from(FORCE_S) * 1000 {
            for job in self.kept.values_mut() {
                (job.demanded, job.forced) = (false, false);
            }
        }
        (self.shift_ms, self.told_time) = (shift_ms, true);
    }

    fn on_deal(&mut self, deal: DealInfo) -> Result<(), Breach> {
        match self.deals.get(&deal.slot) {
            Some(known) if *known == deal => return Ok(()),
            Some(_) => return Err(Breach::DealChanged(deal.slot)),
            None => {}
        }
        if self.deals.len() >= SESSION_DEALS_MAX {
            return Err(Breach::TooManyDeals(SESSION_DEALS_MAX));
        }
        self.deals.insert(deal.slot, deal);
        Ok(())
    }

    fn on_duties(&mut self, now: Now, duties: Duties) -> Result<(), Breach> {
        let Session::Up { signer, worker: Some(worker), .. } = self.session else {
            return Err(Breach::NotRegistered);
        };
        let frame = Frame {
            separator: &self.separator,
            pool: self.config.pool,
            worker,
            signer,
            deal_id: |slot| self.deals.get(&slot).map(|deal| deal.id),
        };
        let Verified { assigns, commit_acks, sets, reveal_acks } = frame.verify(duties)?;
        for assign in assigns {
            self.on_assign(now, worker, assign);
        }
        for ack in commit_acks {
            self.on_commit_ack(worker, ack);
        }
        for set in sets {
            self.on_commit_set(now, worker, set);
        }
        for ack in reveal_acks {
            self.on_reveal_ack(worker, ack);
        }
        Ok(())
    }

    /// When to say hello again, because the last welcome was for a stranger.
    pub(crate) fn ask_again_at(&self) -> Option<u64> {
        match self.session {
            Session::Up { worker: None, since_ms, .. } => {
                let pause = ASK_AGAIN_FIRST_MS << self.unknown.saturating_sub(1).min(10);
                Some(since_ms + pause.min(ASK_AGAIN_CAP_MS))
            }
            Session::Up { worker: Some(_), .. } | Session::Down | Session::Greeting => None,
        }
    }

    /// A scheduler looks up who says hello, and not again; who registers later must return.
    pub(crate) fn ask_again(&mut self, now: Now) {
        if self.ask_again_at().is_some_and(|at| at <= now.mono_ms) {
            self.session = Session::Down;
            let reason = "this worker is not registered with the pool's contract yet".into();
            self.effect(Effect::Parted { reason, retry_ms: Some(0) });
        }
    }

    fn on_goodbye(&mut self, goodbye: Goodbye) {
        self.session = Session::Down;
        let Goodbye { reason, retry_ms } = goodbye;
        self.effect(Effect::Parted { reason, retry_ms });
    }

    /// Every job the scheduler may still want, by task. All fit into a `Hello`.
    fn holding(&self) -> Vec<(TaskKey, u16)> {
        let work = self.work.iter().map(|(task, work)| (*task, work.attempt));
        let kept = self.kept.iter().filter(|(_, job)| !job.cancelled);
        let kept = kept.map(|(task, job)| (*task, job.attempt));
        let mut holding: Vec<(TaskKey, u16)> = work.chain(kept).collect();
        holding.sort_unstable();
        holding
    }
}

/// What a scheduler says to people, without what would steer a terminal, and not more than a screen's lines.
fn readable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(NOTICE_CHARS_MAX).collect()
}
