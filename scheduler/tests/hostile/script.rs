//! The script: two orders, three workers that vote on every task, one word at a time, so that each is a
//! write of its own; some 250 records. It can be taken up again after a death, with all that was heard.

use super::{
    promises::Promises,
    stage::{Cast, PATIENCE, Program},
    worker::{Heard, Pool, Step, Vote, Worker},
};
use quinn::Endpoint;
use quorate_chain::keystore::Signer;
use quorate_common::{
    B256,
    api::PoolInfo,
    ids::{TaskKey, WorkerIdx},
    wire::{Duties, ToWorker},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::Ipv4Addr,
    time::{Duration, Instant},
};
use tokio::{sync::mpsc, time::timeout};

/// Orders, and tasks of each.
pub(crate) const ORDERS: u8 = 2;
pub(crate) const ORDER_TASKS: u32 = 10;
/// Tasks in all.
pub(crate) const TASKS: usize = ORDERS as usize * ORDER_TASKS as usize;
/// How often it is looked whether the program still runs, while nothing is said.
const LOOK: Duration = Duration::from_millis(20);
/// Frames that wait to be looked at.
const HEARD_MAX: usize = 1_024;

/// How a performance ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Every task is over.
    Done,
    /// The scheduler went away.
    Died,
}

/// See the module.
pub(crate) struct Script {
    requester: Signer,
    workers: BTreeMap<WorkerIdx, Worker>,
    pub(crate) pool: Option<Pool>,
    pub(crate) promises: Promises,
    /// Votes of each worker on tasks that are not over, in the order they were first given.
    votes: BTreeMap<WorkerIdx, Vec<Vote>>,
    over: BTreeSet<TaskKey>,
    /// Orders the scheduler said it has.
    taken: Vec<B256>,
    queue: VecDeque<(WorkerIdx, Vote)>,
    /// The vote that waits for its answer.
    asked: Option<(WorkerIdx, Vote)>,
    /// Tasks after which it stops.
    until: usize,
}

impl Script {
    pub(crate) fn new(cast: &Cast) -> Self {
        Self {
            requester: cast.requester.clone(),
            workers: BTreeMap::new(),
            pool: None,
            promises: Promises::default(),
            votes: BTreeMap::new(),
            over: BTreeSet::new(),
            taken: Vec::new(),
            queue: VecDeque::new(),
            asked: None,
            until: TASKS,
        }
    }

    /// Everybody connects, repeats what they said, and goes on from there.
    pub(crate) async fn play(&mut self, program: &Program, cast: &Cast) -> End {
        self.play_to(program, cast, TASKS).await
    }

    /// The same, up to so many tasks.
    pub(crate) async fn play_to(&mut self, program: &Program, cast: &Cast, tasks: usize) -> End {
        self.until = tasks;
        match self.perform(program, cast).await {
            Some(()) => End::Done,
            None => End::Died,
        }
    }

