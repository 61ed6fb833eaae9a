//! Bytes moved since the month began, both ways, over every connection; on disk now and then, so that a restart
//! does not begin a new month.

use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The file's name, in the worker's folder.
const FILE: &str = "month.json";
/// Bytes between two writes: what a crash may forget. An idle line moves less in a day.
const WRITE_BYTES: u64 = 16 << 20;

/// The count.
#[derive(Debug)]
pub(super) struct Month {
    path: PathBuf,
    count: Count,
    written: u64,
    /// The connections that stand, and what was counted of each.
    lines: Vec<(usize, u64)>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Count {
    month: String,
    bytes: u64,
}

impl Month {
    pub(super) fn within(data_dir: &Path) -> Self {
        let path = data_dir.join(FILE);
        let read = || serde_json::from_slice::<Count>(&fs::read(&path).ok()?).ok();
        let count = read().unwrap_or_default();
        let written = count.bytes;
        Self { path, count, written, lines: Vec::new() }
    }

    /// Adds what was moved since the last call, over the schedulers' lines and elsewhere, and says how much the
    /// month has.
    pub(super) fn count(&mut self, month: &str, moved: Vec<(usize, u64)>, elsewhere: u64) -> u64 {
        if self.count.month != month {
            self.count = Count { month: month.to_owned(), bytes: 0 };
            self.written = 0;
        }
        for (id, bytes) in &moved {
            let known = self.lines.iter().find(|(known, _)| known == id);
            let before = known.map_or(0, |(_, bytes)| *bytes);
            self.count.bytes += bytes.saturating_sub(before);
        }
        self.lines = moved;
        self.count.bytes += elsewhere;
        if self.count.bytes - self.written >= WRITE_BYTES {
            self.write();
        }
        self.count.bytes
    }

    /// Nobody is harmed by a count that is lost: what cannot be written is only said.
    pub(super) fn write(&mut self) {
        self.written = self.count.bytes;
        let text = serde_json::to_vec(&self.count).unwrap_or_default();
        if let Err(error) = fs::write(&self.path, text) {
            tracing::warn!(%error, path = %self.path.display(), "the month's bytes are not kept");
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn connections_add_up_and_months_begin_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut month = Month::within(dir.path());
        assert_eq!(month.count("2026-11", vec![(1, 100)], 0), 100);
        assert_eq!(month.count("2026-11", vec![(1, 150)], 0), 150);
        assert_eq!(month.count("2026-11", Vec::new(), 0), 150);
        assert_eq!(month.count("2026-11", vec![(2, 30)], 0), 180);
        assert_eq!(month.count("2026-11", vec![(2, WRITE_BYTES)], 0), 150 + WRITE_BYTES);
        assert_eq!(month.count("2026-11", Vec::new(), 5), 155 + WRITE_BYTES, "from elsewhere");
        month.write();
        let mut again = Month::within(dir.path());
        assert_eq!(again.count("2026-11", Vec::new(), 0), 155 + WRITE_BYTES);
        assert_eq!(again.count("2026-12", Vec::new(), 0), 0);
    }
}
