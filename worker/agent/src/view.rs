//! What a worker's owner may see: a picture without keys, salts or results.

use crate::{Agent, Totals, WorkStage, job::Shown, session::Session};
use quorate_common::{
    digest::Digest,
    ids::{TaskKey, WorkerIdx},
};
use serde::{Deserialize, Serialize};

/// The agent at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// How the talk with the scheduler stands.
    pub link: LinkView,
    /// The worker's index, if the contract knows it.
    pub worker: Option<WorkerIdx>,
    /// Token units at stake, as the scheduler says.
    pub stake: u128,
    /// The worker's score, as the scheduler says.
    pub score: u32,
    /// Replicas offered.
    pub slots: u16,
    /// What the pool's operator has to say to this worker; empty: nothing.
    #[serde(default)]
    pub notice: String,
    /// Nothing new is taken: the program was told to leave.
    pub leaving: bool,
    /// Runs are held in memory: the owner wants the machine.
    #[serde(default)]
    pub resting: bool,
    /// Runs that hold a slot.
    pub running: usize,
    /// Every job, by task.
    pub jobs: Vec<JobView>,
    /// Votes sent or to be sent that the scheduler has not acknowledged.
    pub unacked: usize,
    /// Replicas given back since the program began.
    pub gave_up: u64,
    /// What all settled jobs brought.
    pub totals: Totals,
}

/// How the talk with the scheduler stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkView {
    /// No connection.
    Down,
    /// Connected, not welcomed yet.
    Greeting,
    /// Welcomed, but the contract does not know this worker.
    Unregistered,
    /// At work.
    Up,
}

/// One job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobView {
    /// Which task.
    pub task: TaskKey,
    /// Which round.
    pub attempt: u16,
    /// How far it is.
    pub stage: StageName,
    /// The module, or the pack's document.
    #[serde(default)]
    pub app: Digest,
    /// Token units the deal pays for it: shared by those who agree.
    #[serde(default)]
    pub price: u128,
}

/// How far a job is, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageName {
    /// Inputs are on their way.
    Fetching,
    /// No slot is free.
    Waiting,
    /// It runs.
    Running,
    /// Its commitment is not acknowledged.
    Sealed,
    /// Its commitment is acknowledged.
    Acked,
    /// Its result is shown, not acknowledged.
    Revealing,
    /// Its result is acknowledged.
    Revealed,
}

impl Agent {
    /// The agent as its owner may see it.
    pub fn view(&self) -> View {
        View {
            link: self.link_view(),
            worker: self.worker().or(self.last_worker),
            stake: self.stake,
            score: self.score,
            slots: self.offered(),
            notice: self.notice.clone(),
            leaving: self.leaving,
            resting: self.rest.is_some(),
            running: self.running.len(),
            jobs: self.job_views(),
            unacked: self.kept.values().filter(|job| job.vote_until().is_some()).count(),
            gave_up: self.gave_up,
            totals: self.totals,
        }
    }

    fn link_view(&self) -> LinkView {
        match self.session {
            Session::Down => LinkView::Down,
            Session::Greeting => LinkView::Greeting,
            Session::Up { worker: None, .. } => LinkView::Unregistered,
            Session::Up { worker: Some(_), .. } => LinkView::Up,
        }
    }

    fn job_views(&self) -> Vec<JobView> {
        let work = self.work.iter().map(|(task, work)| {
            let stage = match work.stage {
                WorkStage::Fetching => StageName::Fetching,
                WorkStage::Waiting => StageName::Waiting,
                WorkStage::Running => StageName::Running,
            };
            JobView {
                task: *task,
                attempt: work.attempt,
                stage,
                app: work.deal.app,
                price: work.deal.unit_price,
            }
        });
        let kept = self.kept.iter().map(|(task, job)| {
            let stage = match job.shown {
                Shown::Sealed => StageName::Sealed,
                Shown::Acked(_) => StageName::Acked,
                Shown::Revealing(_) => StageName::Revealing,
                Shown::Revealed(_) => StageName::Revealed,
            };
            JobView { task: *task, attempt: job.attempt, stage, app: job.app, price: job.price }
        });
        let mut jobs: Vec<JobView> = work.chain(kept).collect();
        jobs.sort_unstable_by_key(|job| job.task);
        jobs
    }
}
