//! Carries the policy: looks at the machine, listens to its owner, and lets the worker do what is decided.
//!
//! It decides nothing itself. While nothing is worth looking at it sleeps.

mod month;
mod sight;

use crate::{
    allowance::Allowance,
    control::{Ask, Asked as Command, Control, Told},
    page::Door,
    status::{Mood, Status},
    team::Team,
    why::why,
    wish::WishFile,
};
use month::Month;
use quorate_common::clock::SystemClock;
use quorate_policy::{Asked, Decision, Moment, Network, Policy, Preferences, Reason, Sensed, Wish};
use quorate_senses::{calendar, week_minute};
pub use sight::{SESSION_SOCKET, Sight};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, watch};

/// Between two looks at the machine while tasks run: others may need it.
const LOOK_BUSY: Duration = Duration::from_secs(2);
/// While none runs.
const LOOK_IDLE: Duration = Duration::from_secs(10);
/// While the owner wants a pause, there is nothing to look for but its end: while a laptop sleeps, the clock that
/// sleeps are counted by stands still.
const LOOK_PAUSED: Duration = Duration::from_secs(60);
/// The same where no end was named.
const LOOK_NEVER: Duration = Duration::from_secs(3_600);

/// The shortest sleep: what is due now was looked at now.
const SHORTEST: Duration = Duration::from_millis(100);

/// What the configuration says of preferences and programs; read again on demand.
pub type Reload = Box<dyn Fn() -> Result<(Preferences, Vec<String>), String> + Send>;

/// The carrier of a worker's policy.
pub struct Governor {
    policy: Policy,
    clock: SystemClock,
    wish: Wish,
    file: WishFile,
    sight: Sight,
    month: Month,
    reload: Reload,
    sensed: Sensed,
    /// When it looked last: events may come faster than looks are due.
    looked: Instant,
    said: Option<Option<Reason>>,
}

/// Where the governor's words go.
#[derive(Debug)]
pub struct Ends {
    /// Commands of the owner.
    pub commands: mpsc::Receiver<Command>,
    /// Keeps them coming.
    pub control: Control,
    /// The worker as it is by itself.
    pub status: watch::Receiver<Status>,
    /// The worker as everybody may see it.
    pub shown: watch::Sender<Status>,
    /// What holds it, and what works for other pools beside it.
    pub team: Team,
    /// Told when the owner wants it to end.
    pub stop: mpsc::Sender<()>,
    /// The owner's page, if there is one.
    pub(crate) door: Option<Arc<Door>>,
}

impl Governor {
    /// A governor of the worker in `data_dir`, which remembers what its owner asked for last.
    pub fn new(data_dir: &Path, prefs: Preferences, sight: Sight, reload: Reload) -> Self {
        let file = WishFile::within(data_dir);
        let (wish, month) = (file.read(), Month::within(data_dir));
        let (policy, clock) = (Policy::new(prefs), SystemClock::start());
        let sensed = Sensed::default();
        let looked = Instant::now();
        Self { policy, clock, wish, file, sight, month, reload, sensed, looked, said: None }
    }

    /// What the worker may do from its first moment on, and how much of the line is its.
    pub async fn first(&mut self) -> (Allowance, Network) {
        self.look().await;
        let month = calendar::month(self.clock.now().unix_ms);
        self.sensed.month_bytes = self.month.count(&month, Vec::new(), 0);
        let decision = self.decide();
        (Allowance::from(&decision), decision.network)
    }

