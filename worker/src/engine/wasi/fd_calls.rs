//! The `fd_*` functions.

use super::errno::Errno;
use super::fds::{APPEND, Fd, Object, rights};
use super::guest::{Buffer, slice, slice_mut, total};
use super::{Call, Done};
use crate::engine::tree::{Area, Fault, Ino, Stat};

/// File types of preview 1. Streams are of unknown type: neither a terminal, which would make C
/// libraries write line by line, nor a file, which could be sought in.
const TYPE_UNKNOWN: u8 = 0;
pub(super) const TYPE_FOLDER: u8 = 3;
const TYPE_FILE: u8 = 4;

/// `append`, `dsync`, `nonblock`, `rsync` and `sync`; only the first means something here.
const FLAGS_ALL: u32 = 0x1f;

/// The cookies of a listing: before `.`, before `..`, and before the first child. A child's is
/// one more than its number.
const COOKIE_DOT: u64 = 0;
const COOKIE_DOT_DOT: u64 = 1;
const COOKIE_CHILDREN: u64 = 2;

/// Bytes of a listing's entry before the name.
const DIRENT_BYTES: usize = 24;

/// Fuel for every entry of a listing, beyond its bytes: a look-up among all nodes.
pub(super) const ENTRY_FUEL: u64 = 200;

