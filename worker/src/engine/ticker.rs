//! The thread that makes running guests look at their deadline.
//!
//! It moves wasmtime's epoch every [`TICK`] while something runs and sleeps otherwise, so that an
//! idle worker does not wake the machine.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How late a cancellation or deadline may be noticed. A look costs a guest a microsecond.
const TICK: Duration = Duration::from_millis(5);

/// Starts and stops the thread.
#[derive(Debug)]
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    stopped: bool,
}

/// While it lives, epochs pass.
#[derive(Debug)]
pub(super) struct Running<'a>(&'a Shared);

/// Lets a run that waits rest the thread as well.
#[derive(Clone, Debug)]
pub(super) struct Breaks(Arc<Shared>);

impl Ticker {
    pub(super) fn start(engine: wasmtime::Engine) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let thread = std::thread::Builder::new()
            .name("engine-ticker".into())
            .spawn(move || theirs.tick(&engine))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Announces a run.
    pub(super) fn running(&self) -> Running<'_> {
        self.shared.state().running += 1;
        self.shared.changed.notify_all();
        Running(&self.shared)
    }
}

impl Ticker {
    pub(super) fn breaks(&self) -> Breaks {
        Breaks(self.shared.clone())
    }
}

impl Breaks {
    /// Does something during which the run does not run.
    pub(super) fn during<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.0.state().running -= 1;
        let done = wait();
        self.0.state().running += 1;
        self.0.changed.notify_all();
        done
    }
}

impl Shared {
    /// A counter is right even if its holder panicked.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self, engine: &wasmtime::Engine) {
        let mut state = self.state();
        while !state.stopped {
            if state.running == 0 {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let waited = self.changed.wait_timeout(state, TICK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            engine.increment_epoch();
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.state().running -= 1;
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.state().stopped = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It only panics if the epoch counter does; there is nothing left to save then.
            let _ = thread.join();
        }
    }
}
