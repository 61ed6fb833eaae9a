//! The anti-rollback fence: a scheduler whose disk was set back to an old copy would sign a second
//! history, and pay its bond for it. The chain shows batches that this journal never closed; workers
//! show acknowledgements that it never gave. Both are this pool's own signatures, so neither can be made
//! up; on the first one the program ends before it signs anything more.
//!
//! What nobody shows is not seen: what was signed since the copy and is held by nobody who comes back.

use crate::{failure, sealed::Batches, shared::Shared};
use alloy_primitives::B256;
use quorate_chain::settlement::Settlement;
use quorate_common::{
    exit::{Code, Failure},
    messages::Message as _,
    report::Chain as Report,
    word::Word,
};
use quorate_grid::Grid;
use std::sync::atomic::Ordering;

/// What to do about it, whatever showed it.
const HINT: &str = "put back the newest copy of the data folder and start again. If that is lost for good, \
     this pool is over: leave this folder stopped, since each further signature can cost the bond, and run \
     quorate-scheduler init in an empty folder for a new pool with a new bond. Workers and requesters are \
     then paid from the old pool's bond, and what is left of it comes back to the operator";

/// Compares what the contract has of this pool with what the journal has.
///
/// # Errors
/// The journal is behind, or of another history; or the chain cannot be read.
pub async fn check_chain(
    grid: &Grid,
    settlement: &Settlement,
    batches: &Batches,
    head: u64,
) -> Result<(), Failure> {
    let pool = grid.genesis().pool;
    let closed = grid.ledger().open_index() - 1;
    if head > closed {
        return Err(behind(format!(
            "the chain has batch {head} of {pool}, signed with this folder's key; this journal ends at batch \
             {closed}"
        )));
    }
    let Some(closed) = grid.ledger().closed.get(&head) else { return Ok(()) };
    let noted = batches.opening(head);
    let there = match noted.map_err(|error| Failure::new(Code::Internal, Report(&error)))? {
        Some(noted) => Some(noted),
        None => settlement.opening(pool, head).await.map_err(failure::chain)?,
    };
    let ours = closed.header.struct_hash();
    match there.map(|opening| opening.header_hash) {
        Some(there) if there != ours => Err(other_batch(head, ours, there)),
        _ => Ok(()),
    }
}

/// Ends the program if a worker shows an acknowledgement that this journal does not have. Anything that
/// is not signed by this pool's signer is ignored: nobody can stop a scheduler with words of his own.
pub fn check_word(shared: &Shared, word: &Word) {
    let Some((pool, seq)) = word.acknowledged() else { return };
    if pool != shared.pool || seq <= shared.acknowledged.load(Ordering::Acquire) {
        return;
    }
    if word.signer(&shared.separator) != Some(shared.signer.address()) {
        tracing::debug!(seq, "an acknowledgement that this pool did not sign");
        return;
    }
    let ours = shared.acknowledged.load(Ordering::Acquire);
    stop(&behind(format!(
        "a worker shows acknowledgement {seq} of {pool}, signed with this folder's key; this journal ends at \
         acknowledgement {ours}"
    )));
}

/// Ends the program if the chain has another batch at a place than this journal, or one it never signed.
pub fn check_batch(index: u64, ours: Option<B256>, there: B256) {
    match ours {
        Some(ours) if ours == there => {}
        Some(ours) => stop(&other_batch(index, ours, there)),
        None => stop(&behind(format!(
            "the chain has batch {index} as {there}, signed with this folder's key; this folder has no such batch"
        ))),
    }
}

fn other_batch(index: u64, ours: B256, there: B256) -> Failure {
    behind(format!("the chain has {there} at batch {index}, this journal has {ours}"))
}

fn behind(found: String) -> Failure {
    let message = format!("an old disk was restored: {found}; nothing more is signed");
    Failure::new(Code::Conflict, message).hint(HINT)
}

/// At once, and without a word to anybody who waits for a signature.
fn stop(failure: &Failure) -> ! {
    tracing::error!("{}", failure.message);
    eprintln!("error: {failure}");
    std::process::exit(failure.exit.into())
}
