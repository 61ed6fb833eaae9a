//! The file `standing` beside the store: whether sled's files can be trusted at the next start.
//!
//! | it says            | next start                                                          |
//! |--------------------|---------------------------------------------------------------------|
//! | `closed SEQ`       | trust if sled still has that record: on files that changed it goes  |
//! |                    | back to some earlier state, half a batch included, and says nothing |
//! | `open BOOT`        | trust if the machine has not restarted since: a killed process      |
//! |                    | leaves its writes with the system, a power cut takes them           |
//! | `opening`          | the process died reading them: fill anew                            |
//! | `suspect WHY`      | sled panicked or failed: fill anew                                  |
//!
//! Release builds abort on a panic, so that a bad page would end every start at the same place. The
//! panic hook runs before the abort and leaves the mark. Knows nothing of sled but its name.

use std::cell::RefCell;
use std::fs;
use std::panic::{self, PanicHookInfo};
use std::path::Path;
use std::sync::{Arc, Once};

use super::error::{StoreError, io_error};
use crate::journal::disk::sync_dir;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    Opening,
    /// Open, or left open by a process of this boot of the machine.
    Open {
        boot: String,
    },
    /// Closed in order, with everything up to a record in it.
    Closed {
        applied_seq: u64,
    },
    Suspect(String),
}

/// The file.
#[derive(Debug, Clone)]
pub(super) struct StandingFile {
    path: Arc<Path>,
}

impl StandingFile {
    pub(super) fn new(dir: &Path) -> Self {
        Self { path: dir.join("standing").into() }
    }

    /// What it says, if it is there and says something known.
    pub(super) fn read(&self) -> Option<Standing> {
        let text = fs::read_to_string(&self.path).ok()?;
        let (word, rest) = text.trim_end().split_once(' ').unwrap_or((text.trim_end(), ""));
        match word {
            "opening" => Some(Standing::Opening),
            "open" => Some(Standing::Open { boot: rest.to_owned() }),
            "closed" => Some(Standing::Closed { applied_seq: rest.parse().ok()? }),
            "suspect" => Some(Standing::Suspect(rest.to_owned())),
            _ => None,
        }
    }

    /// Writes it, durably: it decides after a power cut.
    pub(super) fn write(&self, standing: &Standing) -> Result<(), StoreError> {
        let text = match standing {
            Standing::Opening => "opening\n".to_owned(),
            Standing::Open { boot } => format!("open {boot}\n"),
            Standing::Closed { applied_seq } => format!("closed {applied_seq}\n"),
            Standing::Suspect(why) => format!("suspect {}\n", why.replace('\n', " ")),
        };
        let write = || {
            let unborn = self.path.with_extension("new");
            fs::write(&unborn, text)?;
            fs::File::open(&unborn)?.sync_all()?;
            fs::rename(&unborn, &self.path)?;
            sync_dir(self.path.parent().expect("it was joined to a folder"))
        };
        write().map_err(|error| io_error("write", &self.path, error))
    }

    /// Does it still say that nothing has gone wrong?
    pub(super) fn is_open(&self) -> bool {
        matches!(self.read(), Some(Standing::Open { .. }))
    }
}

/// Tells this boot of the machine from the others. Where the system does not say, every boot looks
/// different from the last, and a store not closed is filled anew.
pub(super) fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.map_or_else(|_| format!("unknown-{}", std::process::id()), |id| id.trim().to_owned())
}

thread_local! {
    /// The store this thread is working on.
    static WATCHED: RefCell<Option<StandingFile>> = const { RefCell::new(None) };
}

/// Marks the store suspect should this thread panic before the guard is dropped.
pub(super) fn watch(standing: &StandingFile) -> Watch {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            mark_suspect(info);
            others(info);
        }));
    });
    WATCHED.set(Some(standing.clone()));
    Watch(())
}

pub(super) struct Watch(());

impl Drop for Watch {
    fn drop(&mut self) {
        WATCHED.set(None);
    }
}

fn mark_suspect(info: &PanicHookInfo<'_>) {
    // Gone when the thread is ending; then it is in no store either.
    let watched = WATCHED.try_with(|watched| watched.borrow().clone()).ok().flatten();
    if let Some(standing) = watched {
        // The process may be about to abort, so there is nobody to tell of a failure.
        let _ = standing.write(&Standing::Suspect(info.to_string()));
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::process::{Command, abort};

    use super::*;

    /// The release build aborts on a panic. So does the child process that is this test once more.
    #[test]
    fn a_panic_that_aborts_leaves_its_mark() {
        const CHILD: &str = "QUORATE_TEST_STANDING_CHILD";
        const NAME: &str = "store::standing::tests::a_panic_that_aborts_leaves_its_mark";
        if let Some(dir) = std::env::var_os(CHILD) {
            panic::set_hook(Box::new(|_| abort()));
            let _watch = watch(&StandingFile::new(Path::new(&dir)));
            panic!("a bad page");
        }
        let dir = tempfile::tempdir().unwrap();
        let standing = StandingFile::new(dir.path());
        standing.write(&Standing::Open { boot: boot_id() }).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap());
        let child = child.args(["--exact", NAME]).env(CHILD, dir.path()).output().unwrap();
        assert!(!child.status.success());
        let Some(Standing::Suspect(why)) = standing.read() else { panic!("{:?}", standing.read()) };
        assert!(why.contains("a bad page"), "{why}");
        assert!(!standing.is_open());
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = StandingFile::new(dir.path());
        assert_eq!(file.read(), None);
        for standing in [
            Standing::Opening,
            Standing::Open { boot: boot_id() },
            Standing::Closed { applied_seq: u64::MAX },
            Standing::Suspect("why so".to_owned()),
        ] {
            file.write(&standing).unwrap();
            assert_eq!(file.read(), Some(standing));
        }
        fs::write(dir.path().join("standing"), "closed\n").unwrap();
        assert_eq!(file.read(), None);
    }
}
