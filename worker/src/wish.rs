//! What the owner asked for last, on disk: a pause until 19:00 is one after a restart too.

use quorate_policy::{Asked, Wish};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// The file's name, in the worker's folder.
const FILE: &str = "wish.json";

/// Where it lies.
#[derive(Clone, Debug)]
pub(crate) struct WishFile(PathBuf);

impl WishFile {
    pub(crate) fn within(data_dir: &Path) -> Self {
        Self(data_dir.join(FILE))
    }

    /// What was asked for; nothing, if nobody ever did. What cannot be read is taken for a pause: whoever paused
    /// wants the machine.
    pub(crate) fn read(&self) -> Wish {
        let found = match fs::read(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Wish::default(),
            found => found.and_then(|bytes| Ok(serde_json::from_slice(&bytes)?)),
        };
        found.unwrap_or_else(|error| {
            tracing::warn!(%error, path = %self.0.display(), "taken for a pause: it cannot be read");
            Wish { asked: Asked::Pause, until_unix_ms: None }
        })
    }

    /// Replaces it as a whole, for good.
    ///
    /// # Errors
    /// The disk failed; what was asked for before stays.
    pub(crate) fn write(&self, wish: Wish) -> io::Result<()> {
        let temporary = self.0.with_extension("json.tmp");
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(&wish)?)?;
        file.sync_all()?;
        fs::rename(temporary, &self.0)?;
        File::open(self.0.parent().unwrap_or(Path::new(".")))?.sync_all()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_and_a_spoiled_one_is_a_pause() {
        let dir = tempfile::tempdir().unwrap();
        let file = WishFile::within(dir.path());
        assert_eq!(file.read(), Wish::default());
        let wish = Wish { asked: Asked::Pause, until_unix_ms: Some(7) };
        file.write(wish).unwrap();
        assert_eq!(file.read(), wish);
        fs::write(dir.path().join(FILE), "{").unwrap();
        assert_eq!(file.read().asked, Asked::Pause);
    }
}
