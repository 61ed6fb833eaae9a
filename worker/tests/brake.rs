//! Holding and slowing real runs: a pause within a second that loses nothing, shares that are kept, turns.
#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::disallowed_methods, reason = "what is measured is what happens within a time")]

use quorate_worker::{
    brake::Brake,
    cgroup::JobGroup,
    engine::{Cancel, Engine, EngineConfig, Job, Limits, Module, Run, RunError},
};
use std::{
    fs,
    sync::mpsc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Counts down from a number of rounds; 0 never ends.
fn counts(rounds: u64) -> Module {
    let text = format!(
        r#"(module (memory (export "memory") 1) (func (export "_start") (local $i i64)
            (local.set $i (i64.const {rounds}))
            (loop $again
                (local.set $i (i64.sub (local.get $i) (i64.const 1)))
                (br_if $again (i64.ne (local.get $i) (i64.const 0))))))"#
    );
    let engine = Engine::new(EngineConfig::default()).unwrap();
    engine.prepare(&wat::parse_str(text).unwrap()).unwrap()
}

fn job(wall: Duration) -> Job {
    let limits = Limits { fuel: u64::MAX / 2, wall, ..Limits::default() };
    Job { limits, ..Job::default() }
}

/// A run on a thread of its own.
struct Running {
    tid: u64,
    cancel: Cancel,
    thread: JoinHandle<Result<Run, RunError>>,
}

impl Running {
    fn start(
        module: &Module,
        brake: &Brake,
        wall: Duration,
        group: Option<&'static JobGroup>,
    ) -> Self {
        let (module, cancel) = (module.clone(), Cancel::of(brake.turn()));
        let (sender, receiver) = mpsc::channel();
        let theirs = cancel.clone();
        let thread = thread::spawn(move || {
            group.map(JobGroup::enter).transpose().unwrap();
            let tid = fs::read_link("/proc/thread-self").unwrap();
            sender.send(tid.file_name().unwrap().to_str().unwrap().parse().unwrap()).unwrap();
            module.run(job(wall), &theirs)
        });
        Self { tid: receiver.recv().unwrap(), cancel, thread }
    }

    /// What its thread has had of a processor.
    fn had(&self) -> Duration {
        let text = fs::read_to_string(format!("/proc/self/task/{}/schedstat", self.tid)).unwrap();
        Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
    }

    fn had_within(&self, time: Duration) -> Duration {
        let before = self.had();
        thread::sleep(time);
        self.had() - before
    }

    fn end(self, brake: &Brake) -> RunError {
        self.cancel.cancel();
        brake.nudge();
        self.thread.join().unwrap().unwrap_err()
    }
}

const LONG: Duration = Duration::from_secs(600);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_pause_takes_hold_within_a_second_and_loses_nothing() {
    let (module, brake) = (counts(300_000_000), Brake::new());
    let whole = module.run(job(LONG), &Cancel::new()).unwrap();
    // A wall that the run alone does not fill: what is held does not count.
    let wall = whole.wall * 20 + 2 * SECOND;
    let running = Running::start(&module, &brake, wall, None);
    let began = Instant::now();
    brake.allow(0);
    while !running.had_within(Duration::from_millis(50)).is_zero() {
        assert!(began.elapsed() < SECOND, "it runs on");
    }
    let held = running.had_within(wall + SECOND);
    assert!(held.is_zero(), "held, it had {held:?}");
    brake.allow(1);
    let run = running.thread.join().unwrap().unwrap();
    assert_eq!(run.manifest, whole.manifest, "not a bit or an instruction is different");
}

#[test]
fn a_held_run_is_cancelled_at_once() {
    let (module, brake) = (counts(0), Brake::new());
    brake.allow(0);
    let running = Running::start(&module, &brake, LONG, None);
    let began = Instant::now();
    assert!(matches!(running.end(&brake), RunError::Cancelled));
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
}

#[test]
fn the_first_goes_on_and_its_end_is_the_next_ones_turn() {
    let (module, brake) = (counts(0), Brake::new());
    brake.allow(1);
    let first = Running::start(&module, &brake, LONG, None);
    let second = Running::start(&module, &brake, LONG, None);
    thread::sleep(Duration::from_millis(200));
    assert!(second.had_within(Duration::from_millis(500)).is_zero());
    assert!(!first.had_within(Duration::from_millis(500)).is_zero());
    first.end(&brake);
    thread::sleep(Duration::from_millis(200));
    assert!(!second.had_within(Duration::from_millis(500)).is_zero());
    second.end(&brake);
}

/// Percent of a core within three seconds. On a busy machine a run gets less, never more.
fn share(brake: &Brake, group: Option<&'static JobGroup>) -> f64 {
    let running = Running::start(&counts(0), brake, LONG, group);
    thread::sleep(SECOND / 2);
    let had = running.had_within(3 * SECOND);
    running.end(brake);
    had.as_secs_f64() / 3.0 * 100.0
}

#[test]
fn a_share_is_kept_by_resting() {
    let brake = Brake::new();
    for percent in [10, 30, 60] {
        brake.slow(percent);
        let share = share(&brake, None);
        eprintln!("by resting: asked for {percent} %, had {share:.1} %");
        assert!(share <= f64::from(percent) + 3.0, "{share} of {percent}");
        assert!(share >= f64::from(percent) / 3.0, "{share} of {percent}");
    }
}

#[test]
fn a_share_is_kept_by_the_kernel_where_it_lets_us() {
    let Some(group) = JobGroup::open() else {
        eprintln!("no control group can be made here: this test did nothing");
        return;
    };
    eprintln!("{}", group.describe());
    let group: &'static JobGroup = Box::leak(Box::new(group));
    group.allow(Some(30)).unwrap();
    let share = share(&Brake::new(), Some(group));
    eprintln!("by the kernel: asked for 30 %, had {share:.1} %");
    assert!((10.0..=34.0).contains(&share), "{share} of 30");
}