    /// Governs until the worker is gone.
    pub async fn run(mut self, mut ends: Ends) {
        loop {
            if self.looked.elapsed() >= self.look_every(&ends) {
                self.look().await;
            }
            self.note_work(&ends);
            let decision = self.decide();
            self.carry_out(&decision, &mut ends);
            let pause = self.pause(&decision, &ends);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.sight.changed() => self.look().await,
                () = ends.team.changed() => {}
                Some(command) = ends.commands.recv() => {
                    self.obey(command, &mut ends).await;
                }
                changed = ends.status.changed() => if changed.is_err() {
                    return self.month.write();
                },
            }
        }
    }

    fn decide(&mut self) -> Decision {
        let now = self.clock.now();
        let (mono_ms, unix_ms, week_minute) = (now.mono_ms, now.unix_ms, week_minute(now.unix_ms));
        let moment = Moment { mono_ms, unix_ms, week_minute };
        self.policy.decide(moment, &self.sensed, self.wish)
    }

    async fn look(&mut self) {
        self.looked = Instant::now();
        let unix_ms = self.clock.now().unix_ms;
        let before = std::mem::take(&mut self.sensed);
        self.sensed = self.sight.look(unix_ms).await;
        let Sensed { task_s, at_hand, month_bytes, .. } = before;
        self.sensed = Sensed { task_s, at_hand, month_bytes, ..std::mem::take(&mut self.sensed) };
    }

    /// What the worker itself knows.
    fn note_work(&mut self, ends: &Ends) {
        self.sensed.at_hand = ends.team.at_hand();
        self.sight.guests(ends.team.running());
        self.sensed.task_s = ends.team.task_s();
        let month = calendar::month(self.clock.now().unix_ms);
        let elsewhere = ends.team.moved_elsewhere();
        self.sensed.month_bytes = self.month.count(&month, ends.team.moved(), elsewhere);
    }

    /// Between two looks: others may need the machine while tasks run, and a pause needs none.
    fn look_every(&self, ends: &Ends) -> Duration {
        let is_busy = ends.team.is_busy();
        match self.wish.at(self.clock.now().unix_ms) {
            Asked::Pause if self.wish.until_unix_ms.is_some() => LOOK_PAUSED,
            Asked::Pause => LOOK_NEVER,
            Asked::Run | Asked::Finish if is_busy => LOOK_BUSY,
            Asked::Run | Asked::Finish => LOOK_IDLE,
        }
    }

    /// Until something may be different: a gate, the end of a pause, a look.
    fn pause(&self, decision: &Decision, ends: &Ends) -> Duration {
        let now = self.clock.now();
        let (mono_ms, unix_ms) = (now.mono_ms, now.unix_ms);
        let moment = Moment { mono_ms, unix_ms, week_minute: week_minute(unix_ms) };
        let until = decision.until_unix_ms;
        let until = until.map(|ms| Duration::from_millis(ms.saturating_sub(unix_ms) + 1));
        let look = self.look_every(ends).saturating_sub(self.looked.elapsed());
        // What a gate counts goes on while nobody pauses.
        let gate = self.policy.look_again_ms(moment).map(Duration::from_millis);
        let gate = gate.filter(|_| self.wish.at(unix_ms) != Asked::Pause);
        let soonest = [gate, until].into_iter().flatten().fold(look, Duration::min);
        soonest.max(SHORTEST)
    }

    async fn obey(&mut self, command: Command, ends: &mut Ends) {
        let Command { ask, answer } = command;
        let done = match ask {
            Ask::Open => {
                drop(answer.send(open(ends.door.as_deref())));
                return;
            }
            Ask::Status => Ok(()),
            Ask::Clear => ends.team.clear(),
            Ask::Wish { wish } => self.wish_for(wish),
            Ask::Reload => self.read_again(),
            Ask::Stop => {
                // It is told already, or ends already.
                let _ = ends.stop.try_send(());
                Ok(())
            }
        };
        if let Err(why) = done {
            // Who asked may have gone.
            drop(answer.send(Told::Refused { why }));
            return;
        }
        self.look().await;
        self.note_work(ends);
        let decision = self.decide();
        self.carry_out(&decision, ends);
        let status = Box::new(ends.shown.borrow().clone());
        drop(answer.send(Told::Status { status, pid: std::process::id() }));
    }

    /// On disk before it is in effect: a crash must not end a pause.
    fn wish_for(&mut self, wish: Wish) -> Result<(), String> {
        self.file.write(wish).map_err(|error| format!("it cannot be written down: {error}"))?;
        self.wish = wish;
        Ok(())
    }

    fn read_again(&mut self) -> Result<(), String> {
        let (prefs, programs) = (self.reload)()?;
        self.policy.prefer(prefs);
        self.sight.look_for(&programs);
        Ok(())
    }

    fn carry_out(&mut self, decision: &Decision, ends: &mut Ends) {
        let allowance = Allowance::from(decision);
        ends.team.home().pace(decision.network);
        ends.team.follow(allowance);
        self.show(decision, ends);
    }

    fn show(&mut self, decision: &Decision, ends: &Ends) {
        let mut status = ends.status.borrow().clone();
        status.mood = Some(self.mood(decision));
        status.pools = ends.team.shown();
        self.log(why(Some(&status), true), decision.until_unix_ms);
        ends.shown.send_if_modified(|shown| {
            let is_new = *shown != status;
            *shown = status;
            is_new
        });
    }

    fn mood(&self, decision: &Decision) -> Mood {
        let Decision { slots, take, cpu_percent, ask, reason, limited, until_unix_ms, .. } =
            decision.clone();
        let of_slots = self.policy.preferences().slots;
        let senses = self.sight.sources();
        Mood { slots, of_slots, cpu_percent, take, ask, reason, limited, until_unix_ms, senses }
    }

    /// The log has the same words as `status` and `explain`. Work that comes and goes is no news.
    fn log(&mut self, reason: Option<Reason>, until_unix_ms: Option<u64>) {
        let reason = reason.filter(|reason| *reason != Reason::NoWork);
        if self.said.as_ref() == Some(&reason) {
            return;
        }
        match &reason {
            Some(reason) => {
                let until = until_unix_ms.map(|ms| format!(" until {}", calendar::clock(ms)));
                tracing::info!(
                    reason = reason.code(),
                    "not working: {}{}; {}",
                    reason.words(),
                    until.unwrap_or_default(),
                    reason.hint()
                );
            }
            None if self.said.is_some() => tracing::info!("working"),
            None => {}
        }
        self.said = Some(reason);
    }
}

/// Lets one browser in.
fn open(door: Option<&Door>) -> Told {
    let why = "there is no page: `page.listen` is off".to_owned();
    let Some(door) = door else { return Told::Refused { why } };
    match door.url() {
        Ok(url) => Told::Page { url },
        Err(error) => Told::Refused { why: format!("no URL: {error}") },
    }
}

impl std::fmt::Debug for Governor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Governor").field("wish", &self.wish).finish_non_exhaustive()
    }
}
