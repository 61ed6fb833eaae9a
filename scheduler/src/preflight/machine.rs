//! This machine: the data folder, its keys, its journal, its disk. Blocks on the disk.

use super::{Check, Finding, door};
use crate::{
    config::{ChainAt, Config},
    format,
    system::key_paths,
};
use rustix::fs::{statfs, statvfs};
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Below this nothing is started: a few journal segments and the index.
const FREE_BYTES_MIN: u64 = 1 << 30;
/// What the journal, its snapshots and the index take beside the blobs, as far as one can say: a pool of
/// 100,000 open tasks has 50 MB of state, kept twice, and prunes its journal behind that.
const JOURNAL_BYTES: u64 = 4 << 30;
/// Group commits tried: enough for a median, half a second on a disk of 8 ms.
const SYNCS: usize = 64;
/// A median above this is felt by every lone task, which waits for about four in a row.
const SYNC_SLOW: Duration = Duration::from_millis(20);
/// A median above this makes a pool of a hundred workers wait for the disk alone.
const SYNC_MAX: Duration = Duration::from_millis(200);

/// Everything there is to see without a network.
pub(super) fn all(config: &Config) -> Vec<Finding> {
    let is_served = is_served(&config.data);
    let mut findings = vec![folder(&config.data)];
    findings.extend(keys(config));
    findings.push(journal(config, is_served));
    findings.extend(door::ports(config, is_served));
    findings.push(room(config));
    findings.push(kind_of_disk(config));
    findings.push(fsync(&config.data));
    findings
}

/// Folders that this process serves: in a hardened unit it sees no list of locks.
static OURS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Notes that this process has a folder's lock, and will until it ends.
pub(crate) fn serving(data: &Path) {
    OURS.lock().unwrap_or_else(PoisonError::into_inner).push(data.to_owned());
}

/// Whether a process holds the journal's lock. Read from the system's list of locks: to try it could make a
/// scheduler that starts at this moment believe that it is the second.
pub(crate) fn is_served(data: &Path) -> bool {
    if OURS.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|ours| ours == data) {
        return true;
    }
    let Ok(lock) = fs::metadata(data.join("journal/lock")) else { return false };
    let inode = format!(":{} ", lock.ino());
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    locks.lines().any(|line| line.contains("FLOCK") && line.contains(&inode))
}

fn folder(data: &Path) -> Finding {
    let name = data.display();
    let Ok(found) = fs::metadata(data) else {
        let fix = "run quorate-scheduler init, or name the pool's folder with --data";
        return Finding::error(Check::Folder, format!("`data`: {name} is not there"), fix);
    };
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o022 != 0 {
        let found =
            format!("`data`: {name} has mode {mode:o}: others may replace keys and journal");
        return Finding::error(Check::Folder, found, format!("chmod 700 {name}"));
    }
    Finding::ok(Check::Folder, format!("{name}, mode {mode:o}"))
}

fn keys(config: &Config) -> Vec<Finding> {
    let (node, signer) = key_paths(&config.data);
    let mut files = vec![("node key", node), ("signer", signer)];
    if matches!(config.chain, ChainAt::Url(_)) {
        files.push(("gas key", config.data.join("keys/gas.key")));
    }
    files.into_iter().map(|(what, path)| key(what, &path)).collect()
}

fn key(what: &str, path: &Path) -> Finding {
    let name = path.display();
    let Ok(found) = fs::metadata(path) else {
        let fix = "run quorate-scheduler init for a new pool; restore the file from a backup for an old one, \
                   whose keys the contract knows";
        return Finding::error(Check::Keys, format!("{what} {name} is not there"), fix);
    };
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let found = format!("{what} {name} has mode {mode:o}: others may read it");
        let fix =
            format!("chmod 600 {name}; if others have been on this machine, it is theirs too");
        return Finding::error(Check::Keys, found, fix);
    }
    if File::open(path).is_err() {
        let fix = format!("run this as the user that serves the pool, or chown {name} to it");
        return Finding::error(Check::Keys, format!("{what} {name} cannot be read"), fix);
    }
    Finding::ok(Check::Keys, format!("{what} {name}, mode {mode:o}"))
}

fn journal(config: &Config, is_served: bool) -> Finding {
    match format::check(&config.data) {
        Err(failure) => {
            let fix = failure.hint.unwrap_or_else(|| "run the release that wrote it".into());
            Finding::error(Check::Journal, failure.message, fix)
        }
        Ok(None) => Finding::ok(Check::Journal, "empty: this pool has no history yet"),
        Ok(Some(found)) => {
            let held = if is_served { ", held by a running scheduler" } else { "" };
            let found = format!("format {} of release {}{held}", found.format, found.release);
            Finding::ok(Check::Journal, found)
        }
    }
}

