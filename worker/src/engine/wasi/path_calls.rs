//! The `path_*` functions.

#![expect(clippy::too_many_arguments, reason = "preview 1 gives these functions their arguments")]

use super::errno::Errno;
use super::fd_calls::flags_of;
use super::fds::{Fd, Object, rights};
use super::{Call, Done};
use crate::engine::tree::{Fault, Ino, Stat};

/// How `path_open` opens.
pub(super) const CREATE: u32 = 1;
pub(super) const FOLDER: u32 = 2;
pub(super) const EXCLUSIVE: u32 = 4;
pub(super) const TRUNCATE: u32 = 8;
const HOW_ALL: u32 = 0xf;

/// Fuel for every node that a rename visits: checking that a folder does not move into itself
/// takes a look-up or two for each.
pub(super) const VISIT_FUEL: u64 = 200;

impl Call<'_> {
    pub(super) fn path_create_directory(&mut self, fd: u32, path: u32, len: u32) -> Done {
        let from = self.host.fds.folder(fd)?;
        let path = self.path(path, len)?;
        let host = &mut *self.host;
        let place = host.tree.resolve(from, &path)?;
        host.tree.create_folder(place, &mut host.meter)?;
        Ok(())
    }

    pub(super) fn path_filestat_get(
        &mut self,
        fd: u32,
        _flags: u32,
        path: u32,
        len: u32,
        out: u32,
    ) -> Done {
        let stat = self.find(fd, path, len)?;
        self.write_filestat(out, stat)
    }

    /// Succeeds and changes nothing, as `fd_filestat_set_times` does.
    pub(super) fn path_filestat_set_times(
        &mut self,
        fd: u32,
        _follow: u32,
        path: u32,
        len: u32,
        _accessed: u64,
        _modified: u64,
        _flags: u32,
    ) -> Done {
        Ok(self.find(fd, path, len)?.area.check_writable()?)
    }

    /// What is at a path that must exist.
    fn find(&mut self, fd: u32, path: u32, len: u32) -> Result<Stat, Fault> {
        let from = self.host.fds.folder(fd)?;
        let path = self.path(path, len)?;
        let place = self.host.tree.resolve(from, &path)?;
        Ok(self.host.tree.stat(place.node.ok_or(Errno::Noent)?)?)
    }

    pub(super) fn path_link(
        &mut self,
        _fd: u32,
        _flags: u32,
        _path: u32,
        _len: u32,
        _to_fd: u32,
        _to: u32,
        _to_len: u32,
    ) -> Done {
        Err(Errno::Notsup.into())
    }

    pub(super) fn path_symlink(
        &mut self,
        _target: u32,
        _target_len: u32,
        _fd: u32,
        _path: u32,
        _len: u32,
    ) -> Done {
        Err(Errno::Notsup.into())
    }

    /// Nothing is a link: `EINVAL`, as POSIX has it, if there is something at all.
    pub(super) fn path_readlink(
        &mut self,
        fd: u32,
        path: u32,
        len: u32,
        _buffer: u32,
        _buffer_len: u32,
        _out: u32,
    ) -> Done {
        self.find(fd, path, len)?;
        Err(Errno::Inval.into())
    }

    pub(super) fn path_open(
        &mut self,
        fd: u32,
        _follow: u32,
        path: u32,
        len: u32,
        how: u32,
        base: u64,
        inheriting: u64,
        flags: u32,
        out: u32,
    ) -> Done {
        let flags = flags_of(flags)?;
        if how & !HOW_ALL != 0 {
            return Err(Errno::Inval.into());
        }
        let from = self.host.fds.folder(fd)?;
        let path = self.path(path, len)?;
        // Nothing may happen to the tree that the guest is then not told the descriptor of.
        self.host.fds.check_room()?;
        self.read(out, 4)?;
        let opened = self.open_node(from, &path, how, base)?;
        let stat = self.host.tree.stat(opened)?;
        let fd = match stat.folder {
            true => Fd::new(Object::Folder(opened), base & rights::FOLDER, inheriting),
            false => Fd::new(Object::File(opened), base & rights::FILE, 0),
        };
        let number = self.host.fds.open(Fd { flags, ..fd }, &mut self.host.tree)?;
        Ok(self.write_u32(out, number)?)
    }

    /// Finds or creates what `path_open` opens.
    pub(super) fn open_node(
        &mut self,
        from: Ino,
        path: &str,
        how: u32,
        base: u64,
    ) -> Result<Ino, Fault> {
        let place = self.host.tree.resolve(from, path)?;
        let host = &mut *self.host;
        let Some(ino) = place.node else {
            return match how & (CREATE | FOLDER) {
                CREATE => host.tree.create_file(place, &mut host.meter),
                FOLDER | 0 => Err(Errno::Noent.into()),
                _ => Err(Errno::Inval.into()),
            };
        };
        if how & (CREATE | EXCLUSIVE) == CREATE | EXCLUSIVE {
            return Err(Errno::Exist.into());
        }
        let stat = host.tree.stat(ino)?;
        let writes = base & rights::FD_WRITE != 0 || how & TRUNCATE != 0;
        if stat.folder {
            check_folder_open(how, writes)?;
        } else if how & FOLDER != 0 {
            return Err(Errno::Notdir.into());
        } else if writes {
            stat.area.check_writable()?;
            if how & TRUNCATE != 0 {
                host.tree.resize(ino, 0, &mut host.meter)?;
            }
        }
        Ok(ino)
    }

    pub(super) fn path_remove_directory(&mut self, fd: u32, path: u32, len: u32) -> Done {
        let from = self.host.fds.folder(fd)?;
        let path = self.path(path, len)?;
        let host = &mut *self.host;
        let place = host.tree.resolve(from, &path)?;
        host.tree.remove_folder(place, &mut host.meter)
    }

    pub(super) fn path_unlink_file(&mut self, fd: u32, path: u32, len: u32) -> Done {
        let from = self.host.fds.folder(fd)?;
        let path = self.path(path, len)?;
        let host = &mut *self.host;
        let place = host.tree.resolve(from, &path)?;
        host.tree.unlink(place, &mut host.meter)
    }

    pub(super) fn path_rename(
        &mut self,
        fd: u32,
        path: u32,
        len: u32,
        to_fd: u32,
        to: u32,
        to_len: u32,
    ) -> Done {
        let from_folder = self.host.fds.folder(fd)?;
        let to_folder = self.host.fds.folder(to_fd)?;
        let from = self.path(path, len)?;
        let to = self.path(to, to_len)?;
        let host = &mut *self.host;
        let from = host.tree.resolve(from_folder, &from)?;
        let to = host.tree.resolve(to_folder, &to)?;
        let visited = host.tree.rename(from, to, &mut host.meter)?;
        Ok(self.burn(visited as u64 * VISIT_FUEL)?)
    }
}

/// A folder can be opened, but not to create, truncate or write a file. A caller that says it
/// wants a folder may ask for every right, as preview 1's own tests do.
fn check_folder_open(how: u32, writes: bool) -> Result<(), Errno> {
    let as_file = how & (CREATE | TRUNCATE) != 0 || (writes && how & FOLDER == 0);
    if as_file { Err(Errno::Isdir) } else { Ok(()) }
}
