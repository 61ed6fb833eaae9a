//! GNOME's compositor, on Wayland and on X: how long nobody touched it, by the session's D-Bus.

use std::time::Duration;
use zbus::{Connection, connection};

const SERVICE: &str = "org.gnome.Mutter.IdleMonitor";
const PATH: &str = "/org/gnome/Mutter/IdleMonitor/Core";
const INTERFACE: &str = "org.gnome.Mutter.IdleMonitor";
/// A compositor answers between two frames; one that does not is taken for gone.
const ANSWER: Duration = Duration::from_secs(5);

/// A connection that asks.
#[derive(Debug)]
pub(super) struct Mutter(Connection);

impl Mutter {
    /// Connects, if it is there.
    pub(super) async fn open(bus: &str) -> Option<Self> {
        let connecting = connection::Builder::address(bus).method_timeout(ANSWER).build();
        let mutter = Self(tokio::time::timeout(ANSWER, connecting).await.ok()?.ok()?);
        mutter.idle_ms().await.map(|_| mutter)
    }

    /// Milliseconds without a touch; none when it is gone.
    pub(super) async fn idle_ms(&self) -> Option<u64> {
        let call = self.0.call_method(Some(SERVICE), PATH, Some(INTERFACE), "GetIdletime", &());
        call.await.ok()?.body().deserialize().ok()
    }
}
