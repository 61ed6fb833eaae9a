//! The service's end of the socket: who may tell it of sessions, how much, and what all of them say together.
//!
//! Whoever tells can make the worker rest, and nothing else: of several sessions the busiest counts.

use crate::{
    report::{LINE_BYTES_MAX, Report},
    socket::by_short_name,
};
use quorate_policy::Presence;
use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::watch,
};

/// Sessions that are listened to at once: people at one machine.
const SESSIONS_MAX: usize = 8;
/// How long a word counts. An agent says something every ten seconds.
const STALE: Duration = Duration::from_secs(30);
/// The shortest time between two lines of an agent; what comes faster waits in the socket.
const PACE: Duration = Duration::from_millis(50);
/// Where logind keeps a file for each user that is logged in.
const LOGGED_IN: &str = "/run/systemd/users";

/// Listens to session agents until it is dropped.
#[derive(Debug)]
pub struct Ears {
    sessions: Arc<Sessions>,
    changed: watch::Receiver<u64>,
    listening: tokio::task::JoinHandle<()>,
    path: PathBuf,
}

#[derive(Debug)]
struct Sessions {
    said: Mutex<BTreeMap<u64, (Report, Instant)>>,
    changed: watch::Sender<u64>,
}

/// What all sessions say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Heard {
    /// The shortest time since a key was touched; none where nobody says anything.
    pub idle_ms: Option<u64>,
    /// Whether any says that a window fills a screen.
    pub full_screen: bool,
}

impl Heard {
    /// What that means, if the system bus says `otherwise`.
    pub fn presence(self, otherwise: Presence) -> Presence {
        self.idle_ms.map_or(otherwise, Presence::Idle)
    }
}

impl Ears {
    /// Listens at `path`, which is made anew. Everybody may connect where `mode` lets them; who is listened to
    /// is decided by who they are.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn listen(path: &Path, mode: u32) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = by_short_name(path, |short| UnixListener::bind(short))?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        let (sender, changed) = watch::channel(0);
        let sessions = Arc::new(Sessions { said: Mutex::default(), changed: sender });
        let listening = tokio::spawn(listen(listener, sessions.clone()));
        Ok(Self { sessions, changed, listening, path: path.into() })
    }

    /// What is known now.
    pub fn heard(&self) -> Heard {
        let now = Instant::now();
        let said = self.sessions.said.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = said.values().filter(|(_, at)| now.duration_since(*at) < STALE);
        fresh.fold(Heard::default(), |heard, (report, at)| heard.with(report, now - *at))
    }

    /// Resolves when a session said something that may matter at once.
    pub async fn changed(&mut self) {
        if self.changed.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Heard {
    fn with(self, report: &Report, ago: Duration) -> Self {
        let ago = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
        // A session that cannot tell is one where somebody may be.
        let idle = report.idle_ms.map_or(0, |ms| ms.saturating_add(ago));
        let idle_ms = Some(self.idle_ms.map_or(idle, |other| other.min(idle)));
        Self { idle_ms, full_screen: self.full_screen || report.full_screen }
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        self.listening.abort();
        // Nobody would answer there any more.
        drop(fs::remove_file(&self.path));
    }
}

async fn listen(listener: UnixListener, sessions: Arc<Sessions>) {
    let places = Arc::new(tokio::sync::Semaphore::new(SESSIONS_MAX));
    for id in 0.. {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "session agents are not listened to any more");
                return;
            }
        };
        if !is_known(&stream) {
            continue;
        }
        let sessions = sessions.clone();
        tokio::spawn(async move {
            if let Err(error) = hear(stream, id, &sessions).await {
                tracing::info!(%error, "a session agent is not listened to any more");
            }
            sessions.forget(id);
            drop(place);
        });
    }
}

/// Ourselves, the system's administrator, and whoever is logged in.
fn is_known(stream: &UnixStream) -> bool {
    let Ok(peer) = stream.peer_cred() else { return false };
    let uid = peer.uid();
    let is_ours = uid == rustix::process::geteuid().as_raw() || uid == 0;
    let is_known = is_ours || Path::new(LOGGED_IN).join(uid.to_string()).exists();
    if !is_known {
        tracing::warn!(uid, "somebody who is not logged in wants to tell of a session");
    }
    is_known
}

async fn hear(stream: UnixStream, id: u64, sessions: &Sessions) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(LINE_BYTES_MAX, stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        let most = LINE_BYTES_MAX as u64 + 1;
        let mut bounded = (&mut reader).take(most);
        let read = bounded.read_until(b'\n', &mut line);
        if tokio::time::timeout(STALE, read).await.is_err() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let Some(text) = line.strip_suffix(b"\n") else {
            return if line.is_empty() { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) };
        };
        sessions.say(id, Report::read(text).map_err(io::Error::other)?);
        tokio::time::sleep(PACE).await;
    }
}

impl Sessions {
    fn say(&self, id: u64, report: Report) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.insert(id, (report, Instant::now()));
        self.changed.send_modify(|count| *count += 1);
    }

    fn forget(&self, id: u64) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        self.changed.send_modify(|count| *count += 1);
    }
}
