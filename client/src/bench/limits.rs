//! The limits a scheduler cannot beat, measured beside it: how long this disk takes to make bytes
//! durable, and how fast this processor checks a signature.

use quorate_common::{
    exit::{Code, Failure},
    keccak256,
    keys::{VoteKey, recover},
};
use serde::Serialize;
use std::{
    fs::File,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

/// Group commits tried: enough for a steady median, half a second on a slow disk.
const SYNCS: usize = 100;
/// Signatures checked.
const SIGNATURES: u32 = 2_000;
/// Bytes of one group commit.
const GROUP_BYTES: usize = 4096;

/// What was measured.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Limits {
    /// Median of appending 4 KiB and making them durable, in milliseconds, with nothing else running.
    pub fdatasync_ms: f64,
    /// Recovering the signer of one message, in microseconds of one processor.
    pub recover_us: f64,
}

/// Measures both; the file is made in `folder`, where the journal will be.
///
/// # Errors
/// The folder cannot be written.
pub(super) fn measure(folder: &Path) -> Result<Limits, Failure> {
    let path = folder.join("limit");
    let failed = |error| Failure::new(Code::Internal, format!("file {}: {error}", path.display()));
    let mut times = syncs(&path).map_err(failed)?;
    std::fs::remove_file(&path).map_err(failed)?;
    times.sort_unstable();
    Ok(Limits { fdatasync_ms: times[SYNCS / 2].as_secs_f64() * 1e3, recover_us: recover_us() })
}

fn syncs(path: &Path) -> std::io::Result<Vec<Duration>> {
    let mut file = File::create(path)?;
    let group = [0x5a; GROUP_BYTES];
    let sync = |_| {
        let began = Instant::now();
        file.write_all(&group)?;
        file.sync_data()?;
        Ok(began.elapsed())
    };
    (0..SYNCS).map(sync).collect()
}

fn recover_us() -> f64 {
    let key = VoteKey::from_bytes(&[7; 32]).expect("a valid key");
    let digest = keccak256("benchmark");
    let signature = key.sign(digest);
    let began = Instant::now();
    for _ in 0..SIGNATURES {
        assert_eq!(recover(std::hint::black_box(digest), &signature), Some(key.address()));
    }
    began.elapsed().as_secs_f64() * 1e6 / f64::from(SIGNATURES)
}
