//! WASI over the tree in memory: preview 1's whole import set here, what components import in
//! [`preview2`], and nothing of this machine in either.
//!
//! Every function is a method of [`Call`], which holds the guest's memory, the host's state and
//! the fuel that is left. A call burns [`CALL_FUEL`] and then for every byte it moves *before* it
//! moves it, so that host work costs what guest work costs and the count is the same everywhere.
//! Offered but refused: links (`ENOTSUP`), sockets, signals. Time and randomness are made up; see
//! [`clock`] and [`random`].

pub(crate) mod clock;
pub(crate) mod errno;
mod fd_calls;
pub(crate) mod fds;
mod guest;
mod misc_calls;
mod path_calls;
mod poll;
pub(crate) mod preview2;
pub(crate) mod random;

use wasmtime::{Caller, Extern, Linker, Memory};

use self::clock::Clock;
use self::fds::Fds;
use self::preview2::held::Handles;
use self::random::Random;
use super::meter::{Halt, Meter};
use super::tree::{Fault, Tree};

/// The only module a task may import from.
pub(crate) const MODULE: &str = "wasi_snapshot_preview1";

/// Fuel of any host call. Entering and leaving the host takes a few hundred nanoseconds, as long
/// as some hundred instructions.
const CALL_FUEL: u64 = 400;

/// Bytes of standard error that are kept, the last ones. For a person to read, never voted on.
const STDERR_BYTES_MAX: usize = 64 * 1_024;

/// What the host knows about a run.
#[derive(Debug)]
pub(crate) struct Host {
    /// The guest's memory, once a call has looked it up.
    pub(crate) memory: Option<Memory>,
    pub(crate) meter: Meter,
    pub(crate) tree: Tree,
    pub(crate) fds: Fds,
    /// What a component holds of the host.
    pub(crate) handles: Handles,
    pub(crate) args: Vec<String>,
    /// `NAME=value`.
    pub(crate) env: Vec<String>,
    pub(crate) stdin: Vec<u8>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Tail,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
}

/// The last bytes of a stream.
#[derive(Debug, Default)]
pub(crate) struct Tail(Vec<u8>);

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(&bytes[bytes.len().saturating_sub(STDERR_BYTES_MAX)..]);
        if self.0.len() > 2 * STDERR_BYTES_MAX {
            self.trim();
        }
    }

    fn trim(&mut self) {
        self.0.drain(..self.0.len().saturating_sub(STDERR_BYTES_MAX));
    }

    /// What was kept, as text; a character cut in half becomes a replacement character.
    pub(crate) fn into_text(mut self) -> String {
        self.trim();
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

/// One call from the guest.
struct Call<'a> {
    memory: &'a mut [u8],
    host: &'a mut Host,
    /// Fuel left.
    fuel: u64,
}

type Done = Result<(), Fault>;

impl Call<'_> {
    /// Pays for work that is about to be done.
    fn burn(&mut self, fuel: u64) -> Result<(), Halt> {
        let left = self.fuel.checked_sub(fuel);
        self.fuel = left.unwrap_or(0);
        left.map(drop).ok_or(Halt::Fuel)
    }
}

/// Runs one host function and turns its end into what the guest or the engine expects.
fn enter(
    caller: &mut Caller<'_, Host>,
    function: impl FnOnce(&mut Call<'_>) -> Done,
) -> wasmtime::Result<u32> {
    let fuel = caller.get_fuel()?;
    // A module without memory has no valid pointer, which is what an empty slice says.
    let known = caller.data().memory;
    let memory = known.or_else(|| caller.get_export("memory").and_then(Extern::into_memory));
    caller.data_mut().memory = memory;
    let (memory, host) = match memory {
        Some(memory) => memory.data_and_store_mut(&mut *caller),
        None => (&mut [][..], caller.data_mut()),
    };
    let mut call = Call { memory, host, fuel };
    let done = match call.burn(CALL_FUEL) {
        Ok(()) => function(&mut call),
        Err(halt) => Err(halt.into()),
    };
    let fuel = call.fuel;
    caller.set_fuel(fuel)?;
    match done {
        Ok(()) => Ok(0),
        Err(Fault::Errno(errno)) => Ok(errno as u32),
        Err(Fault::Halt(halt)) => Err(halt.into()),
    }
}

/// Defines the functions and the list of their names from one table.
macro_rules! functions {
    ($($name:ident($($arg:ident: $type:ty),*);)*) => {
        /// The names a task may import, besides `proc_exit`.
        const NAMES: &[&str] = &[$(stringify!($name)),*];

        /// Defines preview 1 in `linker`.
        ///
        /// # Errors
        /// Only if a name is defined twice.
        pub(crate) fn define(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
            $(linker.func_wrap(
                MODULE,
                stringify!($name),
                |mut caller: Caller<'_, Host>, $($arg: $type),*| {
                    enter(&mut caller, |call| call.$name($($arg),*))
                },
            )?;)*
            linker.func_wrap(MODULE, "proc_exit", |_: Caller<'_, Host>, code: i32| {
                Err::<(), _>(Halt::Exit(code).into())
            })?;
            Ok(())
        }

        /// Calls the function at `index` of [`NAMES`], with as many of `args` as it takes.
        #[cfg(test)]
        #[expect(unused_mut, unused_variables, reason = "some functions take no arguments")]
        fn call_by_index(call: &mut Call<'_>, index: usize, args: [u64; 9]) -> Done {
            let name = NAMES[index];
            $(if name == stringify!($name) {
                let mut args = args.into_iter();
                $(let $arg = args.next().map_or(0, |arg| arg as $type);)*
                return call.$name($($arg),*);
            })*
            Ok(())
        }
    };
}

