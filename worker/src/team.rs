//! One machine for several pools: an agent and a line for each, and what the policy allows divided among them.
//! How it is divided is `quorate_policy::shares`'; here it is carried out.

use crate::{
    allowance::Allowance,
    start::{Reins, WorkerHandle},
    status::{PoolStatus, Status},
};
use quorate_agent::StageName;
use quorate_policy::shares::{Member, Shares};
use std::{sync::Arc, time::Instant};
use tokio::sync::{Notify, watch};

/// A pool beside the first, at work.
#[derive(Debug)]
pub struct Guest {
    /// What its owner calls it.
    pub name: String,
    /// Its part, against those of others.
    pub share: u16,
    /// The strings of its agent.
    pub handle: WorkerHandle,
}

/// The strings of one pool.
#[derive(Debug)]
struct Seat {
    name: String,
    share: u16,
    reins: Reins,
    status: watch::Receiver<Status>,
    last: Option<Allowance>,
}

/// Every pool of this worker: the first, whose folder is the worker's own, and guests.
#[derive(Debug)]
pub struct Team {
    seats: Vec<Seat>,
    shares: Shares,
    began: Instant,
    news: Arc<Notify>,
}

/// The parts of a first allowance, before anything runs: of the first pool, then of each guest.
pub fn first_parts(allowance: Allowance, shares: &[u16]) -> Vec<Allowance> {
    let members = shares.iter().map(|share| Member { share: *share, has_work: false });
    let members: Vec<Member> = members.collect();
    let parts = Shares::default().divide(0, allowance.slots, &members);
    parts.into_iter().map(|slots| allowance.part(slots)).collect()
}

impl Team {
    /// The first pool with its share, and the guests.
    pub fn new(home: (&WorkerHandle, u16), guests: &[Guest]) -> Self {
        let (worker, share) = home;
        let mut seats = vec![Seat::of("", share, worker)];
        seats.extend(guests.iter().map(|guest| Seat::of(&guest.name, guest.share, &guest.handle)));
        let news = Arc::new(Notify::new());
        for guest in &seats[1..] {
            let (mut status, news) = (guest.status.clone(), Arc::clone(&news));
            tokio::spawn(async move {
                while status.changed().await.is_ok() {
                    news.notify_one();
                }
            });
        }
        Self { seats, shares: Shares::default(), began: Instant::now(), news }
    }

    /// Lets all of them together do what is allowed. Those that get less are told before those that get more, so
    /// that they are never more than that together.
    pub fn follow(&mut self, allowance: Allowance) {
        let members: Vec<Member> = self.seats.iter().map(Seat::member).collect();
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let parts = self.shares.divide(now_ms, allowance.slots, &members);
        let mut seats: Vec<(&mut Seat, u16)> = self.seats.iter_mut().zip(parts).collect();
        seats.sort_by_key(|(seat, slots)| *slots > seat.slots());
        for (seat, slots) in seats {
            seat.follow(allowance.part(slots));
        }
    }

    /// Throws away what can be fetched again, of all pools.
    ///
    /// # Errors
    /// The disk, in words.
    pub fn clear(&self) -> Result<(), String> {
        self.seats.iter().try_for_each(|seat| seat.reins.clear())
    }

    /// Comes back when something has changed at a guest's.
    pub async fn changed(&self) {
        self.news.notified().await;
    }

    /// Tasks that are here and not done, of all pools.
    pub fn at_hand(&self) -> usize {
        self.seats.iter().map(Seat::at_hand).sum()
    }

    /// Whether any task runs that is not held.
    pub fn is_busy(&self) -> bool {
        self.seats.iter().any(|seat| {
            let status = seat.status.borrow();
            status.view.running > 0 && !status.view.resting
        })
    }

    /// Tasks that run, of all pools.
    pub fn running(&self) -> usize {
        self.seats.iter().map(|seat| seat.status.borrow().view.running).sum()
    }

    /// Seconds a task took of late; of several pools' tasks the longest.
    pub fn task_s(&self) -> Option<u64> {
        self.seats.iter().filter_map(|seat| seat.reins.task_s()).max()
    }

    /// The strings of the first pool: what is the line's is the same for all.
    pub fn home(&self) -> &Reins {
        &self.seats[0].reins
    }

    /// Bytes that came from elsewhere than a scheduler since the last call.
    pub fn moved_elsewhere(&self) -> u64 {
        self.seats.iter().map(|seat| seat.reins.moved_elsewhere()).sum()
    }

    /// Which connections stand, and the bytes moved over each.
    pub fn moved(&self) -> Vec<(usize, u64)> {
        self.seats.iter().filter_map(|seat| seat.reins.moved()).collect()
    }

    /// Every pool for people, the first too, if there are several.
    pub fn shown(&self) -> Vec<PoolStatus> {
        if self.seats.len() < 2 {
            return Vec::new();
        }
        self.seats.iter().map(Seat::shown).collect()
    }
}

impl Seat {
    fn of(name: &str, share: u16, worker: &WorkerHandle) -> Self {
        let (reins, status) = (worker.reins(), worker.watch());
        Self { name: name.to_owned(), share, reins, status, last: None }
    }

    fn at_hand(&self) -> usize {
        use StageName::{Fetching, Running, Waiting};
        let is_work = |stage| matches!(stage, Fetching | Waiting | Running);
        self.status.borrow().view.jobs.iter().filter(|job| is_work(job.stage)).count()
    }

    fn member(&self) -> Member {
        Member { share: self.share, has_work: self.at_hand() > 0 }
    }

    fn slots(&self) -> u16 {
        self.last.map_or(0, |last| last.slots)
    }

    fn follow(&mut self, part: Allowance) {
        if self.last.replace(part) != Some(part) {
            self.reins.follow(part);
        }
    }

    fn shown(&self) -> PoolStatus {
        let status = self.status.borrow();
        PoolStatus {
            name: self.name.clone(),
            scheduler: status.scheduler.clone(),
            share: self.share,
            slots: self.slots(),
            running: status.view.running,
            link: status.view.link,
            worker: status.view.worker,
            settled: status.view.totals.settled,
            earned: status.view.totals.earned,
            stake: status.view.stake,
            score: status.view.score,
            ended: status.ended.clone().or_else(|| status.broken.clone()),
        }
    }
}
