//! One writer of a file at a time, in this program and others: the command line pairs and removes while the worker
//! runs. Readers need no lock, since files are replaced as a whole.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// Held until it is dropped. Whoever has it keeps it for a read and a write of a few kilobytes.
pub(crate) fn lock(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true).mode(0o600);
    let file = options.open(path.with_extension("lock"))?;
    file.lock()?;
    Ok(file)
}

/// Replaces a file as a whole; readable for its owner only. `is_lasting`: it is on disk when this returns.
pub(crate) fn replace(path: &Path, bytes: &[u8], is_lasting: bool) -> io::Result<()> {
    let temporary = path.with_extension("json.tmp");
    let mut options = File::options();
    let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    if is_lasting {
        file.sync_all()?;
    }
    fs::rename(&temporary, path)
}