impl Call<'_> {
    pub(super) fn fd_advise(&mut self, fd: u32, _offset: u64, _len: u64, advice: u32) -> Done {
        self.host.fds.file(fd, 0)?;
        if advice > 5 {
            return Err(Errno::Inval.into());
        }
        Ok(())
    }

    pub(super) fn fd_allocate(&mut self, fd: u32, offset: u64, len: u64) -> Done {
        let ino = self.host.fds.file(fd, rights::FD_WRITE)?;
        let end = offset.checked_add(len).ok_or(Errno::Fbig)?;
        self.grow(ino, end)
    }

    pub(super) fn fd_close(&mut self, fd: u32) -> Done {
        let host = &mut *self.host;
        Ok(host.fds.close(fd, &mut host.tree, &mut host.meter)?)
    }

    pub(super) fn fd_datasync(&mut self, fd: u32) -> Done {
        self.host.fds.get(fd)?;
        Ok(())
    }

    pub(super) fn fd_sync(&mut self, fd: u32) -> Done {
        self.fd_datasync(fd)
    }

    pub(super) fn fd_fdstat_get(&mut self, fd: u32, out: u32) -> Done {
        let fd = self.host.fds.get(fd)?;
        let mut stat = [0; 24];
        stat[0] = match fd.object {
            Object::Stdin | Object::Stdout | Object::Stderr => TYPE_UNKNOWN,
            Object::File(_) => TYPE_FILE,
            Object::Folder(_) => TYPE_FOLDER,
        };
        stat[2..4].copy_from_slice(&fd.flags.to_le_bytes());
        stat[8..16].copy_from_slice(&fd.rights.to_le_bytes());
        stat[16..].copy_from_slice(&fd.inheriting.to_le_bytes());
        Ok(self.write(out, &stat)?)
    }

    pub(super) fn fd_fdstat_set_flags(&mut self, fd: u32, flags: u32) -> Done {
        self.host.fds.get_mut(fd)?.flags = flags_of(flags)?;
        Ok(())
    }

    /// Rights can only be given up.
    pub(super) fn fd_fdstat_set_rights(&mut self, fd: u32, base: u64, inheriting: u64) -> Done {
        let fd = self.host.fds.get_mut(fd)?;
        if base & !fd.rights != 0 || inheriting & !fd.inheriting != 0 {
            return Err(Errno::Notcapable.into());
        }
        (fd.rights, fd.inheriting) = (base, inheriting);
        Ok(())
    }

    pub(super) fn fd_filestat_get(&mut self, fd: u32, out: u32) -> Done {
        match self.host.fds.get(fd)?.object {
            Object::File(ino) | Object::Folder(ino) => {
                let stat = self.host.tree.stat(ino)?;
                self.write_filestat(out, stat)
            }
            Object::Stdin | Object::Stdout | Object::Stderr => Ok(self.write(out, &[0; 64])?),
        }
    }

    /// Device, number, type, one link, length; all three times are zero.
    pub(super) fn write_filestat(&mut self, out: u32, stat: Stat) -> Done {
        let mut bytes = [0; 64];
        bytes[..8].copy_from_slice(&(1 + stat.area as u64).to_le_bytes());
        bytes[8..16].copy_from_slice(&stat.ino.to_le_bytes());
        bytes[16] = type_of(stat.folder);
        bytes[24..32].copy_from_slice(&1_u64.to_le_bytes());
        bytes[32..40].copy_from_slice(&stat.len.to_le_bytes());
        Ok(self.write(out, &bytes)?)
    }

    pub(super) fn fd_filestat_set_size(&mut self, fd: u32, len: u64) -> Done {
        let ino = self.host.fds.file(fd, rights::FD_WRITE)?;
        self.grow(ino, len)?;
        let host = &mut *self.host;
        host.tree.resize(ino, len, &mut host.meter)
    }

    /// Times are always zero; setting them succeeds and changes nothing, since copying tools
    /// treat a failure as fatal.
    pub(super) fn fd_filestat_set_times(
        &mut self,
        fd: u32,
        _accessed: u64,
        _modified: u64,
        _flags: u32,
    ) -> Done {
        self.host.fds.get(fd)?;
        Ok(())
    }

    pub(super) fn fd_prestat_get(&mut self, fd: u32, out: u32) -> Done {
        let name = self.mount(fd)?.mount();
        self.write_u32(out, 0)?;
        Ok(self.write_u32(out.checked_add(4).ok_or(Errno::Fault)?, name.len() as u32)?)
    }

    pub(super) fn fd_prestat_dir_name(&mut self, fd: u32, path: u32, len: u32) -> Done {
        let name = self.mount(fd)?.mount();
        if (len as usize) < name.len() {
            return Err(Errno::Nametoolong.into());
        }
        Ok(self.write(path, name.as_bytes())?)
    }

    fn mount(&self, fd: u32) -> Result<Area, Errno> {
        self.host.fds.get(fd)?.mount.ok_or(Errno::Badf)
    }

    pub(super) fn fd_renumber(&mut self, from: u32, to: u32) -> Done {
        let host = &mut *self.host;
        Ok(host.fds.renumber(from, to, &mut host.tree, &mut host.meter)?)
    }

    pub(super) fn fd_seek(&mut self, fd: u32, delta: i64, whence: u32, out: u32) -> Done {
        let ino = self.host.fds.file(fd, 0)?;
        let len = self.host.tree.stat(ino)?.len;
        let at = self.host.fds.get_mut(fd)?;
        let base = match whence {
            0 => 0,
            1 => at.offset,
            2 => len,
            _ => return Err(Errno::Inval.into()),
        };
        let offset = base.checked_add_signed(delta).ok_or(Errno::Inval)?;
        at.offset = offset;
        Ok(self.write_u64(out, offset)?)
    }

    pub(super) fn fd_tell(&mut self, fd: u32, out: u32) -> Done {
        self.host.fds.file(fd, 0)?;
        let offset = self.host.fds.get(fd)?.offset;
        Ok(self.write_u64(out, offset)?)
    }

    pub(super) fn fd_read(&mut self, fd: u32, buffers: u32, count: u32, out: u32) -> Done {
        let buffers = self.buffers(buffers, count)?;
        let at = self.host.fds.get(fd)?.offset;
        let read = match self.host.fds.get(fd)?.object {
            Object::Stdin => self.read_stream(&buffers, at)?,
            Object::Stdout | Object::Stderr => return Err(Errno::Badf.into()),
            Object::File(_) | Object::Folder(_) => self.read_file(fd, &buffers, at)?,
        };
        self.host.fds.get_mut(fd)?.offset = at + u64::from(read);
        Ok(self.write_u32(out, read)?)
    }

    pub(super) fn fd_pread(
        &mut self,
        fd: u32,
        buffers: u32,
        count: u32,
        offset: u64,
        out: u32,
    ) -> Done {
        let buffers = self.buffers(buffers, count)?;
        let read = self.read_file(fd, &buffers, offset)?;
        Ok(self.write_u32(out, read)?)
    }

    fn read_stream(&mut self, buffers: &[Buffer], at: u64) -> Result<u32, Fault> {
        let left = (self.host.stdin.len() as u64).saturating_sub(at);
        self.burn_bytes(left.min(total(buffers).into()))?;
        Ok(scatter(&self.host.stdin, at, self.memory, buffers)?)
    }

    fn read_file(&mut self, fd: u32, buffers: &[Buffer], at: u64) -> Result<u32, Fault> {
        let ino = self.host.fds.file(fd, rights::FD_READ)?;
        let left = self.host.tree.stat(ino)?.len.saturating_sub(at);
        self.burn_bytes(left.min(total(buffers).into()))?;
        Ok(scatter(self.host.tree.bytes(ino)?, at, self.memory, buffers)?)
    }

    pub(super) fn fd_write(&mut self, fd: u32, buffers: u32, count: u32, out: u32) -> Done {
        let buffers = self.buffers(buffers, count)?;
        let Fd { object, offset, flags, .. } = *self.host.fds.get(fd)?;
        match object {
            Object::Stdin => return Err(Errno::Badf.into()),
            Object::Stdout | Object::Stderr => self.write_stream(object, &buffers)?,
            Object::File(_) | Object::Folder(_) => {
                let ino = self.host.fds.file(fd, rights::FD_WRITE)?;
                let append = flags & APPEND != 0;
                let at = if append { self.host.tree.stat(ino)?.len } else { offset };
                let end = self.write_file(ino, &buffers, at)?;
                self.host.fds.get_mut(fd)?.offset = end;
            }
        }
        Ok(self.write_u32(out, total(&buffers))?)
    }

    pub(super) fn fd_pwrite(
        &mut self,
        fd: u32,
        buffers: u32,
        count: u32,
        offset: u64,
        out: u32,
    ) -> Done {
        let buffers = self.buffers(buffers, count)?;
        let ino = self.host.fds.file(fd, rights::FD_WRITE)?;
        self.write_file(ino, &buffers, offset)?;
        Ok(self.write_u32(out, total(&buffers))?)
    }

    fn write_stream(&mut self, stream: Object, buffers: &[Buffer]) -> Done {
        let len = u64::from(total(buffers));
        if stream == Object::Stdout {
            self.host.meter.take_stdout(len)?;
            self.burn_growth(len)?;
        }
        self.burn_bytes(len)?;
        for buffer in buffers {
            let bytes = slice(self.memory, buffer.ptr, buffer.len)?;
            if stream == Object::Stdout {
                self.host.stdout.extend_from_slice(bytes);
            } else {
                self.host.stderr.push(bytes);
            }
        }
        Ok(())
    }

    /// Writes all buffers from `at` on and returns where they end.
    fn write_file(&mut self, ino: Ino, buffers: &[Buffer], mut at: u64) -> Result<u64, Fault> {
        let len = u64::from(total(buffers));
        if len == 0 {
            return Ok(at);
        }
        self.burn_bytes(len)?;
        self.grow(ino, at.checked_add(len).ok_or(Errno::Fbig)?)?;
        for buffer in buffers {
            let bytes = slice(self.memory, buffer.ptr, buffer.len)?;
            self.host.tree.write(ino, at, bytes)?;
            at += u64::from(buffer.len);
        }
        Ok(at)
    }

    /// Makes a file at least `len` bytes long, with zeros; pays in the limit and in fuel first.
    pub(super) fn grow(&mut self, ino: Ino, len: u64) -> Done {
        let more = self.host.tree.grow(ino, len, &mut self.host.meter)?;
        self.burn_growth(more)?;
        if more > 0 {
            let host = &mut *self.host;
            host.tree.resize(ino, len, &mut host.meter)?;
        }
        Ok(())
    }

    /// Fills the buffer with whole entries and, when it ends before the listing does, with the
    /// beginning of one more: that is how a guest sees that there is more.
    pub(super) fn fd_readdir(
        &mut self,
        fd: u32,
        buffer: u32,
        len: u32,
        cookie: u64,
        out: u32,
    ) -> Done {
        let ino = self.host.fds.folder(fd)?;
        self.burn_bytes(len.into())?;
        let parent = self.host.tree.parent(ino)?;
        let mut page = Page { room: slice_mut(self.memory, buffer, len)?, used: 0, entries: 0 };
        if cookie == COOKIE_DOT {
            page.push(COOKIE_DOT_DOT, ino, ".", true);
        }
        if cookie <= COOKIE_DOT_DOT {
            page.push(COOKIE_CHILDREN, parent, "..", true);
        }
        for (child, name, folder) in self.host.tree.list(ino, cookie)? {
            if page.is_full() {
                break;
            }
            page.push(child + 1, child, name, folder);
        }
        let Page { used, entries, .. } = page;
        self.burn(entries * ENTRY_FUEL)?;
        Ok(self.write_u32(out, used as u32)?)
    }
}

