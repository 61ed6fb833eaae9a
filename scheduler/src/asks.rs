//! Answers to those who ask on chain to be shown a task (F7): whoever does not answer within a day is
//! taken for one who has something to hide. Reads the Court's events; decides nothing.

use crate::actors::settler::Parts;
use quorate_chain::{
    court::{Court, CourtEvent, Filing, Leaf, SignedSet},
    error::SettleError,
    outbox::Call,
    transport::{BlockRef, Chain},
};
use quorate_common::{
    merkle::{TASKS_DEPTH, Tree},
    messages::CommitSet,
    report::Chain as Report,
};
use quorate_grid::audit::SealedSets;
use std::time::Duration;

/// Pause between two looks at the Court: two questions to the node, and nothing against a day.
const PAUSE: Duration = Duration::from_secs(10);
/// Blocks read at once, as the follower does.
const SPAN_BLOCKS: u64 = 2_000;
/// How far back a scheduler looks when it starts: an ask stands for 24 hours; two more for clocks.
const LOOK_BACK_S: u64 = 26 * 3_600;

/// Answers every ask, for ever.
pub(crate) async fn answer(parts: Parts) {
    let mut next = None;
    let mut court = None;
    loop {
        match answer_new(&parts, &mut court, &mut next).await {
            Ok(()) => {}
            Err(error) => tracing::warn!(error = %Report(&error), "the court is not read"),
        }
        tokio::time::sleep(PAUSE.max(parts.shared.config.poll)).await;
    }
}

/// Answers what was asked since the last look. A block is passed when its asks are answered.
async fn answer_new(
    parts: &Parts,
    court: &mut Option<Court>,
    next: &mut Option<u64>,
) -> Result<(), SettleError> {
    let court = match court {
        Some(court) => court,
        None => court.insert(Court::connect(&parts.settlement).await?),
    };
    let chain = parts.settlement.chain();
    let head = chain.head().await?;
    let from = match *next {
        Some(from) => from,
        None => block_at(chain, head.timestamp.saturating_sub(LOOK_BACK_S), head.number).await?,
    };
    let mut from = *next.insert(from);
    while from <= head.number {
        let to = head.number.min(from + SPAN_BLOCKS - 1);
        for log in court.events(from, to).await? {
            if let CourtEvent::Asked { pool, index, place, .. } = log.event
                && pool == parts.shared.pool
            {
                answer_one(parts, court, index, place).await?;
            }
        }
        from = *next.insert(to + 1);
    }
    Ok(())
}

/// The first block at or after this time, between the first and the newest.
async fn block_at(chain: &Chain, unix_s: u64, newest: u64) -> Result<u64, SettleError> {
    let (mut low, mut high) = (0, newest);
    while low < high {
        let middle = low + (high - low) / 2;
        let block = chain.block(BlockRef::Number(middle)).await?;
        match block {
            Some(block) if block.timestamp >= unix_s => high = middle,
            _ => low = middle + 1,
        }
    }
    Ok(low)
}

async fn answer_one(
    parts: &Parts,
    court: &Court,
    index: u32,
    place: u32,
) -> Result<(), SettleError> {
    let open = court.ask_of(parts.shared.pool, index, place).await?;
    if open.is_none_or(|ask| ask.answered) {
        return Ok(());
    }
    let own = parts.clone();
    let shared = court.clone();
    let call = tokio::task::spawn_blocking(move || call(&own, &shared, index, place)).await;
    let Ok(Some(call)) = call else {
        tracing::error!(index, place, "asked on chain for a task that is not on this disk");
        return Ok(());
    };
    let (_, receipt) = parts.outbox.mine(call).await?;
    parts.count("show", Ok(receipt.gas_used));
    tracing::info!(index, place, "showed a task on chain");
    Ok(())
}

/// The transaction that shows a task; nothing if the batch is not here.
fn call(parts: &Parts, court: &Court, index: u32, place: u32) -> Option<Call> {
    let sealed = parts.batches.read(index.into()).ok()??;
    let opening = parts.batches.opening(index.into()).ok()??;
    #[cfg(feature = "byzantine")]
    if crate::byzantine::is_silent(index.into()) {
        return None;
    }
    let file = parts.batches.evidence(&sealed.header).ok()?;
    let task = file.tasks.get(place as usize)?;
    let leaves = file.tasks.iter().map(|task| task.rec.leaf()).collect();
    let path = Tree::new(TASKS_DEPTH, leaves).path(place.into());
    let (pool, task_id) = (file.pool, task.rec.deal_id.task_id(task.rec.task_idx));
    let signed = SealedSets::new(&file, &sealed.seal).of(place);
    let signed: Vec<SignedSet> = (0..)
        .zip(signed)
        .map(|(attempt, one)| {
            let (root, n, reveal_deadline) = (one.set.root, one.set.n, one.set.reveal_deadline);
            let set = CommitSet { pool, task_id, attempt, root, n, reveal_deadline };
            SignedSet { set, proof: one.proof }
        })
        .collect();
    let roots: Vec<_> = task.sets.iter().map(|set| set.root).collect();
    let filing = Filing { header: &sealed.header, opening: &opening };
    let leaf = Leaf { place, rec: &task.rec, path: &path };
    Some(court.answer(&filing, &leaf, &roots, &task.votes, &signed))
}
