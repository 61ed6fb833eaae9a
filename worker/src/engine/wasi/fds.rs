//! The guest's file descriptors.

use super::errno::Errno;
use crate::engine::meter::Meter;
use crate::engine::tree::{Area, Ino, Tree};

/// Descriptors a guest may have at once: the usual soft limit of Linux. More is `EMFILE`.
const FDS_MAX: usize = 1_024;

/// What a descriptor may be used for, as preview 1 numbers it. Only reading and writing are held
/// to; the rest is reported, since C libraries ask for it, and a tree in memory has nothing else
/// to protect.
pub(super) mod rights {
    pub(crate) const FD_READ: u64 = 1 << 1;
    pub(crate) const FD_WRITE: u64 = 1 << 6;
    const FD_FILESTAT_GET: u64 = 1 << 21;
    const POLL: u64 = 1 << 27;
    /// Bits 0 to 8 are about a file's bytes, 21 to 23 about what it is.
    pub(crate) const FILE: u64 = 0x1ff | 0x7 << 21 | POLL;
    /// Bits 3 and 4 are about flags and syncing, 9 to 21 and 24 to 26 about paths, 23 about times.
    pub(crate) const FOLDER: u64 = 0x3 << 3 | 0x1fff << 9 | 0xf << 23;
    pub(crate) const STDIN: u64 = FD_READ | FD_FILESTAT_GET | POLL;
    pub(crate) const STDOUT: u64 = FD_WRITE | FD_FILESTAT_GET | POLL;
}

/// `fdflags::append`: every write goes to the end.
pub(super) const APPEND: u16 = 1;

/// What a descriptor stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Object {
    Stdin,
    Stdout,
    Stderr,
    File(Ino),
    Folder(Ino),
}

/// One open descriptor.
#[derive(Debug, Clone)]
pub(super) struct Fd {
    pub(super) object: Object,
    /// Where the next read or write begins; for standard input, how much was read.
    pub(super) offset: u64,
    pub(super) flags: u16,
    pub(super) rights: u64,
    pub(super) inheriting: u64,
    /// Set for the three folders that are there from the start.
    pub(super) mount: Option<Area>,
}

impl Fd {
    pub(super) fn new(object: Object, rights: u64, inheriting: u64) -> Self {
        Self { object, offset: 0, flags: 0, rights, inheriting, mount: None }
    }

    fn holds(&self) -> Option<Ino> {
        match self.object {
            Object::File(ino) | Object::Folder(ino) => Some(ino),
            Object::Stdin | Object::Stdout | Object::Stderr => None,
        }
    }
}

/// The table: 0, 1 and 2 are the streams, 3, 4 and 5 are `/in`, `/out` and `/tmp`, 6 a pack's library.
#[derive(Debug)]
pub(crate) struct Fds(Vec<Option<Fd>>);

impl Fds {
    pub(crate) fn new(tree: &mut Tree) -> Self {
        let mut fds = vec![
            Some(Fd::new(Object::Stdin, rights::STDIN, 0)),
            Some(Fd::new(Object::Stdout, rights::STDOUT, 0)),
            Some(Fd::new(Object::Stderr, rights::STDOUT, 0)),
        ];
        let library = tree.stat(Area::Lib.root()).is_ok_and(|stat| stat.area == Area::Lib);
        for area in Area::ALL.into_iter().chain(library.then_some(Area::Lib)) {
            let folder = Object::Folder(area.root());
            let fd = Fd::new(folder, rights::FOLDER, rights::FOLDER | rights::FILE);
            // The roots exist, and are never removed: holding them cannot fail and is no matter.
            let _ = tree.hold(area.root());
            fds.push(Some(Fd { mount: Some(area), ..fd }));
        }
        Self(fds)
    }

    pub(super) fn get(&self, fd: u32) -> Result<&Fd, Errno> {
        self.0.get(fd as usize).and_then(Option::as_ref).ok_or(Errno::Badf)
    }

    pub(super) fn get_mut(&mut self, fd: u32) -> Result<&mut Fd, Errno> {
        self.0.get_mut(fd as usize).and_then(Option::as_mut).ok_or(Errno::Badf)
    }

    /// The file behind `fd`, which must have `right`.
    pub(super) fn file(&self, fd: u32, right: u64) -> Result<Ino, Errno> {
        let fd = self.get(fd)?;
        match fd.object {
            Object::File(_) if fd.rights & right != right => Err(Errno::Badf),
            Object::File(ino) => Ok(ino),
            Object::Folder(_) => Err(Errno::Isdir),
            Object::Stdin | Object::Stdout | Object::Stderr => Err(Errno::Spipe),
        }
    }

    /// The folder behind `fd`.
    pub(super) fn folder(&self, fd: u32) -> Result<Ino, Errno> {
        match self.get(fd)?.object {
            Object::Folder(ino) => Ok(ino),
            Object::File(_) | Object::Stdin | Object::Stdout | Object::Stderr => Err(Errno::Notdir),
        }
    }

    /// Puts `fd` at the lowest free number.
    pub(super) fn open(&mut self, fd: Fd, tree: &mut Tree) -> Result<u32, Errno> {
        let free = self.0.iter().position(Option::is_none).unwrap_or(self.0.len());
        if free >= FDS_MAX {
            return Err(Errno::Mfile);
        }
        if let Some(ino) = fd.holds() {
            tree.hold(ino)?;
        }
        match self.0.get_mut(free) {
            Some(slot) => *slot = Some(fd),
            None => self.0.push(Some(fd)),
        }
        u32::try_from(free).map_err(|_| Errno::Mfile)
    }

    pub(super) fn close(
        &mut self,
        fd: u32,
        tree: &mut Tree,
        meter: &mut Meter,
    ) -> Result<(), Errno> {
        let slot = self.0.get_mut(fd as usize).ok_or(Errno::Badf)?;
        let closed = slot.take().ok_or(Errno::Badf)?;
        if let Some(ino) = closed.holds() {
            tree.release(ino, meter);
        }
        Ok(())
    }

    /// Whether only the streams and the roots are open.
    pub(crate) fn are_as_at_first(&self) -> bool {
        self.0.iter().flatten().all(|fd| fd.mount.is_some() || fd.holds().is_none())
    }

    /// Whether a further descriptor would fit.
    pub(super) fn check_room(&self) -> Result<(), Errno> {
        let open = self.0.iter().flatten().count();
        if open < FDS_MAX { Ok(()) } else { Err(Errno::Mfile) }
    }

    /// Moves a descriptor to the number of another, which is closed.
    pub(super) fn renumber(
        &mut self,
        from: u32,
        to: u32,
        tree: &mut Tree,
        meter: &mut Meter,
    ) -> Result<(), Errno> {
        self.get(from)?;
        self.get(to)?;
        if from == to {
            return Ok(());
        }
        self.close(to, tree, meter)?;
        let moved = self.0.get_mut(from as usize).and_then(Option::take);
        *self.0.get_mut(to as usize).ok_or(Errno::Badf)? = moved;
        Ok(())
    }
}
