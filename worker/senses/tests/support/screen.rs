//! A hand and a window manager: touches a key, and fills the screen as window managers say it.

use x11rb::{
    COPY_DEPTH_FROM_PARENT,
    connection::Connection as _,
    protocol::{
        xproto::{
            AtomEnum, ConnectionExt as _, CreateWindowAux, KEY_PRESS_EVENT, KEY_RELEASE_EVENT,
            PropMode, Window, WindowClass,
        },
        xtest::ConnectionExt as _,
    },
    rust_connection::RustConnection,
    wrapper::ConnectionExt as _,
};

/// The left shift key, which writes nothing.
const SHIFT: u8 = 50;

pub(crate) struct Screen {
    connection: RustConnection,
    root: Window,
    window: Window,
}

impl Screen {
    pub(crate) fn open(display: &str) -> Self {
        let (connection, screen) = x11rb::connect(Some(display)).unwrap();
        let root = connection.setup().roots[screen].root;
        let window = connection.generate_id().unwrap();
        let (class, aux) = (WindowClass::INPUT_OUTPUT, CreateWindowAux::new());
        let depth = COPY_DEPTH_FROM_PARENT;
        connection
            .create_window(depth, window, root, 0, 0, 640, 480, 0, class, 0, &aux)
            .unwrap()
            .check()
            .unwrap();
        Self { connection, root, window }
    }

    pub(crate) fn touch(&self) {
        for kind in [KEY_PRESS_EVENT, KEY_RELEASE_EVENT] {
            let fake = self.connection.xtest_fake_input(kind, SHIFT, 0, self.root, 0, 0, 0);
            fake.unwrap().check().unwrap();
        }
    }

    pub(crate) fn fill(&self, full: bool) {
        let atom = |name: &str| {
            self.connection.intern_atom(false, name.as_bytes()).unwrap().reply().unwrap().atom
        };
        let states = if full { vec![atom("_NET_WM_STATE_FULLSCREEN")] } else { Vec::new() };
        let set = |window, property, kind, values: &[u32]| {
            let replace = PropMode::REPLACE;
            let changed =
                self.connection.change_property32(replace, window, property, kind, values);
            changed.unwrap().check().unwrap();
        };
        set(self.window, atom("_NET_WM_STATE"), AtomEnum::ATOM, &states);
        set(self.root, atom("_NET_ACTIVE_WINDOW"), AtomEnum::WINDOW, &[self.window]);
    }
}
