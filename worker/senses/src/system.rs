//! The system's D-Bus: whether anybody is logged in and idle (logind), and whether the line is paid by the byte
//! (NetworkManager). Both are looked at seldom: logind counts in minutes.

use quorate_policy::Presence;
use std::time::Duration;
use zbus::{Connection, OwnedObjectPath, OwnedVariant, connection};

const LOGIND: &str = "org.freedesktop.login1";
const LOGIND_PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
const NETWORK: &str = "org.freedesktop.NetworkManager";
const NETWORK_PATH: &str = "/org/freedesktop/NetworkManager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// Where the system's bus is unless `DBUS_SYSTEM_BUS_ADDRESS` says otherwise.
const ADDRESS: &str = "unix:path=/run/dbus/system_bus_socket";
/// Longest answer.
const ANSWER: Duration = Duration::from_secs(5);
/// What NetworkManager says of a line: paid, free, or its guess of either.
const METERED: [u32; 2] = [1, 3];
const UNKNOWN: u32 = 0;

/// A session of logind: name, user, user's name, seat, object.
type Listed = (String, u32, String, String, OwnedObjectPath);

/// A connection that asks.
#[derive(Debug)]
pub struct SystemBus(Connection);

impl SystemBus {
    /// Connects to the bus of this machine, if it has one.
    pub async fn here() -> Option<Self> {
        let named = std::env::var("DBUS_SYSTEM_BUS_ADDRESS").ok();
        Self::open(named.as_deref().unwrap_or(ADDRESS)).await
    }

    /// Connects to a bus.
    pub async fn open(address: &str) -> Option<Self> {
        let connecting = connection::Builder::address(address).method_timeout(ANSWER).build();
        Some(Self(tokio::time::timeout(ANSWER, connecting).await.ok()?.ok()?))
    }

    /// Whether somebody is logged in, and how long logind has called all of them idle. Desktops tell it so
    /// after minutes; those that never do are taken for used.
    pub async fn presence(&self, unix_ms: u64) -> Presence {
        self.ask_logind(unix_ms).await.unwrap_or(Presence::Unknown)
    }

    /// Whether the line is paid by the byte; none where nobody knows.
    pub async fn metered(&self) -> Option<bool> {
        let metered: u32 = self.property(NETWORK, NETWORK_PATH, NETWORK, "Metered").await?;
        (metered != UNKNOWN).then(|| METERED.contains(&metered))
    }

    async fn ask_logind(&self, unix_ms: u64) -> Option<Presence> {
        let call =
            self.0.call_method(Some(LOGIND), LOGIND_PATH, Some(MANAGER), "ListSessions", &());
        let sessions: Vec<Listed> = call.await.ok()?.body().deserialize().ok()?;
        if sessions.is_empty() {
            return Some(Presence::NoSession);
        }
        let is_idle: bool = self.property(LOGIND, LOGIND_PATH, MANAGER, "IdleHint").await?;
        if !is_idle {
            return Some(Presence::Idle(0));
        }
        let since_us: u64 = self.property(LOGIND, LOGIND_PATH, MANAGER, "IdleSinceHint").await?;
        Some(Presence::Idle(unix_ms.saturating_sub(since_us / 1_000)))
    }

    async fn property<T: TryFrom<OwnedVariant>>(
        &self,
        service: &str,
        path: &str,
        interface: &str,
        name: &str,
    ) -> Option<T> {
        let body = (interface, name);
        let call = self.0.call_method(Some(service), path, Some(PROPERTIES), "Get", &body);
        let value: OwnedVariant = call.await.ok()?.body().deserialize().ok()?;
        value.try_into().ok()
    }
}
