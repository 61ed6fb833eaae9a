//! The watcher's own copy of evidence and signatures: `DATA/pool-N/000000000007.evidence` and `.seal`. A
//! pool may stop serving at any time, and a proof takes what was served before.

use super::files;
use quorate_common::{
    digest::Digest,
    exit::{Code, Failure},
    ids::PoolId,
    messages::Header,
};
use quorate_grid::evidence::BatchFile;
use quorate_scheduler::http::batches::SealedBatch;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// How long evidence of a final batch is kept, in windows after its commit: its own window, in which it
/// can be challenged, and one more for those who still want a receipt of it.
const KEEP_WINDOWS: u64 = 2;

/// One pool's folder.
#[derive(Clone, Debug)]
pub(super) struct Mirror {
    dir: PathBuf,
}

impl Mirror {
    /// The folder, made if absent.
    pub(super) fn open(data: &Path, pool: PoolId) -> Result<Self, Failure> {
        let dir = data.join(format!("pool-{}", pool.0));
        files::folder(&dir)?;
        Ok(Self { dir })
    }

    /// A file in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Where a batch's evidence is, or goes.
    pub(super) fn evidence_path(&self, index: u64) -> PathBuf {
        self.path(&format!("{index:012}.evidence"))
    }

    /// Where steps of a batch's tasks go that were given up although their votes decide.
    pub(super) fn steps_path(&self, index: u64) -> PathBuf {
        self.path(&format!("{index:012}.steps"))
    }

    /// Where what was shown of a batch on chain goes.
    pub(super) fn shown_path(&self, index: u64) -> PathBuf {
        self.path(&format!("{index:012}.shown"))
    }

    /// A batch's evidence; nothing if it is not here or is not the header's. Why it cannot be read, if it
    /// is what the header names and still no evidence.
    pub(super) fn evidence(
        &self,
        header: &Header,
    ) -> Result<Option<Result<BatchFile, String>>, Failure> {
        let path = self.evidence_path(header.index);
        let Some(bytes) = files::get(&path)? else { return Ok(None) };
        if Digest::of(&bytes).word() != header.evidence {
            // Of a batch that was dropped since, or a damaged disk.
            fs::remove_file(&path).map_err(|e| crate::failure::file("removed", &path, &e))?;
            return Ok(None);
        }
        Ok(Some(BatchFile::parse(&bytes).map_err(|error| error.to_string())))
    }

    /// The signatures of a batch, checked before they were kept.
    pub(super) fn seal(&self, header: &Header) -> Result<Option<SealedBatch>, Failure> {
        let Some(bytes) = files::get(&self.seal_path(header.index))? else { return Ok(None) };
        let seal: Option<SealedBatch> = serde_json::from_slice(&bytes).ok();
        Ok(seal.filter(|seal| seal.header == *header))
    }

    /// Keeps the signatures of a batch.
    pub(super) fn keep_seal(&self, seal: &SealedBatch) -> Result<(), Failure> {
        let text = serde_json::to_vec(seal)
            .map_err(|error| Failure::new(Code::Internal, format!("a seal as JSON: {error}")))?;
        files::put(&self.seal_path(seal.header.index), &text)
    }

    /// Drops what is final and older than [`KEEP_WINDOWS`]. `final_before`: the first batch that is needed
    /// in any case.
    pub(super) fn prune(&self, final_before: u64, window_s: u64) -> Result<(), Failure> {
        let listed = fs::read_dir(&self.dir)
            .map_err(|error| crate::failure::file("list", &self.dir, &error))?;
        for entry in listed.flatten() {
            let path = entry.path();
            if is_of_batch_before(&path, final_before) && is_older(&path, KEEP_WINDOWS * window_s) {
                // It goes with the next look, if not with this one.
                drop(fs::remove_file(&path));
            }
        }
        Ok(())
    }

    fn seal_path(&self, index: u64) -> PathBuf {
        self.path(&format!("{index:012}.seal"))
    }
}

fn is_of_batch_before(path: &Path, index: u64) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    stem.and_then(|stem| stem.parse::<u64>().ok()).is_some_and(|found| found < index)
}

/// By the file's own age: it was written when the batch was new.
fn is_older(path: &Path, seconds: u64) -> bool {
    let written = fs::metadata(path).and_then(|meta| meta.modified());
    let age = written.ok().and_then(|written| written.elapsed().ok());
    age.is_some_and(|age| age.as_secs() > seconds)
}
