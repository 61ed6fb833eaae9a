//! The folder everything of one test lives in, and the log of everything said there: deleted when
//! the test goes well, kept and shown when it does not. `QUORATE_KEEP` set to anything keeps it always.

use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// The variable that keeps the folder.
const KEEP: &str = "QUORATE_KEEP";
/// Lines of each log shown when a test fails; the whole logs are kept.
const LINES_SHOWN: usize = 60;

/// A temporary folder.
pub(crate) struct Site(Option<TempDir>);

impl Site {
    pub(crate) fn new() -> Self {
        Self(Some(tempfile::tempdir().unwrap()))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.as_ref().unwrap().path()
    }

    /// A folder of its own for somebody.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let keep = std::thread::panicking() || std::env::var_os(KEEP).is_some();
        let Some(folder) = self.0.take().filter(|_| keep) else { return };
        let path = folder.keep();
        eprintln!("everything is kept in {}", path.display());
        if !std::thread::panicking() {
            return;
        }
        for log in logs(&path) {
            let text = fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let from = lines.len().saturating_sub(LINES_SHOWN);
            eprintln!("==> {} (last of {} lines)", log.display(), lines.len());
            eprintln!("{}\n", lines[from..].join("\n"));
        }
    }
}

fn logs(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut logs: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    logs.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.sort();
    logs
}
