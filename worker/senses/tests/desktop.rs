//! The senses against real programs: an X server (Xvfb), a message bus (dbus-daemon), and a socket between agent
//! and service. Mutter, logind and NetworkManager are played on that bus, since none of them runs without a
//! machine of its own; their names, paths and types are those of their documentation.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/programs.rs"]
mod programs;
#[path = "support/screen.rs"]
mod screen;

use programs::{Bus, XServer};
use quorate_policy::Presence;
use quorate_senses::{
    Ears, Heard, Session, SystemBus,
    session::{self, Surroundings},
};
use screen::Screen;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Longer than any answer here, on a busy machine.
const SOON: Duration = Duration::from_secs(20);

fn on_x(server: &XServer) -> Surroundings {
    Surroundings { display: Some(server.display.clone()), ..Surroundings::default() }
}

/// Waits until the ears have heard what is asked for, and says how long that took.
async fn until(ears: &mut Ears, what: impl Fn(Heard) -> bool) -> Duration {
    let began = Instant::now();
    while !what(ears.heard()) {
        let waited = tokio::time::timeout(Duration::from_millis(200), ears.changed()).await;
        assert!(began.elapsed() < SOON, "not heard: {:?}, {waited:?}", ears.heard());
    }
    began.elapsed()
}

#[tokio::test]
async fn x_tells_of_keys_and_of_full_screens() {
    let Some(server) = XServer::start() else { return };
    let screen = Screen::open(&server.display);
    let mut session = Session::open(&on_x(&server)).await;
    assert_eq!(session.sources(), ["X11"]);
    screen.touch();
    let touched = session.look().await.idle_ms.unwrap();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let later = session.look().await.idle_ms.unwrap();
    assert!(later >= touched + 1_000, "{touched} then {later}");
    screen.touch();
    let report = session.look().await;
    assert!(report.idle_ms.unwrap() < 1_000, "a key was touched: {report:?}");
    assert!(!report.full_screen);
    screen.fill(true);
    assert!(session.look().await.full_screen);
    screen.fill(false);
    assert!(!session.look().await.full_screen);
}

#[tokio::test]
async fn under_wayland_x_is_not_asked_who_is_there() {
    let Some(server) = XServer::start() else { return };
    let here = Surroundings { is_wayland: true, ..on_x(&server) };
    let report = Session::open(&here).await.look().await;
    assert_eq!(report.idle_ms, None, "X knows of its own windows only");
}

#[tokio::test]
async fn the_service_hears_of_a_hand_within_two_seconds() {
    let Some(server) = XServer::start() else { return };
    let screen = Screen::open(&server.display);
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("session.sock");
    let mut ears = Ears::listen(&socket, 0o600).unwrap();
    assert_eq!(ears.heard().presence(Presence::Unknown), Presence::Unknown);
    let here = on_x(&server);
    let agent = tokio::spawn(async move { session::tell(&here, &socket).await });
    until(&mut ears, |heard| heard.idle_ms.is_some()).await;
    // Who is there is looked at more seldom, until they are gone for ten seconds.
    until(&mut ears, |heard| heard.idle_ms.is_some_and(|ms| ms > 12_000)).await;
    screen.touch();
    let took = until(&mut ears, |heard| heard.idle_ms.is_some_and(|ms| ms < 5_000)).await;
    assert!(took < Duration::from_secs(2), "it took {took:?}");
    // The screen goes, so does the agent, and nobody is taken for present by what was said before.
    drop((screen, server));
    until(&mut ears, |heard| heard.idle_ms.is_none()).await;
    agent.await.unwrap().unwrap();
}

struct Mutter(AtomicU64);

#[zbus::interface(name = "org.gnome.Mutter.IdleMonitor")]
impl Mutter {
    fn get_idletime(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Logind {
    sessions: bool,
    idle_since_us: u64,
}

#[zbus::interface(name = "org.freedesktop.login1.Manager")]
impl Logind {
    fn list_sessions(&self) -> Vec<(String, u32, String, String, zbus::OwnedObjectPath)> {
        let path = zbus::ObjectPath::try_from("/org/freedesktop/login1/session/c1").unwrap();
        let session = ("c1".into(), 1_000, "ann".into(), "seat0".into(), path.into());
        if self.sessions { vec![session] } else { Vec::new() }
    }

    #[zbus(property)]
    fn idle_hint(&self) -> bool {
        self.idle_since_us > 0
    }

    #[zbus(property)]
    fn idle_since_hint(&self) -> u64 {
        self.idle_since_us
    }
}

struct NetworkManager(u32);

#[zbus::interface(name = "org.freedesktop.NetworkManager")]
impl NetworkManager {
    #[zbus(property)]
    fn metered(&self) -> u32 {
        self.0
    }
}

#[tokio::test]
async fn mutter_is_asked_on_the_sessions_bus() {
    let Some(bus) = Bus::start() else { return };
    let here = Surroundings { bus: Some(bus.address.clone()), ..Surroundings::default() };
    assert!(Session::open(&here).await.sources().is_empty(), "no compositor, no answer");
    let played = zbus::connection::Builder::address(bus.address.as_str())
        .name("org.gnome.Mutter.IdleMonitor")
        .serve_at("/org/gnome/Mutter/IdleMonitor/Core", Mutter(AtomicU64::new(61_000)));
    let played = played.build().await.unwrap();
    let here = Surroundings { is_wayland: true, ..here };
    let mut session = Session::open(&here).await;
    assert_eq!(session.sources(), ["Mutter"]);
    assert_eq!(session.look().await.idle_ms, Some(61_000));
    played.close().await.unwrap();
    assert_eq!(session.look().await.idle_ms, None, "a compositor that is gone tells nothing");
}

#[tokio::test]
async fn logind_and_networkmanager_are_asked_on_the_systems_bus() {
    let Some(bus) = Bus::start() else { return };
    let asked = SystemBus::open(&bus.address).await.unwrap();
    assert_eq!(asked.presence(0).await, Presence::Unknown, "nobody answers");
    assert_eq!(asked.metered().await, None);
    for (logind, metered, presence, is_metered) in [
        (Logind { sessions: false, idle_since_us: 0 }, 0, Presence::NoSession, None),
        (Logind { sessions: true, idle_since_us: 0 }, 1, Presence::Idle(0), Some(true)),
        (
            Logind { sessions: true, idle_since_us: 40_000_000 },
            4,
            Presence::Idle(60_000),
            Some(false),
        ),
    ] {
        let played = zbus::connection::Builder::address(bus.address.as_str())
            .name("org.freedesktop.login1")
            .name("org.freedesktop.NetworkManager")
            .serve_at("/org/freedesktop/login1", logind)
            .serve_at("/org/freedesktop/NetworkManager", NetworkManager(metered));
        let played = played.build().await.unwrap();
        assert_eq!(asked.presence(100_000).await, presence);
        assert_eq!(asked.metered().await, is_metered);
        played.close().await.unwrap();
    }
}
