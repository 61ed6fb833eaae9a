//! What the tasks of a deal wait for together: one preparation, which lasts as long as somebody waits for it. A task
//! waits until its deadline at most, so that is when a compiler ends that does not end by itself.
//!
//! A runtime pack's goes on without: compiling it takes minutes, more than many a task may, and what comes of it
//! serves other orders. It has an end of its own, see `engine`.

use super::PreparedDeal;
use crate::engine::Cancel;
use quorate_common::wire::GiveUpReason;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::{sync::OnceCell, task::JoinHandle};

/// What is kept for all tasks of a deal.
pub(super) type Kept = Result<Arc<PreparedDeal>, GiveUpReason>;

/// The outer error is this attempt's and may pass, the inner one is the deal's own and is kept.
pub(super) type Outcome = Result<Kept, GiveUpReason>;

/// A deal's preparation.
#[derive(Default)]
pub(super) struct Cell {
    pub(super) ready: OnceCell<Kept>,
    /// A thread at work. It is nobody's: whoever began it may stop waiting before others do.
    work: tokio::sync::Mutex<Option<JoinHandle<Outcome>>>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    tasks: usize,
    /// Of the work that was begun last.
    cancel: Option<Cancel>,
    goes_on: bool,
}

/// A task that waits.
pub(super) struct Waiter<'a>(&'a Cell);

impl Cell {
    /// Waits until this is dropped.
    pub(super) fn wait(&self) -> Waiter<'_> {
        self.waiting().tasks += 1;
        Waiter(self)
    }

    /// What comes of the work under way, or else of what `begin` begins, which stops when `cancel` says so.
    pub(super) async fn outcome(
        &self,
        cancel: Cancel,
        goes_on: bool,
        begin: impl FnOnce(Cancel) -> JoinHandle<Outcome>,
    ) -> Outcome {
        let mut work = self.work.lock().await;
        if self.is_stopped()
            && let Some(stopped) = &mut *work
        {
            let left = stopped.await;
            *work = None;
            if let Ok(Ok(kept)) = left {
                return Ok(kept);
            }
        }
        let under_way = work.get_or_insert_with(|| {
            let mut waiting = self.waiting();
            (waiting.cancel, waiting.goes_on) = (Some(cancel.clone()), goes_on);
            begin(cancel)
        });
        let outcome = under_way.await;
        *work = None;
        self.waiting().cancel = None;
        outcome.map_err(|_| GiveUpReason::Engine)?
    }

    /// Ends the work under way, whoever waits for it.
    pub(super) fn stop(&self) {
        self.waiting().cancel.iter().for_each(Cancel::cancel);
    }

    fn is_stopped(&self) -> bool {
        self.waiting().cancel.as_ref().is_some_and(Cancel::is_cancelled)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting();
        waiting.tasks -= 1;
        if waiting.tasks == 0 && !waiting.goes_on {
            waiting.cancel.iter().for_each(Cancel::cancel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Work that lasts until it is cancelled, and says so.
    fn patient(cancel: Cancel) -> JoinHandle<Outcome> {
        tokio::spawn(async move {
            while !cancel.is_cancelled() {
                tokio::task::yield_now().await;
            }
            Err(GiveUpReason::Leaving)
        })
    }

    fn done(reason: GiveUpReason) -> impl FnOnce(Cancel) -> JoinHandle<Outcome> {
        move |_| tokio::spawn(async move { Ok(Err(reason)) })
    }

    /// A waiter that gives up after a moment.
    async fn impatient(cell: &Cell, goes_on: bool, cancel: &Cancel) {
        let _waiter = cell.wait();
        let work = cell.outcome(cancel.clone(), goes_on, patient);
        tokio::time::timeout(Duration::from_millis(5), work).await.expect_err("it is patient");
    }

    #[tokio::test]
    async fn the_last_who_waits_ends_the_work_and_the_next_begins_anew() {
        let (cell, cancel) = (Cell::default(), Cancel::new());
        let second = cell.wait();
        impatient(&cell, false, &cancel).await;
        assert!(!cancel.is_cancelled(), "somebody waits");
        let joined = cell.outcome(Cancel::new(), false, done(GiveUpReason::Input));
        tokio::time::timeout(Duration::from_millis(5), joined).await.expect_err("it goes on");
        drop(second);
        assert!(cancel.is_cancelled());
        let _waiter = cell.wait();
        let anew = cell.outcome(Cancel::new(), false, done(GiveUpReason::Input)).await;
        assert_eq!(anew.expect("of the deal").expect_err("no deal"), GiveUpReason::Input);
    }

    #[tokio::test]
    async fn what_serves_others_goes_on_alone_until_all_is_stopped() {
        let (cell, cancel) = (Cell::default(), Cancel::new());
        impatient(&cell, true, &cancel).await;
        assert!(!cancel.is_cancelled());
        cell.stop();
        assert!(cancel.is_cancelled());
    }

    #[tokio::test]
    async fn what_a_stopped_work_says_of_the_deal_is_kept() {
        let (cell, cancel) = (Cell::default(), Cancel::new());
        let waiter = cell.wait();
        let begun = cell.outcome(cancel.clone(), false, |cancel: Cancel| {
            tokio::spawn(async move {
                while !cancel.is_cancelled() {
                    tokio::task::yield_now().await;
                }
                Ok(Err(GiveUpReason::Deadline))
            })
        });
        tokio::time::timeout(Duration::from_millis(5), begun).await.expect_err("it is patient");
        drop(waiter);
        let _waiter = cell.wait();
        let kept = cell.outcome(Cancel::new(), false, done(GiveUpReason::Input)).await;
        assert_eq!(kept.expect("of the deal").expect_err("no deal"), GiveUpReason::Deadline);
    }
}
