//! Orders, and how long they take: one task at a time, as many as the scheduler can, one task among many.

use super::{
    market::Market,
    report::{Latency, Run},
    scores::Weights,
};
use crate::{api::ServerEvent, cli::BenchArgs, output::Output, place, upload};
use quorate_chain::keystore::Signer;
use quorate_common::{
    B256,
    api::{OrderPhase, OrderView, PlaceOrder},
    bag::{Bag, Limits, SCHEMA, Task},
    digest::Digest,
    exit::{Code, Failure},
    ids::{REPLICAS_MAX, TASKS_MAX},
    keys,
    messages::ReqOrder,
};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// What tasks would run; nobody does.
const APP: &[u8] = b"no module: simulated workers run nothing";
/// Tasks of the orders that are the load of the latency under load.
const BACKGROUND_TASKS: u32 = 256;
/// Seconds until an order's deadline.
const DEADLINE_S: u64 = 6 * 3600;
/// How often a large order is looked at.
const LOOK: Duration = Duration::from_millis(25);
/// How long a measurement may take in all: a machine that needs longer is not measured, but stuck.
const PATIENCE: Duration = Duration::from_secs(600);

/// One measurement of load.
pub(super) struct Load<'a> {
    /// How many of everything.
    pub args: &'a BenchArgs,
    /// Where.
    pub market: &'a Market<'a>,
    /// Replicas per task.
    pub replication: u8,
    /// For progress.
    pub output: Output,
}

