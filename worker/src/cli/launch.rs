//! Before a worker runs: which version is to. The installed program stays the launcher of every version
//! that came later, so that there is always one that nobody has replaced.

use super::{Global, config::Config, failure, update};
use crate::start;
use quorate_common::{
    exit::{Code, Failure},
    report::Chain,
};
use quorate_update::{Ended, Folder, Launcher, line::LAUNCHED};
use std::{
    env,
    fs::{File, TryLockError},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{self, Command},
};

/// Returns if this program itself is to run; otherwise it ends with the one it started.
pub(crate) fn begin(global: &Global) -> Result<(), Failure> {
    let config = Config::load(global, &[])?;
    let dir = config.path(update::FOLDER);
    if env::var_os(LAUNCHED).is_some() || !Folder::is_in_use(&dir) || update::is_packaged() {
        return Ok(());
    }
    let launcher = Launcher {
        folder: Folder::open(&dir).map_err(|error| failure::update(&error))?,
        own: update::own_version(),
        patience: config.update()?.patience,
    };
    let lock = alone(&config.data_dir, &dir)?;
    let Some(start) = launcher.plan().map_err(|error| failure::update(&error))? else {
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Code::Internal, Chain(&error)))?;
    let ended = runtime.block_on(launcher.run(start, env::args_os().skip(1)));
    drop(lock);
    match ended.map_err(|error| failure::update(&error))? {
        Ended::Exit(code) => process::exit(code.into()),
        Ended::Again => Err(again()),
    }
}

/// Begins anew in the same process, so that a service manager sees none end, and with nothing of what ran
/// before in its memory. Returns only if it cannot.
pub(crate) fn again() -> Failure {
    let error = match env::current_exe() {
        Ok(program) => Command::new(program).args(env::args_os().skip(1)).exec(),
        Err(error) => error,
    };
    Failure::new(Code::Internal, format!("quorate-worker cannot be started again: {error}"))
        .hint("start it: it goes on where it was")
}

/// One launcher, one folder: a second one would take the first one's trial for its own.
fn alone(data_dir: &Path, dir: &Path) -> Result<File, Failure> {
    let path = dir.join("launcher.lock");
    let open = File::options().create(true).truncate(false).write(true).open(&path);
    let file = open.map_err(|error| failure::file(&path, &error))?;
    let is_free = match file.try_lock() {
        Ok(()) => !start::is_running(data_dir),
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(error)) => return Err(failure::file(&path, &error)),
    };
    if is_free {
        return Ok(file);
    }
    Err(failure::start(&crate::StartError::Running(data_dir.into())))
}
