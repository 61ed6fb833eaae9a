//! What a component holds of the host, each thing under the number that wasmtime keeps in the component's handle.
//!
//! Guests never see these numbers, only handles that wasmtime gives and checks.

use crate::engine::meter::Halt;
use crate::engine::tree::{Fault, Ino};
use crate::engine::wasi::Call;
use crate::engine::wasi::errno::Errno;
use wasmtime::component::Resource;

/// Things one component holds at once: four times the descriptors of preview 1, since a file that is read and
/// written has a stream for each. One more ends the run, on every machine alike.
pub(crate) const HANDLES_MAX: usize = 4_096;

/// Handles and loans of them that wasmtime counts: ours, and as many again for what a list lends in one call.
pub(crate) const COUNTED_HANDLES_MAX: usize = 2 * HANDLES_MAX;

/// Kinds of things, for wasmtime to tell handles apart.
pub(super) enum Descriptor {}
pub(super) enum DirectoryEntryStream {}
pub(super) enum InputStream {}
pub(super) enum OutputStream {}
pub(super) enum IoError {}
pub(super) enum Pollable {}
pub(super) enum Network {}

/// One thing that is held.
#[derive(Debug, Clone, Copy)]
pub(super) enum Held {
    Descriptor(Opened),
    /// A listing, and the number from which it goes on.
    Listing {
        ino: Ino,
        next: Ino,
    },
    Input(Source),
    Output(Sink),
    Error(Errno),
    Pollable(When),
    Network,
}

/// An open file or folder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opened {
    pub(super) ino: Ino,
    pub(super) reads: bool,
    pub(super) writes: bool,
}

/// Where a stream's bytes come from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// Standard input, which has one position however many streams there are.
    Stdin,
    File {
        ino: Ino,
        at: u64,
    },
}

/// Where a stream's bytes go.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sink {
    Stdout,
    Stderr,
    File {
        ino: Ino,
        at: u64,
    },
    /// Wherever the file ends.
    End {
        ino: Ino,
    },
}

/// When something is ready.
#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    Always,
    /// At that time on the monotonic clock.
    At(u64),
}

impl Held {
    /// The node that must stay as long as this does.
    fn ino(self) -> Option<Ino> {
        match self {
            Self::Descriptor(Opened { ino, .. })
            | Self::Listing { ino, .. }
            | Self::Input(Source::File { ino, .. })
            | Self::Output(Sink::File { ino, .. } | Sink::End { ino }) => Some(ino),
            Self::Input(Source::Stdin)
            | Self::Output(Sink::Stdout | Sink::Stderr)
            | Self::Error(_)
            | Self::Pollable(_)
            | Self::Network => None,
        }
    }
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Handles {
    places: Vec<Option<Held>>,
    free: Vec<u32>,
}

impl Handles {
    fn check_room(&self) -> Result<(), Halt> {
        let held = self.places.len() - self.free.len();
        if held < HANDLES_MAX { Ok(()) } else { Err(Halt::Misuse) }
    }

    fn put(&mut self, held: Held) -> Result<u32, Halt> {
        self.check_room()?;
        if let Some(rep) = self.free.pop() {
            *self.place(rep)? = Some(held);
            return Ok(rep);
        }
        self.places.push(Some(held));
        u32::try_from(self.places.len() - 1).map_err(|_| Halt::Misuse)
    }

    /// wasmtime hands back only numbers that it was given and that were not dropped.
    fn place(&mut self, rep: u32) -> Result<&mut Option<Held>, Halt> {
        self.places.get_mut(rep as usize).ok_or(Halt::Host)
    }
}

impl Call<'_> {
    /// That something more can be held, for whoever must not act in vain.
    pub(super) fn check_room(&self) -> Result<(), Halt> {
        self.host.handles.check_room()
    }

    /// Gives the guest something to hold.
    pub(super) fn hold<T: 'static>(&mut self, held: Held) -> Result<Resource<T>, Halt> {
        let rep = self.host.handles.put(held)?;
        if let Some(ino) = held.ino() {
            // Whoever opens a node has just found it.
            self.host.tree.hold(ino).map_err(|_| Halt::Host)?;
        }
        Ok(Resource::new_own(rep))
    }

    /// The same, for a function that has an error to give.
    pub(super) fn open<T: 'static>(&mut self, held: Held) -> Result<Resource<T>, Fault> {
        Ok(self.hold(held)?)
    }

    /// The guest dropped something.
    pub(super) fn let_go(&mut self, rep: u32) -> Result<(), Halt> {
        let held = self.host.handles.place(rep)?.take().ok_or(Halt::Host)?;
        self.host.handles.free.push(rep);
        if let Some(ino) = held.ino() {
            self.host.tree.release(ino, &mut self.host.meter);
        }
        Ok(())
    }

    pub(super) fn held<T: 'static>(&mut self, this: &Resource<T>) -> Result<&mut Held, Halt> {
        self.host.handles.place(this.rep())?.as_mut().ok_or(Halt::Host)
    }

    pub(super) fn opened(&mut self, this: &Resource<Descriptor>) -> Result<Opened, Halt> {
        let held = *self.held(this)?;
        let Held::Descriptor(opened) = held else { return Err(held.strange()) };
        Ok(opened)
    }
}

impl Held {
    /// wasmtime tells kinds apart, so that this cannot be.
    pub(super) fn strange(self) -> Halt {
        tracing::error!(held = ?self, "a handle of one kind was given for another");
        Halt::Host
    }
}