fn room(config: &Config) -> Finding {
    let Ok(disk) = statvfs(existing(&config.data)) else {
        let found = format!("`data`: the disk of {} cannot be asked", config.data.display());
        return Finding::error(Check::Disk, found, "name a folder on a mounted disk");
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let wanted = config.total_bytes_max.saturating_add(JOURNAL_BYTES);
    let found = format!("{} free", gib(free));
    if free < FREE_BYTES_MIN {
        let found = format!("{found}; expected at least {}", gib(FREE_BYTES_MIN));
        return Finding::error(Check::Disk, found, "free some, or move the data folder (`data`)");
    }
    if free < wanted && !is_served(&config.data) {
        let (blobs, rest) = (gib(config.total_bytes_max), gib(JOURNAL_BYTES));
        let found = format!("{found}; blobs may take {blobs}, the journal some {rest}");
        let most = free.saturating_sub(JOURNAL_BYTES).max(FREE_BYTES_MIN / 2);
        let fix = format!("set blobs.total_bytes_max to {most} or less, or free some");
        return Finding::warning(Check::Disk, found, fix);
    }
    Finding::ok(Check::Disk, found)
}

/// File systems that do not keep what they are told to keep.
fn kind_of_disk(config: &Config) -> Finding {
    const TMPFS: u64 = 0x0102_1994;
    const OVERLAY: u64 = 0x794c_7630;
    const NFS: u64 = 0x6969;
    let dir = existing(&config.data);
    let kind = statfs(&dir).map_or(0, |found| found.f_type.cast_unsigned());
    let (found, fix) = match kind {
        TMPFS => ("memory: a restart of the machine loses the journal", "a folder on a disk"),
        OVERLAY => ("a container's own layer, gone with it", "a mounted volume"),
        NFS => ("a network disk: its syncs and locks are somebody else's promise", "a local disk"),
        _ => return Finding::ok(Check::Disk, "a disk that can keep what is synced"),
    };
    let (found, fix) = (format!("`data` is on {found}"), format!("set `data` to {fix}"));
    match config.chain {
        ChainAt::Url(_) if kind == TMPFS => Finding::error(Check::Disk, found, fix),
        ChainAt::Url(_) | ChainAt::Embedded => Finding::warning(Check::Disk, found, fix),
    }
}

fn fsync(data: &Path) -> Finding {
    let times = match sync_times(&existing(data)) {
        Ok(times) => times,
        Err(error) => {
            let found = format!("`data`: {} cannot be written: {error}", data.display());
            let fix = "run this as the user that serves the pool; check the disk's rights and room";
            return Finding::error(Check::Fsync, found, fix);
        }
    };
    let (median, slowest) = (times[SYNCS / 2], times[SYNCS - 1]);
    let found = format!("fdatasync takes {median:.1?}, at most {slowest:.1?} of {SYNCS}");
    let fix = "use a local SSD; on a virtual machine, a disk type with guaranteed latency";
    match median {
        slow if slow > SYNC_MAX => Finding::error(Check::Fsync, found, fix),
        slow if slow > SYNC_SLOW => Finding::warning(Check::Fsync, found, fix),
        _ => Finding::ok(Check::Fsync, found),
    }
}

/// How long each of some group commits of a sector takes, in order of length.
fn sync_times(dir: &Path) -> io::Result<Vec<Duration>> {
    let path = dir.join(format!(".preflight-{}", std::process::id()));
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    let measured = (|| {
        file.set_len(SYNCS as u64 * 512)?;
        file.sync_all()?;
        let one = |n: usize| {
            let began = Instant::now();
            file.write_all_at(&[n as u8; 512], n as u64 * 512)?;
            file.sync_data().map(|()| began.elapsed())
        };
        (0..SYNCS).map(one).collect::<io::Result<Vec<_>>>()
    })();
    fs::remove_file(&path)?;
    let mut times = measured?;
    times.sort_unstable();
    Ok(times)
}

/// The folder, or the nearest above it that is there.
fn existing(dir: &Path) -> PathBuf {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    dir.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / (1_u64 << 30) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::Level;

    #[test]
    fn what_others_may_read_or_change_is_an_error_with_its_remedy() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("signer.key");
        assert_eq!(key("signer", &path).level, Level::Error, "it is not there");
        fs::write(&path, "x").expect("written");
        let with = |mode: u32| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode");
            key("signer", &path)
        };
        assert_eq!(with(0o600).level, Level::Ok);
        let exposed = with(0o640);
        assert_eq!(exposed.level, Level::Error);
        assert!(exposed.fix.is_some_and(|fix| fix.starts_with("chmod 600 ")));
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).expect("its mode");
        assert_eq!(folder(dir.path()).level, Level::Error);
    }

    #[test]
    fn a_locked_folder_is_a_running_schedulers() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(dir.path().join("journal")).expect("made");
        assert!(!is_served(dir.path()));
        let lock = quorate_journal::disk::lock_file(&dir.path().join("journal/lock"));
        assert!(is_served(dir.path()));
        drop(lock.expect("nobody else has it"));
        assert!(!is_served(dir.path()));
        serving(dir.path());
        assert!(is_served(dir.path()), "this process says so itself");
    }

    #[test]
    fn syncs_are_measured_and_leave_nothing() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let times = sync_times(dir.path()).expect("a writable folder");
        assert_eq!(times.len(), SYNCS);
        assert!(times.is_sorted() && times[0] > Duration::ZERO);
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 0);
        assert_eq!(fsync(&dir.path().join("not/there")).check, Check::Fsync);
    }
}
