//! Sockets in folders with long names: a socket's name has a hundred bytes at most, and by its descriptor every
//! folder's name is short.

use std::{
    fs::File,
    io,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
};

/// Does something with a short name of `path`, whose folder must be there.
///
/// # Errors
/// The folder cannot be opened, or what `act` says.
pub fn by_short_name<T>(path: &Path, act: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let folder = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let dir = File::open(folder)?;
    let short = PathBuf::from("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name);
    act(&short)
}
