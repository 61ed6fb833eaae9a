//! An X server: how long nobody touched it (XScreenSaver), and whether the window in front fills the screen.

use x11rb::{
    connection::Connection as _,
    errors::ReplyError,
    protocol::{
        screensaver::ConnectionExt as _,
        xproto::{Atom, AtomEnum, ConnectionExt as _, Window},
    },
    rust_connection::RustConnection,
};

/// States of a window that are looked through: window managers set a handful.
const STATES_MAX: u32 = 32;

/// A connection that asks.
#[derive(Debug)]
pub(super) struct X11 {
    connection: RustConnection,
    root: Window,
    active: Atom,
    state: Atom,
    full_screen: Atom,
}

impl X11 {
    /// Connects, if the server is there and can tell.
    pub(super) fn open(display: &str) -> Option<Self> {
        let (connection, screen) = x11rb::connect(Some(display)).ok()?;
        let root = connection.setup().roots.get(screen)?.root;
        let atom = |name: &str| {
            Some(connection.intern_atom(false, name.as_bytes()).ok()?.reply().ok()?.atom)
        };
        let (active, state) = (atom("_NET_ACTIVE_WINDOW")?, atom("_NET_WM_STATE")?);
        let full_screen = atom("_NET_WM_STATE_FULLSCREEN")?;
        let x11 = Self { connection, root, active, state, full_screen };
        x11.look().map(|_| x11)
    }

    /// Milliseconds without a touch, and whether a window fills the screen; none when the server is gone.
    pub(super) fn look(&self) -> Option<(u64, bool)> {
        let idle = self.connection.screensaver_query_info(self.root).ok()?.reply().ok()?;
        Some((idle.ms_since_user_input.into(), self.is_full().unwrap_or(false)))
    }

    /// The window in front may be gone before it is asked: then nothing fills the screen.
    fn is_full(&self) -> Result<bool, ReplyError> {
        let Some(window) = self.values(self.root, self.active, AtomEnum::WINDOW)?.first().copied()
        else {
            return Ok(false);
        };
        let states = self.values(window, self.state, AtomEnum::ATOM)?;
        Ok(states.contains(&self.full_screen))
    }

    fn values(
        &self,
        window: Window,
        property: Atom,
        kind: AtomEnum,
    ) -> Result<Vec<u32>, ReplyError> {
        let asked = self.connection.get_property(false, window, property, kind, 0, STATES_MAX)?;
        let reply = asked.reply()?;
        Ok(reply.value32().map(Iterator::collect).unwrap_or_default())
    }
}
