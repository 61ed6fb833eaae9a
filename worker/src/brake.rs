//! How much of the machine runs may take right now: how many go on, and what share of a core each has. Those
//! beyond it wait in memory, where they are.
//!
//! One brake for a worker, one turn for a run. Runs are let on in the order they began. A held run takes no time
//! of a processor and wakes nobody.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

/// What a run may take of a processor at a stretch before it rests: short enough that a pause comes soon, long
/// enough that a rest is worth its two switches.
const SLICE: Duration = Duration::from_millis(20);
/// The longest rest at a stretch, at one percent of a core.
const REST_MAX: Duration = Duration::from_secs(2);
/// Nothing is held back.
const FULL: u8 = 100;

/// Holds and slows runs. Clones are one brake.
#[derive(Clone, Debug, Default)]
pub struct Brake(Arc<Shared>);

/// A run's place among others, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    shared: Arc<Shared>,
    id: u64,
    held: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    percent: AtomicU8,
}

#[derive(Debug)]
struct State {
    allowed: usize,
    next: u64,
    turns: BTreeMap<u64, Arc<AtomicBool>>,
    /// Turns that take nobody's place.
    aside: BTreeMap<u64, Arc<AtomicBool>>,
}

impl Default for Shared {
    fn default() -> Self {
        let state =
            State { allowed: usize::MAX, next: 0, turns: BTreeMap::new(), aside: BTreeMap::new() };
        Self { state: Mutex::new(state), changed: Condvar::new(), percent: AtomicU8::new(FULL) }
    }
}

impl Brake {
    /// A brake that holds nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets so many runs go on and holds the others, at once.
    pub fn allow(&self, runs: usize) {
        let mut state = self.0.state();
        state.allowed = runs;
        state.deal_out();
        drop(state);
        self.0.changed.notify_all();
    }

    /// The share of a core each run may take, in percent; at least 1.
    pub fn slow(&self, percent: u8) {
        self.0.percent.store(percent.clamp(1, FULL), Ordering::Relaxed);
        self.0.changed.notify_all();
    }

    /// The share of a core, in percent.
    pub fn percent(&self) -> u8 {
        self.0.percent.load(Ordering::Relaxed)
    }

    /// A place behind all others.
    pub fn turn(&self) -> Turn {
        self.turn_in(|state| &mut state.turns)
    }

    /// A place beside the others, for what runs wait for: it is held when nothing is allowed, and takes no run's
    /// place.
    pub fn aside(&self) -> Turn {
        self.turn_in(|state| &mut state.aside)
    }

    fn turn_in(&self, row: impl Fn(&mut State) -> &mut BTreeMap<u64, Arc<AtomicBool>>) -> Turn {
        let mut state = self.0.state();
        let (id, held) = (state.next, Arc::new(AtomicBool::new(false)));
        state.next += 1;
        row(&mut state).insert(id, held.clone());
        state.deal_out();
        Turn { shared: self.0.clone(), id, held }
    }

    /// Has every held run look whether it was cancelled.
    pub fn nudge(&self) {
        self.0.nudge();
    }
}

impl Turn {
    /// Whether the run is to wait; a flag for engines that look in their own way.
    pub fn held(&self) -> Arc<AtomicBool> {
        self.held.clone()
    }

    /// Whether the run is to wait.
    pub fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    /// The share of a core, in percent.
    pub fn percent(&self) -> u8 {
        self.shared.percent.load(Ordering::Relaxed)
    }

    /// Has every held run look whether it was cancelled.
    pub(crate) fn nudge(&self) {
        self.shared.nudge();
    }

    /// Waits while the run is held and nobody cancels it; says how long that took.
    pub(crate) fn wait(&self, is_cancelled: impl Fn() -> bool) -> Duration {
        let began = Instant::now();
        let mut state = self.shared.state();
        while self.is_held() && !is_cancelled() {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        began.elapsed()
    }

    /// How long a run must rest that had `ran` of a processor since its last rest, to keep its share.
    pub(crate) fn owes(&self, ran: Duration) -> Option<Duration> {
        let percent = u32::from(self.percent());
        let rest = ran * (u32::from(FULL) - percent) / percent;
        (ran >= SLICE && !rest.is_zero()).then_some(rest.min(REST_MAX))
    }

    /// Rests, unless it is cancelled meanwhile.
    pub(crate) fn rest(&self, rest: Duration, is_cancelled: impl Fn() -> bool) {
        let until = Instant::now() + rest;
        let mut state = self.shared.state();
        while !is_cancelled() {
            let Some(left) = until.checked_duration_since(Instant::now()) else { return };
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.turns.remove(&self.id);
        state.aside.remove(&self.id);
        state.deal_out();
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn nudge(&self) {
        // Whoever is between its look and its sleep holds the lock, and hears this after.
        drop(self.state());
        self.changed.notify_all();
    }

    /// Flags are right even if their holder panicked.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn deal_out(&self) {
        for (rank, held) in self.turns.values().enumerate() {
            held.store(rank >= self.allowed, Ordering::Relaxed);
        }
        let held = self.allowed == 0;
        self.aside.values().for_each(|turn| turn.store(held, Ordering::Relaxed));
    }
}