/// The part of a listing that fits the guest's buffer.
struct Page<'a> {
    room: &'a mut [u8],
    used: usize,
    entries: u64,
}

impl Page<'_> {
    fn is_full(&self) -> bool {
        self.used == self.room.len()
    }

    fn push(&mut self, next: u64, ino: Ino, name: &str, folder: bool) {
        let mut entry = [0; DIRENT_BYTES];
        entry[..8].copy_from_slice(&next.to_le_bytes());
        entry[8..16].copy_from_slice(&ino.to_le_bytes());
        entry[16..20].copy_from_slice(&(name.len() as u32).to_le_bytes());
        entry[20] = type_of(folder);
        self.entries += 1;
        self.push_bytes(&entry);
        self.push_bytes(name.as_bytes());
    }

    fn push_bytes(&mut self, bytes: &[u8]) {
        let room = &mut self.room[self.used..];
        let len = bytes.len().min(room.len());
        room[..len].copy_from_slice(&bytes[..len]);
        self.used += len;
    }
}

pub(super) fn flags_of(flags: u32) -> Result<u16, Errno> {
    if flags & !FLAGS_ALL != 0 {
        return Err(Errno::Inval);
    }
    u16::try_from(flags).map_err(|_| Errno::Inval)
}

fn type_of(folder: bool) -> u8 {
    if folder { TYPE_FOLDER } else { TYPE_FILE }
}

/// Copies `bytes` from `at` on into the guest's buffers and returns how many there were.
fn scatter(bytes: &[u8], at: u64, memory: &mut [u8], buffers: &[Buffer]) -> Result<u32, Errno> {
    let start = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    let mut rest = &bytes[start..];
    let mut read = 0;
    for buffer in buffers {
        let len = (buffer.len as usize).min(rest.len());
        let (taken, left) = rest.split_at(len);
        slice_mut(memory, buffer.ptr, buffer.len)?[..len].copy_from_slice(taken);
        rest = left;
        read += len as u32;
    }
    Ok(read)
}