    /// What the workers know, to be shown to another scheduler.
    pub(crate) fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.workers.values()
    }

    /// Everybody leaves, and nothing more is said.
    pub(crate) fn leave(&mut self) {
        self.workers.values_mut().for_each(Worker::disconnect);
    }

    async fn perform(&mut self, program: &Program, cast: &Cast) -> Option<()> {
        let info = serde_json::from_value(program.get("/v1/pool").await.ok()?).unwrap();
        self.meet(&info, cast);
        for order in self.taken.clone() {
            let view = program.get(&format!("/v1/orders/{order}")).await.ok()?;
            assert_eq!(view["order"], order.to_string(), "an order that was taken is lost: {view}");
        }
        let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let (tell, mut hear) = mpsc::channel(HEARD_MAX);
        (self.asked, self.queue) = (None, VecDeque::new());
        for (index, worker) in &mut self.workers {
            let votes = self.votes.entry(*index).or_default();
            votes.retain(|(task, ..)| !self.over.contains(task));
            worker.holding = votes.iter().map(|(task, attempt, _)| (*task, *attempt)).collect();
            worker.holding.dedup();
            self.queue.extend(votes.iter().map(|vote| (*index, *vote)));
            worker.connect(&endpoint, program.quic, 1, tell.clone()).await.then_some(())?;
        }
        while self.over.len() < self.until {
            self.order_more(program).await?;
            self.say_next().await?;
            let (worker, heard) = self.hear(program, &mut hear).await?;
            self.take(worker, heard)?;
        }
        Some(())
    }

    /// What is said next, unless the program is gone.
    async fn hear(
        &self,
        program: &Program,
        hear: &mut mpsc::Receiver<(WorkerIdx, Heard)>,
    ) -> Option<(WorkerIdx, Heard)> {
        let began = Instant::now();
        loop {
            if let Ok(heard) = timeout(LOOK, hear.recv()).await {
                return heard;
            }
            if program.has_ended().is_some() {
                return None;
            }
            let (over, asked) = (self.over.len(), self.asked);
            assert!(
                began.elapsed() < PATIENCE,
                "silence; {over} tasks are over, {asked:?} was asked"
            );
        }
    }

    fn meet(&mut self, info: &PoolInfo, cast: &Cast) {
        let pool = Pool {
            pool: info.pool,
            node_key: info.node_key,
            signer: info.signer,
            separator: info.domain.separator(),
        };
        self.pool = Some(pool);
        for member in &cast.members {
            let worker = || Worker::new(member.clone(), pool);
            self.workers.entry(member.index).or_insert_with(worker);
        }
    }

    /// The next order, when the ones before are done. Asked for again if the answer got lost.
    async fn order_more(&mut self, program: &Program) -> Option<()> {
        let placed = self.taken.len();
        if placed < usize::from(ORDERS) && self.over.len() >= placed * ORDER_TASKS as usize {
            let salt = u8::try_from(placed).unwrap() + 1;
            let order = program.order(&self.requester, ORDER_TASKS, salt).await.ok()?;
            self.taken.push(order);
        }
        Some(())
    }

    /// One vote at a time.
    async fn say_next(&mut self) -> Option<()> {
        if self.asked.is_some() {
            return Some(());
        }
        while let Some((index, vote)) = self.queue.pop_front() {
            if self.over.contains(&vote.0) {
                continue;
            }
            self.asked = Some((index, vote));
            let worker = self.workers.get_mut(&index).unwrap();
            return worker.vote(&[vote]).await.then_some(());
        }
        Some(())
    }

    fn take(&mut self, worker: WorkerIdx, heard: Heard) -> Option<()> {
        match heard? {
            ToWorker::Deal(deal) => {
                let worker = self.workers.get_mut(&worker).unwrap();
                worker.deals.insert(deal.slot, deal.id);
            }
            ToWorker::Duties(duties) => self.duties(worker, &duties),
            ToWorker::Cancel(replicas) => replicas.iter().for_each(|(task, _)| self.end(*task)),
            ToWorker::Settled(items) => items.iter().for_each(|item| self.end(item.task)),
            ToWorker::Welcome(welcome) => assert_eq!(welcome.worker, Some(worker)),
            ToWorker::Fetch { task, .. } => panic!("{task}: everything was sent inline"),
            ToWorker::Goodbye(goodbye) => panic!("{worker}: {}", goodbye.reason),
        }
        Some(())
    }

    fn duties(&mut self, index: WorkerIdx, duties: &Duties) {
        let worker = self.workers.get_mut(&index).unwrap();
        for ack in worker.acks(duties) {
            if self.promises.has(index, ack.task, ack.attempt, ack.is_commit) {
                self.promises.again += 1;
            }
            self.promises.note(ack);
            let is_asked = |(of, (task, attempt, step)): &(WorkerIdx, Vote)| {
                (*of, *task, *attempt) == (index, ack.task, ack.attempt)
                    && (*step == Step::Commit) == ack.is_commit
            };
            self.asked.take_if(|asked| is_asked(asked));
        }
        for item in &duties.assigns {
            self.give(index, (item.task, item.attempt, Step::Commit));
        }
        for item in &duties.sets {
            self.give(index, (item.task, item.attempt, Step::Reveal(item.root)));
        }
    }

    fn give(&mut self, worker: WorkerIdx, vote: Vote) {
        let votes = self.votes.entry(worker).or_default();
        if !votes.contains(&vote) {
            votes.push(vote);
            self.queue.push_back((worker, vote));
        }
    }

    fn end(&mut self, task: TaskKey) {
        self.over.insert(task);
        self.asked.take_if(|(_, vote)| vote.0 == task);
    }
}
