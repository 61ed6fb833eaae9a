//! The agent's end: looks at the session it runs in, and tells the service.

mod mutter;
mod x11;

use crate::{
    report::{Report, VERSION},
    socket::by_short_name,
};
use mutter::Mutter;
use std::{io, path::Path, time::Duration};
use tokio::{io::AsyncWriteExt as _, net::UnixStream};
use x11::X11;

/// Pause between two looks: a hand on the mouse is noticed so soon.
const LOOK: Duration = Duration::from_secs(1);
/// The same while the owner is there, which nobody is waiting to hear the end of.
const LOOK_BUSY: Duration = Duration::from_secs(5);
/// Idle for less than this is being there.
const BUSY_MS: u64 = 10_000;
/// The longest silence.
const SILENCE: Duration = Duration::from_secs(10);
/// Pause before a service that is gone is looked for again.
const AGAIN: Duration = Duration::from_secs(10);

/// Where a session is looked at.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The X server, as `DISPLAY` names it.
    pub display: Option<String>,
    /// Whether a Wayland compositor is there: X then knows only of its own windows.
    pub is_wayland: bool,
    /// The session's bus, as `DBUS_SESSION_BUS_ADDRESS` names it.
    pub bus: Option<String>,
}

/// Eyes on one session.
#[derive(Debug)]
pub struct Session {
    mutter: Option<Mutter>,
    x11: Option<X11>,
    is_wayland: bool,
}

impl Surroundings {
    /// As the environment says.
    pub fn here() -> Self {
        let var = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            display: var("DISPLAY"),
            is_wayland: var("WAYLAND_DISPLAY").is_some(),
            bus: var("DBUS_SESSION_BUS_ADDRESS"),
        }
    }

    /// Whether there is anything to look at.
    pub fn is_session(&self) -> bool {
        self.display.is_some() || self.is_wayland
    }
}

impl Session {
    /// Opens every eye there is.
    pub async fn open(here: &Surroundings) -> Self {
        let mutter = match &here.bus {
            Some(bus) => Mutter::open(bus).await,
            None => None,
        };
        let x11 = here.display.clone();
        let x11 = tokio::task::spawn_blocking(move || X11::open(&x11?)).await.ok().flatten();
        Self { mutter, x11, is_wayland: here.is_wayland }
    }

    /// Which eyes are open, for `doctor`.
    pub fn sources(&self) -> Vec<&'static str> {
        let mutter = self.mutter.is_some().then_some("Mutter");
        let x11 =
            self.x11.is_some().then_some(if self.is_wayland { "X11 (windows)" } else { "X11" });
        mutter.into_iter().chain(x11).collect()
    }

    /// One look. An eye that fails is closed.
    pub async fn look(&mut self) -> Report {
        let by_mutter = match &self.mutter {
            Some(mutter) => mutter.idle_ms().await,
            None => None,
        };
        if by_mutter.is_none() {
            self.mutter = None;
        }
        let seen = self.look_at_x().await;
        let by_x = seen.map(|(idle_ms, _)| idle_ms).filter(|_| !self.is_wayland);
        let full_screen = seen.is_some_and(|(_, full_screen)| full_screen);
        Report { v: VERSION, idle_ms: by_mutter.or(by_x), full_screen }
    }

    /// X answers from this machine's memory, but may hang with its graphics.
    async fn look_at_x(&mut self) -> Option<(u64, bool)> {
        let x11 = self.x11.take()?;
        let looked = tokio::task::spawn_blocking(move || x11.look().map(|seen| (x11, seen)));
        let (x11, seen) = looked.await.ok()??;
        self.x11 = Some(x11);
        Some(seen)
    }

    fn is_blind(&self) -> bool {
        self.mutter.is_none() && self.x11.is_none()
    }
}

/// Looks and tells for as long as the session lives. Returns when there is nothing left to look at.
///
/// # Errors
/// Nothing to look at from the beginning.
pub async fn tell(here: &Surroundings, socket: &Path) -> io::Result<()> {
    let mut session = Session::open(here).await;
    if session.is_blind() {
        let text = "neither X11 (DISPLAY) nor Mutter (the session's D-Bus) can be asked";
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    loop {
        match connect(socket) {
            Ok(stream) => {
                if let Err(error) = tell_one(&mut session, stream).await {
                    tracing::info!(%error, "the service does not listen any more");
                }
            }
            Err(error) => tracing::debug!(%error, "no service listens"),
        }
        if session.is_blind() {
            return Ok(());
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// A socket of this machine connects at once or not at all.
fn connect(socket: &Path) -> io::Result<UnixStream> {
    let stream = by_short_name(socket, |short| std::os::unix::net::UnixStream::connect(short))?;
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

/// Says what changed at once, and that all is as it was every ten seconds.
async fn tell_one(session: &mut Session, mut stream: UnixStream) -> io::Result<()> {
    let mut last: Option<(Report, tokio::time::Instant)> = None;
    loop {
        let report = session.look().await;
        let is_due = last.is_none_or(|(said, at)| {
            let came_back = report.idle_ms < said.idle_ms;
            came_back || report.full_screen != said.full_screen || at.elapsed() >= SILENCE
        });
        if is_due {
            stream.write_all(report.line().as_bytes()).await?;
            last = Some((report, tokio::time::Instant::now()));
        }
        if session.is_blind() {
            return Ok(());
        }
        let is_busy = report.idle_ms.is_none_or(|ms| ms < BUSY_MS);
        tokio::time::sleep(if is_busy { LOOK_BUSY } else { LOOK }).await;
    }
}