impl Load<'_> {
    /// Measures latency alone, throughput, latency under load.
    pub(super) async fn run(&self, idle_rss: u64) -> Result<Run, Failure> {
        upload::bytes(&self.market.api, Digest::of(APP), APP).await?;
        let requesters = self.requesters().await?;
        let one = self.bag(1).await?;
        self.output.note("  one task at a time");
        let alone = self.singles(&requesters[0], one, &AtomicBool::new(false)).await?;
        self.output.note("  winning points, until exactly k votes decide");
        self.warm_up(&requesters[0]).await?;
        self.output.note("  as many tasks as it can");
        let mut run = self.throughput(&requesters, idle_rss).await?;
        run.latency_ms = alone;
        self.output.note("  one task among many");
        run.latency_under_load_ms = self.under_load(&requesters, one).await?;
        Ok(run)
    }

    async fn requesters(&self) -> Result<Vec<Signer>, Failure> {
        let mut requesters = Vec::new();
        for _ in 0..self.args.requesters.max(2) {
            requesters.push(self.market.requester().await?);
        }
        Ok(requesters)
    }

    async fn bag(&self, tasks: u32) -> Result<Digest, Failure> {
        let bag = Bag {
            schema: SCHEMA.into(),
            kind: Default::default(),
            dataset: None,
            app: Digest::of(APP),
            with: Vec::new(),
            command: Vec::new(),
            readers: Vec::new(),
            limits: Limits::default(),
            files: Vec::new(),
            tasks: vec![Task::default(); tasks as usize],
        };
        let bytes = bag.to_bytes();
        let digest = Digest::of(&bytes);
        upload::bytes(&self.market.api, digest, &bytes).await?;
        Ok(digest)
    }

    fn order(
        &self,
        by: &Signer,
        bag: Digest,
        tasks: u32,
        trust: u32,
    ) -> Result<PlaceOrder, Failure> {
        let pool = &self.market.pool;
        let salt = keys::random32().map_err(|error| Failure::new(Code::Internal, error))?;
        let deadline = pool.unix_s + DEADLINE_S;
        let req = ReqOrder {
            requester: by.address(),
            app: Digest::of(APP).word(),
            params: bag.word(),
            pool_restrict: pool.pool.restrict(),
            max_unit_price: pool.unit_price.0,
            tasks,
            trust,
            replicas: u8::try_from(REPLICAS_MAX).unwrap_or(u8::MAX),
            max_task_time: 600,
            expiry: deadline,
            deadline,
            salt: B256::new(salt),
            ..ReqOrder::default()
        };
        Ok(place::sign(req, &pool.domain, by))
    }

    async fn weights(&self) -> Result<Weights, Failure> {
        let rows = self.market.api.workers().await?;
        let ours: Vec<_> = rows.into_iter().filter(|row| row.connected).collect();
        Ok(Weights::of(&ours))
    }

    /// Orders of one task, each placed when the one before is accepted; over early if `stop` says so.
    async fn singles(
        &self,
        by: &Signer,
        bag: Digest,
        stop: &AtomicBool,
    ) -> Result<Latency, Failure> {
        let trust = self.weights().await?.trust_at_least(self.replication);
        let mut times = Vec::new();
        for _ in 0..self.args.samples {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let order = self.order(by, bag, 1, trust)?;
            let began = Instant::now();
            self.finished(&order).await?;
            times.push(began.elapsed());
        }
        Ok(Latency::of(times))
    }

    /// Places an order and listens until its last task is accepted.
    async fn finished(&self, order: &PlaceOrder) -> Result<(), Failure> {
        let api = &self.market.api;
        let placed = api.place(order).await?;
        let mut events = api.events(placed.order).await?;
        while let Some(event) = events.next().await? {
            match event {
                ServerEvent::Task(task) if task.settled == order.req.tasks => return Ok(()),
                ServerEvent::Order(view) if view.phase == OrderPhase::Done => return Ok(()),
                ServerEvent::Order(view) if view.phase == OrderPhase::Refused => {
                    return Err(refused(&view));
                }
                ServerEvent::Task(_) | ServerEvent::Order(_) | ServerEvent::Lagged => {}
            }
        }
        Err(Failure::new(Code::Unreachable, "an order's events ended before it did"))
    }

    /// Lets every worker win points until exactly k replicas decide for as long as the load lasts.
    async fn warm_up(&self, by: &Signer) -> Result<(), Failure> {
        loop {
            let weights = self.weights().await?;
            let points = self.points(self.args.tasks);
            // The lightest k votes reach the highest trust there is: more points change nothing.
            let at_most = weights.trust(self.replication) == u32::MAX;
            if at_most || weights.room(self.replication) > points {
                return Ok(());
            }
            let tasks = self.tasks_for((weights.least.1 / 2).max(8));
            let trust = weights.trust_at_least(self.replication);
            let order = self.order(by, self.bag(tasks).await?, tasks, trust)?;
            self.done(&[order]).await?;
        }
    }

    /// Points a worker wins in so many tasks, and a fifth more, since draws are uneven.
    fn points(&self, tasks: u32) -> u32 {
        let points = u64::from(tasks) * u64::from(self.replication) / u64::from(self.args.workers);
        u32::try_from(points + points / 5 + 16).unwrap_or(u32::MAX)
    }

    /// Tasks that bring every worker so many points.
    fn tasks_for(&self, points: u32) -> u32 {
        let tasks = u64::from(points) * u64::from(self.args.workers) / u64::from(self.replication);
        u32::try_from(tasks).unwrap_or(u32::MAX).clamp(1, TASKS_MAX)
    }

    async fn throughput(&self, requesters: &[Signer], idle_rss: u64) -> Result<Run, Failure> {
        let weights = self.weights().await?;
        let room = weights.room(self.replication);
        let most = if room == u32::MAX { u32::MAX } else { self.tasks_for(room / 6 * 5) };
        let tasks = self.args.tasks.min(most);
        let trust = weights.trust(self.replication);
        let orders = self.orders(requesters, tasks, trust).await?;
        let program = &self.market.program;
        let (cpu, fsyncs) = (program.cpu_ns()?, self.market.fsyncs().await?);
        let began = Instant::now();
        let (views, peak_rss) = self.done(&orders).await?;
        let took = began.elapsed();
        let (cpu, fsyncs) = (program.cpu_ns()? - cpu, self.market.fsyncs().await? - fsyncs);
        let settled: u32 = views.iter().map(|view| view.accepted).sum();
        let replicas: u64 = views.iter().map(|view| view.replicas).sum();
        let each = |whole: f64| whole / f64::from(settled.max(1));
        #[expect(clippy::cast_precision_loss, reason = "figures for people")]
        Ok(Run {
            replication: self.replication,
            tasks: settled,
            tasks_per_second: f64::from(settled) / took.as_secs_f64(),
            replicas: each(replicas as f64),
            scheduler_cpu_us_per_task: each(cpu as f64 / 1e3),
            scheduler_cores: cpu as f64 / 1e9 / took.as_secs_f64(),
            fsyncs_per_task: each(fsyncs as f64),
            latency_ms: Latency::default(),
            latency_under_load_ms: Latency::default(),
            rss_bytes_per_busy_worker: peak_rss.saturating_sub(idle_rss)
                / u64::from(self.args.workers),
        })
    }

    /// One order per requester, of equal size, more where one order cannot hold it.
    async fn orders(
        &self,
        requesters: &[Signer],
        tasks: u32,
        trust: u32,
    ) -> Result<Vec<PlaceOrder>, Failure> {
        let count = u32::try_from(requesters.len()).unwrap_or(1);
        let each = tasks.div_ceil(count).clamp(1, TASKS_MAX);
        let bag = self.bag(each).await?;
        let by = requesters.iter().cycle().take(tasks.div_ceil(each) as usize);
        by.map(|by| self.order(by, bag, each, trust)).collect()
    }

    /// Places orders and waits for the last task; the most memory the scheduler had meanwhile.
    async fn done(&self, orders: &[PlaceOrder]) -> Result<(Vec<OrderView>, u64), Failure> {
        let api = &self.market.api;
        let mut open = Vec::new();
        for order in orders {
            open.push(api.place(order).await?.order);
        }
        let (began, mut done, mut peak) = (Instant::now(), Vec::new(), 0);
        while let Some(hash) = open.last().copied() {
            peak = peak.max(self.market.program.rss_bytes()?);
            let view = api.order(hash).await?;
            match view.phase {
                OrderPhase::Done => {
                    open.pop();
                    done.push(view);
                }
                OrderPhase::Refused => return Err(refused(&view)),
                OrderPhase::Opening | OrderPhase::Running if began.elapsed() > PATIENCE => {
                    let text =
                        format!("{} of {} tasks after ten minutes", view.settled, view.tasks);
                    return Err(Failure::new(Code::TimedOut, text));
                }
                OrderPhase::Opening | OrderPhase::Running => tokio::time::sleep(LOOK).await,
            }
        }
        Ok((done, peak))
    }

    /// One task at a time, while every other requester keeps an order of many tasks going.
    async fn under_load(&self, requesters: &[Signer], one: Digest) -> Result<Latency, Failure> {
        let (stop, many) = (AtomicBool::new(false), self.bag(BACKGROUND_TASKS).await?);
        let background = requesters[1..].iter().map(|by| self.keep_busy(by, many, &stop));
        let background = futures_util::future::try_join_all(background);
        let measured = async {
            let latency = self.singles(&requesters[0], one, &AtomicBool::new(false)).await;
            stop.store(true, Ordering::Relaxed);
            latency
        };
        let (latency, background) = futures_util::future::join(measured, background).await;
        background?;
        latency
    }

    async fn keep_busy(&self, by: &Signer, bag: Digest, stop: &AtomicBool) -> Result<(), Failure> {
        while !stop.load(Ordering::Relaxed) {
            let trust = self.weights().await?.trust_at_least(self.replication);
            let order = self.order(by, bag, BACKGROUND_TASKS, trust)?;
            self.finished(&order).await?;
        }
        Ok(())
    }
}

/// Opens at least so many tasks that nobody will finish, and says how many are open.
pub(super) async fn fill(market: &Market<'_>, open: u32) -> Result<u32, Failure> {
    upload::bytes(&market.api, Digest::of(APP), APP).await?;
    let args = BenchArgs { tasks: open, requesters: 2, ..BenchArgs::default() };
    let load = Load { args: &args, market, replication: 1, output: Output::default() };
    let requesters = load.requesters().await?;
    for order in load.orders(&requesters, open, 1).await? {
        market.api.place(&order).await?;
    }
    let wanted = u64::from(open);
    market
        .until("every task is open", async |market| Ok(market.open_tasks().await?.0 >= wanted))
        .await?;
    let (open, _) = market.open_tasks().await?;
    Ok(u32::try_from(open).unwrap_or(u32::MAX))
}

fn refused(view: &OrderView) -> Failure {
    let reason = view.reason.as_deref().unwrap_or("no reason given");
    Failure::new(Code::Failed, format!("order {} was refused: {reason}", view.order))
}
