//! A room of its own for a test that mounts: what it mounts nobody else sees, and it goes with the test.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// Set within the room.
const INSIDE: &str = "QUORATE_TEST_APART";

/// Runs the test `name` of this program again, apart; false within.
///
/// # Panics
/// If it failed there.
pub(crate) fn apart(name: &str) -> bool {
    if env::var_os(INSIDE).is_some() {
        return false;
    }
    let mut command = Command::new("unshare");
    if !is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--mount", "--propagation", "private"]).arg(env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(INSIDE, "1");
    let status = command.status().expect("unshare is part of every Linux (util-linux)");
    assert!(status.success(), "it failed, apart: {status}");
    true
}

/// Something that is mounted, until it is dropped.
#[derive(Debug)]
pub(crate) struct Mount(PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        // Whoever still has a file open there keeps that file, and nothing else.
        Command::new("umount").arg("--lazy").arg(&self.0).status().ok();
    }
}

/// Mounts a disk of so many MiB.
pub(crate) fn disk(dir: &Path, mib: u64) -> Mount {
    let size = format!("size={mib}m,mode=0700");
    mount(&["-t", "tmpfs", "-o", &size, "tmpfs"], dir)
}

/// Shows `dir` in the place of `over`.
pub(crate) fn show(dir: &Path, over: &Path) -> Mount {
    mount(&["--bind", dir.to_str().unwrap()], over)
}

fn mount(args: &[&str], dir: &Path) -> Mount {
    let status = Command::new("mount").args(args).arg(dir).status().unwrap();
    assert!(status.success(), "mount {args:?} {}: {status}", dir.display());
    Mount(dir.to_owned())
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
