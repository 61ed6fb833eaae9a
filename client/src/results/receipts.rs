//! One receipt per task that is over, as soon as its batch is sealed, and the batches they lead to.
//! Receipts are kept as they come; whether they hold is `verify`'s to say.

use super::{Folder, Want};
use crate::{
    api::{self, Api},
    directory::{self, AnchorBatch, AnchorFile, BatchState},
    output::Output,
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use quorate_common::{
    B256,
    api::{TaskPhase, TaskView},
    backoff::Backoff,
    exit::{Code, Failure},
    messages::{Header, Message as _},
};
use quorate_grid::evidence::{RECEIPT_BYTES_MAX, Receipt};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};

/// Receipts asked for at once: cutting one costs the scheduler a walk through its batch.
const RECEIPTS_AT_ONCE: usize = 4;
/// The first delay while a batch is not sealed, at most, in milliseconds.
const WAIT_FIRST_MS: u64 = 200;
/// The longest delay, in milliseconds: batches are sealed every few seconds to minutes.
const WAIT_CAP_MS: u64 = 2_000;

/// Fetches every missing receipt and writes the anchors. Returns how many receipts there are.
pub(super) async fn write(
    api: &Api,
    folder: &Folder,
    want: &Want,
    tasks: &[TaskView],
    output: Output,
) -> Result<u32, Failure> {
    let told = AtomicBool::new(false);
    let waiting = || {
        if !told.swap(true, Ordering::Relaxed) {
            output.note("waiting for the scheduler to seal the last batch (receipts)");
        }
    };
    let over =
        tasks.iter().filter(|task| !matches!(task.phase, TaskPhase::Queued | TaskPhase::Open));
    let fetches = over.map(|task| one(api, folder, want.order, task.idx, &waiting));
    let found: Vec<Header> =
        stream::iter(fetches).buffer_unordered(RECEIPTS_AT_ONCE).try_collect().await?;
    let batches: BTreeMap<u64, B256> =
        found.iter().map(|header| (header.index, header.struct_hash())).collect();
    write_anchor(api, folder, want, &batches).await?;
    Ok(u32::try_from(found.len()).expect("at most 65,536 tasks"))
}

async fn one(
    api: &Api,
    folder: &Folder,
    order: B256,
    idx: u32,
    waiting: &impl Fn(),
) -> Result<Header, Failure> {
    let name = directory::receipt(idx);
    let known = folder.get(&name, RECEIPT_BYTES_MAX as u64)?;
    if let Some(found) = known.and_then(|bytes| read(&bytes, order, idx).ok()) {
        return Ok(found);
    }
    let mut backoff = Backoff::new(WAIT_FIRST_MS, WAIT_CAP_MS);
    let bytes = loop {
        match api.receipt(order, idx).await? {
            Some(bytes) => break bytes,
            None => {
                waiting();
                api::pause(&mut backoff).await;
            }
        }
    };
    let found = read(&bytes, order, idx)
        .map_err(|what| Failure::new(Code::Failed, format!("receipt of task {idx}: {what}")))?;
    folder.put(&name, &bytes)?;
    Ok(found)
}

/// The receipt must at least be of this task; the rest is `verify`'s.
fn read(bytes: &[u8], order: B256, idx: u32) -> Result<Header, String> {
    let receipt = Receipt::parse_canonical(bytes).map_err(|error| error.to_string())?;
    let (hash, first) = (receipt.deal.terms.req_hash, receipt.deal.terms.filled_before);
    let task = first.saturating_add(receipt.rec.task_idx);
    if (hash, task) != (order, idx) {
        return Err(format!("it is of task {task} of order {hash}"));
    }
    Ok(receipt.header)
}

/// Writes the batches with what the scheduler says of them, if it says the same.
async fn write_anchor(
    api: &Api,
    folder: &Folder,
    want: &Want,
    found: &BTreeMap<u64, B256>,
) -> Result<(), Failure> {
    let known = api.batches().await?;
    let known: BTreeMap<u64, (B256, BatchState)> =
        known.batches.iter().map(|b| (b.index, (b.hash, BatchState::of(&b.state)))).collect();
    let batch = |(index, hash): (&u64, &B256)| match known.get(index) {
        Some((other, _)) if other != hash => {
            let text = format!(
                "receipts are of batch {index} with hash {hash}; the scheduler says {other}"
            );
            Err(Failure::new(Code::Failed, text))
        }
        Some((_, state)) => Ok(AnchorBatch { index: *index, hash: *hash, state: *state }),
        None => Ok(AnchorBatch { index: *index, hash: *hash, state: BatchState::Closed }),
    };
    let batches = found.iter().map(batch).collect::<Result<_, _>>()?;
    let schema = AnchorFile::SCHEMA.into();
    let anchor = AnchorFile { schema, domain: want.domain, batches };
    folder.put(directory::ANCHOR, &directory::encode(&anchor))
}