functions! {
    args_get(pointers: u32, bytes: u32);
    args_sizes_get(count: u32, len: u32);
    environ_get(pointers: u32, bytes: u32);
    environ_sizes_get(count: u32, len: u32);
    clock_res_get(id: u32, out: u32);
    clock_time_get(id: u32, precision: u64, out: u32);
    random_get(buffer: u32, len: u32);
    sched_yield();
    proc_raise(signal: u32);
    poll_oneoff(subscriptions: u32, events: u32, count: u32, out: u32);
    fd_advise(fd: u32, offset: u64, len: u64, advice: u32);
    fd_allocate(fd: u32, offset: u64, len: u64);
    fd_close(fd: u32);
    fd_datasync(fd: u32);
    fd_fdstat_get(fd: u32, out: u32);
    fd_fdstat_set_flags(fd: u32, flags: u32);
    fd_fdstat_set_rights(fd: u32, base: u64, inheriting: u64);
    fd_filestat_get(fd: u32, out: u32);
    fd_filestat_set_size(fd: u32, len: u64);
    fd_filestat_set_times(fd: u32, accessed: u64, modified: u64, flags: u32);
    fd_pread(fd: u32, buffers: u32, count: u32, offset: u64, out: u32);
    fd_prestat_get(fd: u32, out: u32);
    fd_prestat_dir_name(fd: u32, path: u32, len: u32);
    fd_pwrite(fd: u32, buffers: u32, count: u32, offset: u64, out: u32);
    fd_read(fd: u32, buffers: u32, count: u32, out: u32);
    fd_readdir(fd: u32, buffer: u32, len: u32, cookie: u64, out: u32);
    fd_renumber(from: u32, to: u32);
    fd_seek(fd: u32, delta: i64, whence: u32, out: u32);
    fd_sync(fd: u32);
    fd_tell(fd: u32, out: u32);
    fd_write(fd: u32, buffers: u32, count: u32, out: u32);
    path_create_directory(fd: u32, path: u32, len: u32);
    path_filestat_get(fd: u32, flags: u32, path: u32, len: u32, out: u32);
    path_filestat_set_times(
        fd: u32, follow: u32, path: u32, len: u32, accessed: u64, modified: u64, flags: u32
    );
    path_link(fd: u32, flags: u32, path: u32, len: u32, to_fd: u32, to: u32, to_len: u32);
    path_open(
        fd: u32, follow: u32, path: u32, len: u32, how: u32, base: u64, inheriting: u64,
        flags: u32, out: u32
    );
    path_readlink(fd: u32, path: u32, len: u32, buffer: u32, buffer_len: u32, out: u32);
    path_remove_directory(fd: u32, path: u32, len: u32);
    path_rename(fd: u32, path: u32, len: u32, to_fd: u32, to: u32, to_len: u32);
    path_symlink(target: u32, target_len: u32, fd: u32, path: u32, len: u32);
    path_unlink_file(fd: u32, path: u32, len: u32);
    sock_accept(fd: u32, flags: u32, out: u32);
    sock_recv(fd: u32, buffers: u32, count: u32, flags: u32, out: u32, out_flags: u32);
    sock_send(fd: u32, buffers: u32, count: u32, flags: u32, out: u32);
    sock_shutdown(fd: u32, how: u32);
}

/// Whether preview 1 has a function of this name.
pub(crate) fn offers(name: &str) -> bool {
    name == "proc_exit" || NAMES.contains(&name)
}

#[cfg(test)]
mod tests;
