//! Arguments, environment, clocks, randomness; and what is refused: signals and sockets.

use super::clock::STEP_NS;
use super::errno::Errno;
use super::guest::slice_mut;
use super::{Call, Done};

/// Bytes of one `random_get`. A guest that needs more asks again; no C library asks for more
/// than 256 at once. More is `EINVAL`.
pub(super) const RANDOM_BYTES_MAX: u32 = 1 << 20;

/// Fuel for every random byte: sha256 takes a few nanoseconds for each.
pub(super) const RANDOM_BYTE_FUEL: u64 = 8;

/// The clocks of preview 1: real time, monotonic, process time, thread time.
const CLOCK_REALTIME: u32 = 0;
const CLOCKS: u32 = 4;

impl Call<'_> {
    pub(super) fn args_get(&mut self, pointers: u32, bytes: u32) -> Done {
        let args = std::mem::take(&mut self.host.args);
        let done = self.write_strings(&args, pointers, bytes);
        self.host.args = args;
        done
    }

    pub(super) fn args_sizes_get(&mut self, count: u32, len: u32) -> Done {
        let sizes = sizes(&self.host.args)?;
        self.write_sizes(sizes, count, len)
    }

    pub(super) fn environ_get(&mut self, pointers: u32, bytes: u32) -> Done {
        let env = std::mem::take(&mut self.host.env);
        let done = self.write_strings(&env, pointers, bytes);
        self.host.env = env;
        done
    }

    pub(super) fn environ_sizes_get(&mut self, count: u32, len: u32) -> Done {
        let sizes = sizes(&self.host.env)?;
        self.write_sizes(sizes, count, len)
    }

    fn write_sizes(&mut self, (strings, bytes): (u32, u32), count: u32, len: u32) -> Done {
        self.write_u32(count, strings)?;
        Ok(self.write_u32(len, bytes)?)
    }

    /// Writes each string with a NUL behind it, and a pointer to each.
    fn write_strings(&mut self, strings: &[String], mut pointers: u32, mut bytes: u32) -> Done {
        let (count, len) = sizes(strings)?;
        self.burn_bytes(u64::from(count) * 4 + u64::from(len))?;
        for string in strings {
            self.write_u32(pointers, bytes)?;
            self.write(bytes, string.as_bytes())?;
            let end = bytes.checked_add(string.len() as u32).ok_or(Errno::Fault)?;
            self.write(end, &[0])?;
            bytes = end.checked_add(1).ok_or(Errno::Fault)?;
            pointers = pointers.checked_add(4).ok_or(Errno::Fault)?;
        }
        Ok(())
    }

    pub(super) fn clock_res_get(&mut self, id: u32, out: u32) -> Done {
        if id >= CLOCKS {
            return Err(Errno::Inval.into());
        }
        Ok(self.write_u64(out, STEP_NS)?)
    }

    pub(super) fn clock_time_get(&mut self, id: u32, _precision: u64, out: u32) -> Done {
        let now = match id {
            CLOCK_REALTIME => self.host.clock.wall_ns(),
            id if id < CLOCKS => self.host.clock.monotonic_ns(),
            _ => return Err(Errno::Inval.into()),
        };
        Ok(self.write_u64(out, now)?)
    }

    pub(super) fn random_get(&mut self, buffer: u32, len: u32) -> Done {
        if len > RANDOM_BYTES_MAX {
            return Err(Errno::Inval.into());
        }
        self.burn(u64::from(len) * RANDOM_BYTE_FUEL)?;
        let buffer = slice_mut(self.memory, buffer, len)?;
        self.host.random.fill(buffer);
        Ok(())
    }

    pub(super) fn sched_yield(&mut self) -> Done {
        Ok(())
    }

    pub(super) fn proc_raise(&mut self, _signal: u32) -> Done {
        Err(Errno::Notsup.into())
    }

    pub(super) fn sock_accept(&mut self, fd: u32, _flags: u32, _out: u32) -> Done {
        self.no_socket(fd)
    }

    pub(super) fn sock_recv(
        &mut self,
        fd: u32,
        _buffers: u32,
        _count: u32,
        _flags: u32,
        _out: u32,
        _out_flags: u32,
    ) -> Done {
        self.no_socket(fd)
    }

    pub(super) fn sock_send(
        &mut self,
        fd: u32,
        _buffers: u32,
        _count: u32,
        _flags: u32,
        _out: u32,
    ) -> Done {
        self.no_socket(fd)
    }

    pub(super) fn sock_shutdown(&mut self, fd: u32, _how: u32) -> Done {
        self.no_socket(fd)
    }

    /// `EBADF` if there is no such descriptor, `ENOTSUP` otherwise: none is a socket.
    fn no_socket(&mut self, fd: u32) -> Done {
        self.host.fds.get(fd)?;
        Err(Errno::Notsup.into())
    }
}

/// How many strings there are and how many bytes they take with their NULs.
fn sizes(strings: &[String]) -> Result<(u32, u32), Errno> {
    let bytes: usize = strings.iter().map(|string| string.len() + 1).sum();
    let count = u32::try_from(strings.len()).map_err(|_| Errno::Overflow)?;
    Ok((count, u32::try_from(bytes).map_err(|_| Errno::Overflow)?))
}
