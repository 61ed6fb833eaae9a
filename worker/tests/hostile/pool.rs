//! A pool of one worker: gives it hostile and honest tasks, and sees each through to its end.

use crate::{
    fate::{Fate, Hostile, Outcome, Work},
    image,
    scheduler::{Scheduler, Session, deal_id, nothing, soon, task},
};
use quorate_common::{
    bag::{AppKind, Bag, Limits, SCHEMA, Task},
    digest::Digest,
    ids::{DealSlot, TaskKey},
    manifest::{Ended, Manifest},
    wire::{
        AssignItem, CommitItem, DealInfo, Duties, GiveUpReason, RevealItem, ToScheduler, ToWorker,
    },
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Hostile programs at once.
const AT_ONCE: usize = 2;
/// Seconds for who is to be stopped by the clock, preparation included, and for the others.
const SHORT_S: u64 = 8;
const LONG_S: u64 = 120;
/// Fuel: a tenth of a second, or more than the clock allows.
const LITTLE: u64 = 100_000_000;

/// Writes its standard input to standard output.
const HONEST: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 60000))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i32.store (i32.const 4) (i32.load (i32.const 8)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;

pub(crate) struct Pool {
    scheduler: Scheduler,
    session: Session,
    next: u32,
    open: BTreeMap<TaskKey, Open>,
    /// The archive with all the scripts' tools.
    image: Vec<u8>,
}

/// A task under way.
struct Open {
    name: &'static str,
    /// Nothing for an honest one.
    fate: Option<Fate>,
    began: Instant,
}

/// What is to be told of a play.
#[derive(Default)]
pub(crate) struct Told {
    pub lines: Vec<String>,
    pub wrong: Vec<String>,
    pub honest: u32,
    pub slowest: Duration,
}

impl Pool {
    pub(crate) async fn new(scheduler: Scheduler, mut session: Session) -> Self {
        session.welcome().await;
        let image = image::toolbox(&["/bin/busybox", "sh", "-c"]);
        Self { scheduler, session, next: 0, open: BTreeMap::new(), image }
    }

    /// Plays programs to their ends, and honest tasks, of both kinds if there are containers, all the while.
    pub(crate) async fn play(&mut self, programs: Vec<Hostile>, containers: bool) -> Told {
        let mut told = Told::default();
        let mut programs = programs.into_iter().peekable();
        loop {
            while self.hostile() < AT_ONCE
                && let Some(program) = programs.next()
            {
                self.give(program).await;
            }
            let is_over = programs.peek().is_none() && self.hostile() == 0;
            if is_over && told.honest > 0 && self.open.is_empty() {
                return told;
            }
            if self.hostile() == self.open.len() && (!is_over || told.honest == 0) {
                self.give_honest(containers && told.honest % 2 == 0).await;
            }
            self.step(&mut told).await;
        }
    }

    fn hostile(&self) -> usize {
        self.open.values().filter(|open| open.fate.is_some()).count()
    }

    async fn give(&mut self, Hostile { name, work, fate }: Hostile) {
        let by_clock = fate == Fate::GivenUp(GiveUpReason::Deadline);
        let seconds = if by_clock { SHORT_S } else { LONG_S };
        let (kind, app, args, memory) = match work {
            Work::Module(bytes) => (AppKind::Wasm, bytes, Vec::new(), 16 << 20),
            Work::Script(script) => {
                (AppKind::Docker, self.image.clone(), vec![script.to_owned()], 32 << 20)
            }
        };
        let fuel = if by_clock { Limits::FUEL_MAX } else { LITTLE };
        let limits = Limits { fuel, memory_bytes: memory, output_bytes: 1 << 20 };
        let task = Task { args, ..Task::default() };
        self.assign(Open { name, fate: Some(fate), began: Instant::now() }, seconds, move |pool| {
            pool.deal(kind, app, limits, task)
        })
        .await;
    }

    async fn give_honest(&mut self, container: bool) {
        let limits = Limits { fuel: LITTLE, memory_bytes: 32 << 20, output_bytes: 1 << 20 };
        let (kind, app, args, stdin) = if container {
            let script = "echo fine; echo 42 > /out/answer".to_owned();
            (AppKind::Docker, self.image.clone(), vec![script], String::new())
        } else {
            (AppKind::Wasm, wat::parse_str(HONEST).unwrap(), Vec::new(), "fine\n".to_owned())
        };
        let task = Task { args, stdin, ..Task::default() };
        let open = Open { name: "honest", fate: None, began: Instant::now() };
        self.assign(open, LONG_S, move |pool| pool.deal(kind, app, limits, task)).await;
    }

    /// A deal of one task on the shelf.
    fn deal(&self, kind: AppKind, app: Vec<u8>, limits: Limits, task: Task) -> DealInfo {
        let app = self.scheduler.shelve(app);
        let (schema, tasks) = (SCHEMA.into(), vec![task]);
        let (dataset, with, files) = (None, Vec::new(), Vec::new());
        let (command, readers) = (Vec::new(), Vec::new());
        let bag = Bag { schema, kind, dataset, app, with, limits, files, tasks, command, readers };
        bag.check().unwrap();
        DealInfo {
            slot: DealSlot(self.next),
            id: deal_id(self.next),
            app,
            bag: self.scheduler.shelve(bag.to_bytes()),
            first: 0,
            unit_price: 100,
            stake: 30,
            max_task_time: LONG_S,
            deadline: 2_000_000_000,
        }
    }

    async fn assign(&mut self, open: Open, seconds: u64, deal: impl FnOnce(&Self) -> DealInfo) {
        let deal = deal(self);
        let key = task(self.next, 0);
        self.next += 1;
        self.open.insert(key, open);
        self.session.describe(&deal).await;
        let now_s = self.scheduler.clock.now().unix_s();
        let assign = AssignItem {
            task: key,
            attempt: 0,
            seed_epoch: 0,
            commit_deadline: now_s + seconds,
            reveal_deadline: now_s + seconds + LONG_S,
        };
        self.session.duties(Duties { assigns: vec![assign], ..nothing() }).await;
    }

    /// The worker's next word, and what follows from it.
    async fn step(&mut self, told: &mut Told) {
        match self.session.hear().await {
            ToScheduler::Votes(votes) => {
                self.session.check_votes(&votes);
                for commit in &votes.commits {
                    self.committed(commit).await;
                }
                for reveal in &votes.reveals {
                    self.revealed(reveal, told).await;
                }
            }
            ToScheduler::GaveUp(gave_up) => {
                self.over(gave_up.task, Outcome::GivenUp(gave_up.reason), b"", told);
            }
            ToScheduler::Slots(_) | ToScheduler::Heartbeat | ToScheduler::Containers(_) => {}
        }
    }

    async fn committed(&mut self, commit: &CommitItem) {
        self.session.ack(commit).await;
        self.session.freeze(commit).await;
    }

    async fn revealed(&mut self, reveal: &RevealItem, told: &mut Told) {
        self.session.ack_reveal(reveal).await;
        let manifest = match &reveal.inline {
            Some(inline) => {
                for blob in &inline.blobs {
                    self.scheduler.shelve(blob.clone());
                }
                self.manifest(reveal.digest).unwrap()
            }
            None => self.fetched(reveal).await,
        };
        let file = |name: &str| {
            let (_, entry) = manifest.files.iter().find(|(path, _)| path == name)?;
            self.blob(Digest(entry.digest))
        };
        let error = file("error.txt").map(|text| String::from_utf8_lossy(&text).into_owned());
        let stdout = manifest.stdout.and_then(|entry| self.blob(Digest(entry.digest)));
        let outcome = Outcome::Result(manifest.ended, error);
        self.over(reveal.task, outcome, &stdout.unwrap_or_default(), told);
        self.session.settle(reveal.task, 100).await;
    }

    /// A result too large to come with its vote is asked for.
    async fn fetched(&mut self, reveal: &RevealItem) -> Manifest {
        let fetch = ToWorker::Fetch { task: reveal.task, digest: reveal.digest };
        self.session.say(&fetch).await;
        let mut brought = self.scheduler.brought.clone();
        let is_here = |_: &usize| {
            let Some(manifest) = self.manifest(reveal.digest) else { return false };
            let files = manifest.files.iter().map(|(_, entry)| entry);
            let mut all = manifest.stdout.iter().chain(files);
            all.all(|entry| self.blob(Digest(entry.digest)).is_some())
        };
        soon("a result", brought.wait_for(is_here)).await.unwrap();
        self.manifest(reveal.digest).unwrap()
    }

    fn manifest(&self, digest: Digest) -> Option<Manifest> {
        Some(Manifest::parse(&self.blob(digest)?).unwrap())
    }

    fn blob(&self, digest: Digest) -> Option<Vec<u8>> {
        self.scheduler.shelf.lock().unwrap().get(&digest).cloned()
    }

    fn over(&mut self, key: TaskKey, outcome: Outcome, stdout: &[u8], told: &mut Told) {
        let Some(Open { name, fate, began }) = self.open.remove(&key) else { return };
        let took = began.elapsed();
        let Some(fate) = fate else {
            let is_fine = matches!(outcome, Outcome::Result(Ended::Exit(0), None));
            assert!(is_fine && stdout == b"fine\n", "an honest task: {outcome:?} {stdout:?}");
            told.honest += 1;
            told.slowest = told.slowest.max(took);
            return;
        };
        let is_right = fate.is(&outcome);
        let (word, seconds) = (if is_right { "ok   " } else { "WRONG" }, took.as_secs_f32());
        let line = format!("{word} {name:38} {:60} {seconds:5.1} s", outcome.told());
        if !is_right {
            told.wrong.push(format!("{line}\nexpected {fate:?}, found {outcome:?}"));
        }
        told.lines.push(line);
    }
}
