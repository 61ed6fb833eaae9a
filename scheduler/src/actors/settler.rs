//! SettlerActor: everything between the grid and the chain. Opens deals, commits and finalizes batches,
//! reads events. It awaits, so it owns no rules: what it learns goes to the grid as inputs.

use crate::{
    actors::{
        grid::{Arrived, GridActor, Query},
        journal::die,
    },
    asks, fence,
    finals::Finals,
    orders,
    sealed::Batches,
    shared::{Event, Shared},
};
use actix::{Actor, Addr, AsyncContext as _, Context, Handler, Message};
use quorate_chain::{
    error::SettleError,
    events::{ChainEvent, DealOpened, Demand, Follower, Forced},
    outbox::{Call, Outbox, Receipt},
    settlement::{PoolView, Settlement},
};
use quorate_common::{
    B256,
    anchor::{Opening, SLACK_S},
    frame::{self, FrameTree},
    ids::WorkerIdx,
    keccak256,
    keys::Signature,
    messages::{CommitSet, Header, Message as _},
    report::Chain as Report,
};
use quorate_grid::{
    Input,
    deal::{Opened, Order},
    evidence::BatchFile,
    input::{ChainInput, ForcedVote},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::{Notify, mpsc};

/// Pause before a failed call is tried again: the node's own hiccups are shorter, and a second is
/// nothing against a window of days.
const RETRY: Duration = Duration::from_secs(1);
/// Batches that may wait to be committed. The grid keeps their evidence in memory until they are, so
/// a chain that does not answer for longer stops new batches from being sealed, not from being made.
const SEALS_MAX: usize = 1024;

/// Bring an order's deal on chain.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct OpenDeal {
    /// Struct hash of the order.
    pub order: B256,
    /// The order and what came with it.
    pub signed: Box<Order>,
}

/// Sign a set again and show it on chain.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AnswerDemand(pub CommitSet);

/// Sign a batch, write its evidence, bring it on chain.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SealBatch {
    /// What is signed.
    pub header: Header,
    /// Its evidence.
    pub file: Box<BatchFile>,
}

/// What the settler works with.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Keys, clocks, settings.
    pub shared: Arc<Shared>,
    /// Where inputs go.
    pub grid: Addr<GridActor>,
    /// The contract.
    pub settlement: Settlement,
    /// The account that pays the gas.
    pub outbox: Outbox,
    /// Sealed batches.
    pub batches: Batches,
    /// The state as of the newest final batch.
    pub finals: Finals,
    /// Something of ours is final on the chain: its events can be read now.
    pub news: Arc<Notify>,
}

/// See the module.
#[derive(Debug)]
pub struct SettlerActor {
    parts: Parts,
    follower: Follower,
    seals: Option<mpsc::Sender<SealBatch>>,
}

impl SettlerActor {
    /// A settler that reads events with `follower`.
    pub fn new(parts: Parts, follower: Follower) -> Self {
        Self { parts, follower, seals: None }
    }
}

impl Actor for SettlerActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let (seals, queue) = mpsc::channel(SEALS_MAX);
        self.seals = Some(seals);
        let follow = follow(self.parts.clone(), self.follower.clone());
        let listen = listen(self.parts.clone(), self.follower.clone().at_head());
        let commit = commit(self.parts.clone(), queue);
        let finalize = finalize(self.parts.clone());
        for task in [
            Box::pin(follow) as std::pin::Pin<Box<dyn Future<Output = ()>>>,
            Box::pin(listen),
            Box::pin(asks::answer(self.parts.clone())),
            Box::pin(commit),
            Box::pin(finalize),
            Box::pin(look_again(self.parts.clone())),
        ] {
            ctx.spawn(actix::fut::wrap_future(task));
        }
    }
}

impl Handler<OpenDeal> for SettlerActor {
    type Result = ();

    fn handle(&mut self, open: OpenDeal, ctx: &mut Context<Self>) {
        ctx.spawn(actix::fut::wrap_future(open_deal(self.parts.clone(), open)));
    }
}

impl Handler<AnswerDemand> for SettlerActor {
    type Result = ();

    fn handle(&mut self, AnswerDemand(set): AnswerDemand, ctx: &mut Context<Self>) {
        ctx.spawn(actix::fut::wrap_future(answer(self.parts.clone(), set)));
    }
}

impl Handler<SealBatch> for SettlerActor {
    type Result = ();

    fn handle(&mut self, seal: SealBatch, _: &mut Context<Self>) {
        let index = seal.header.index;
        let full = self.seals.as_ref().is_none_or(|seals| seals.try_send(seal).is_err());
        if full {
            tracing::error!(index, "too many batches wait for the chain; a restart takes them up");
        }
    }
}

impl Parts {
    fn tell(&self, input: Input) {
        self.grid.do_send(Arrived(input));
    }

    pub(crate) fn count(&self, kind: &str, gas: Result<u64, ()>) {
        let metrics = &self.shared.metrics;
        let outcome = if gas.is_ok() { "ok" } else { "failed" };
        metrics.transactions.with_label_values(&[kind, outcome]).inc();
        metrics.gas.with_label_values(&[kind]).inc_by(gas.unwrap_or(0));
    }
}

/// Opens one deal. The contract's event, not this call, tells the grid: so a crash in between loses
/// nothing, and a deal that somebody else opened is welcome too.
async fn open_deal(parts: Parts, open: OpenDeal) {
    let OpenDeal { order, signed } = open;
    let mut tasks = signed.req.tasks;
    if let Err(failure) = orders::not_ours_to_pay(&parts.shared, &signed, parts.outbox.account()) {
        return refuse(&parts, order, failure.message);
    }
    loop {
        // After a restart it may be open already: the contract refuses it then, at no cost.
        let matched = orders::matched(&parts.shared, &signed.req, &signed.signature, &signed.sides);
        let call = parts.settlement.open_deal(&matched, tasks);
        match send_and_tell(&parts, deal_key(order, tasks), call).await {
            Ok(receipt) => return parts.count("open_deal", Ok(receipt.gas_used)),
            Err(error @ SettleError::Reverted { .. }) => {
                parts.count("open_deal", Err(()));
                match orders::left(&parts.settlement, &signed.req).await {
                    Some(0) => return,
                    // Somebody else matched a part of it meanwhile: the rest is another deal.
                    Some(left) if left < tasks => tasks = left,
                    _ => {
                        let reason = format!("the contract refused: {}", Report(&error));
                        return refuse(&parts, order, reason);
                    }
                }
            }
            Err(error) => {
                parts.count("open_deal", Err(()));
                tracing::warn!(error = %Report(&error), "deal not opened yet");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

fn refuse(parts: &Parts, order: B256, reason: String) {
    parts.tell(Input::OpenFailed { order, reason });
    // Whoever watches the order looks again. Nobody watching is no error.
    drop(parts.shared.events.send(Event::Order));
}

/// The whole of an order is one transaction, and its rest after somebody else's deal is another.
fn deal_key(order: B256, tasks: u32) -> B256 {
    keccak256([order.as_slice(), &tasks.to_be_bytes()].concat())
}

/// Sends a transaction whose events somebody waits for: they are read as soon as it is mined. After a
/// crash, or if it takes long, the same key asks for the same transaction.
async fn send_and_tell(parts: &Parts, key: B256, call: Call) -> Result<Receipt, SettleError> {
    let (prepared, mined) = parts.outbox.mine_once(key, call).await?;
    parts.news.notify_one();
    parts.outbox.finish(&prepared, mined).await
}

/// Shows a set on chain to a worker that says it was never shown it.
async fn answer(parts: Parts, set: CommitSet) {
    let hash = set.struct_hash();
    let signature = frame::sign(&parts.shared.signer, &parts.shared.separator, &[hash]);
    let proof = FrameTree::new(&[hash]).proof(0, signature);
    loop {
        match parts.outbox.mine(parts.settlement.answer_set(&set, &proof)).await {
            Ok((_, receipt)) => {
                parts.count("answer", Ok(receipt.gas_used));
                break;
            }
            Err(error) => {
                parts.count("answer", Err(()));
                tracing::warn!(task = %set.task_id, error = %Report(&error), "demand not answered yet");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
    // Its block is no later than the head, nor than now if nobody says.
    let head = parts.settlement.chain().head().await;
    let at_unix_s = head.map_or(parts.shared.now().unix_s(), |head| head.timestamp);
    let CommitSet { task_id, reveal_deadline, .. } = set;
    parts.tell(Input::Chain(ChainInput::Answered { task_id, reveal_deadline, at_unix_s }));
}

/// A chain that makes blocks only for transactions is this far behind the clock at most, for all that we
/// care: ten minutes without a transaction of ours or anybody's.
const LAG_S: u64 = 600;

/// Reads the pool's inbox at the chain's head, for ever. What is said there is signed by its worker or
/// costs us an answer at most, so nothing is lost if its block goes again; and the fifteen minutes a
/// scheduler has to hear of it are shorter than some chains take to be final.
async fn listen(parts: Parts, mut follower: Follower) {
    let from = follower.cursor();
    loop {
        match follower.next_batch().await {
            Ok(Some(batch)) => {
                for located in batch.events {
                    heard(&parts, &located.event);
                }
                parts.shared.chain_is_at(batch.timestamp);
                parts.tell(Input::Chain(ChainInput::Heard { at_unix_s: batch.timestamp }));
            }
            Ok(None) => {
                if makes_blocks_for_transactions(&parts) {
                    let at_unix_s = parts.shared.now().unix_s().saturating_sub(LAG_S);
                    parts.tell(Input::Chain(ChainInput::Heard { at_unix_s }));
                }
                tokio::time::sleep(parts.shared.config.poll).await;
            }
            Err(error) => {
                tracing::debug!(error = %Report(&error), "head not read");
                if matches!(error, SettleError::Reorganised { .. }) {
                    follower = follower.again_from(from);
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Whether time stands still on the chain while nobody sends anything: development chains. On another a
/// node that shows no new block is a node that does not work, and nothing follows from its silence.
fn makes_blocks_for_transactions(parts: &Parts) -> bool {
    let dev = quorate_chain::preset("dev").map(|preset| preset.chain_id);
    dev == Some(parts.shared.domain.chain_id)
}

fn heard(parts: &Parts, event: &ChainEvent) {
    if let ChainEvent::Forced(forced) = event
        && forced.pool == parts.shared.pool
    {
        force(parts, forced);
    }
}

/// Reads the contract's events up to what is final, for ever.
async fn follow(parts: Parts, mut follower: Follower) {
    loop {
        match follower.next_batch().await {
            Ok(Some(batch)) => {
                for located in batch.events {
                    hear(&parts, located.event).await;
                }
                let (block, hash) = (batch.cursor.number, batch.cursor.hash);
                parts.tell(Input::Chain(ChainInput::Cursor { block, hash }));
            }
            Ok(None) => {
                if let Ok(head) = parts.settlement.chain().head().await {
                    parts.shared.chain_is_at(head.timestamp);
                }
                // A deal of our own is in a block by now: no need to wait for the next look.
                let pause = tokio::time::sleep(parts.shared.config.poll);
                tokio::select! {
                    () = pause => {}
                    () = parts.news.notified() => {}
                }
            }
            Err(error) => {
                tracing::warn!(error = %Report(&error), "chain not read");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the grid hears of nothing else")]
async fn hear(parts: &Parts, event: ChainEvent) {
    let pool = parts.shared.pool;
    match event {
        ChainEvent::WorkerRegistered { worker, owner, node_key, vote_key } => {
            parts.tell(Input::Chain(ChainInput::Worker { worker, owner, vote_key, node_key }));
        }
        ChainEvent::StakeChanged { pool: of, worker, .. } if of == pool => {
            stake(parts, worker).await
        }
        ChainEvent::ExitRequested { worker, .. } | ChainEvent::ExitCancelled { worker } => {
            stake(parts, worker).await;
        }
        ChainEvent::DealOpened(deal) if deal.terms.pool == pool => deal_opened(parts, *deal),
        ChainEvent::Forced(forced) if forced.pool == pool => {
            // Here and not where it is heard first: what is final is told once.
            let kind = if forced.demand().is_some() { "demand" } else { "vote" };
            parts.shared.metrics.said_on_chain.with_label_values(&[kind]).inc();
            force(parts, &forced);
        }
        ChainEvent::BatchCommitted { header, opening } if header.pool == pool => {
            batch_committed(parts, &header, &opening);
        }
        ChainEvent::Dropped { pool: of, .. } if of == pool => disputed(parts, "dropped"),
        ChainEvent::Convicted { pool: of, .. } if of == pool => disputed(parts, "convicted"),
        ChainEvent::Abandoned { pool: of } if of == pool => disputed(parts, "abandoned"),
        _ => {}
    }
}

/// Somebody has proven something against this pool: an operator must hear of it.
fn disputed(parts: &Parts, outcome: &str) {
    parts.shared.metrics.disputes.with_label_values(&[outcome]).inc();
    tracing::error!(outcome, "the contract has found against this pool");
}

/// Tells the grid a worker's stake before any slash: the recorded stake and what slashes already took
/// from it, because the grid takes all slashes off itself.
async fn stake(parts: &Parts, worker: WorkerIdx) {
    loop {
        let seat = parts.settlement.seat(parts.shared.pool, worker).await;
        let registered = parts.settlement.worker(worker).await;
        if let (Ok(seat), Ok(registered)) = (seat, registered) {
            let (stake, exiting) = (seat.stake + seat.slashed, registered.exit_at.is_some());
            return parts.tell(Input::Chain(ChainInput::Stake { worker, stake, exiting }));
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// A vote that was said on chain is the grid's to judge, once its signer is known. So is a demand.
fn force(parts: &Parts, forced: &Forced) {
    if let Some(Demand { task_id, attempt, worker }) = forced.demand() {
        let at_unix_s = forced.at;
        let demand = ChainInput::Demand { task_id, attempt, worker, at_unix_s };
        return parts.tell(Input::Chain(demand));
    }
    let Some(vote) = forced.vote() else { return };
    let (reveal, proof, at_unix_s) = (vote.reveal, vote.proof, forced.at);
    let signer = proof.signer(&parts.shared.separator, reveal.struct_hash());
    let Some(signer) = signer else { return };
    let vote = ForcedVote { reveal, signer, proof, at_unix_s };
    parts.tell(Input::Chain(ChainInput::Forced(Box::new(vote))));
}

/// Work for this pool, whoever brought the orders together. What the door would refuse is not done: such a
/// deal stands until it is refunded.
fn deal_opened(parts: &Parts, opened: DealOpened) {
    let DealOpened { slot, terms, .. } = opened;
    let fits = orders::deal_fits(&parts.shared.blobs, &terms);
    if let Err(failure) = &fits {
        tracing::warn!(%slot, %failure, "a deal that cannot be worked on");
    }
    let (work, opened) = (fits.ok(), Box::new(Opened { slot, terms }));
    parts.tell(Input::Chain(ChainInput::Deal { opened, work }));
}

/// Pause after a look at deals that wait for bytes: somebody who brings many has each of them looked at
/// together with the next.
const LOOK_PAUSE: Duration = Duration::from_millis(200);

/// Looks at deals that could not be worked on again: at the start, and whenever bytes have come.
async fn look_again(parts: Parts) {
    loop {
        let (reply, hear) = tokio::sync::oneshot::channel();
        let now = parts.shared.now();
        // Nobody hears it while everything ends.
        let ask = move |grid: &quorate_grid::Grid| drop(reply.send(grid.deals_waiting(now)));
        parts.grid.do_send(Query(Box::new(ask)));
        for opened in hear.await.unwrap_or_default() {
            look_at(&parts, opened).await;
        }
        tokio::time::sleep(LOOK_PAUSE).await;
        parts.shared.uploaded.notified().await;
    }
}

async fn look_at(parts: &Parts, opened: Opened) {
    let (blobs, terms) = (Arc::clone(&parts.shared.blobs), opened.terms.clone());
    // A bag may be large, and orders must not wait for it.
    let fits = tokio::task::spawn_blocking(move || orders::deal_fits(&blobs, &terms)).await;
    if let Ok(Ok(work)) = fits {
        tracing::info!(slot = %opened.slot, "everything a deal needs has come");
        parts.tell(Input::Chain(ChainInput::Deal { opened: Box::new(opened), work: Some(work) }));
    }
}

/// Notes what the contract keeps of a batch of ours. Another batch than ours at its place would be our
/// second history.
fn batch_committed(parts: &Parts, header: &Header, opening: &Opening) {
    let noted = parts.batches.note(header.index, opening);
    noted.unwrap_or_else(|error| die("noting a batch", &error));
    let ours = parts.batches.read(header.index);
    let ours = ours.unwrap_or_else(|error| die("reading a batch", &error));
    let ours = ours.map(|sealed| sealed.header.struct_hash());
    fence::check_batch(header.index, ours, opening.header_hash);
}

/// Seals and commits batches, one after the other, in order.
async fn commit(parts: Parts, mut queue: mpsc::Receiver<SealBatch>) {
    let mut waiting: BTreeMap<u64, SealBatch> = BTreeMap::new();
    while let Some(seal) = queue.recv().await {
        waiting.insert(seal.header.index, seal);
        while let Some((_, seal)) = waiting.pop_first() {
            commit_one(&parts, seal).await;
        }
    }
}

async fn commit_one(parts: &Parts, seal: SealBatch) {
    #[cfg(feature = "byzantine")]
    let seal = crate::byzantine::twist(&parts.shared, seal);
    // The fence comes first: a scheduler on an old disk must not sign a second history.
    let there = until_known(parts, &seal.header).await;
    let header = seal.header.clone();
    let silent_until = silent_until(&seal.file);
    let own = parts.clone();
    // A large batch takes a second, and orders must not wait for it.
    let sealed = tokio::task::spawn_blocking(move || check_and_seal(&own, seal)).await;
    let signature = sealed.unwrap_or_else(|error| die("sealing a batch", &error));
    if !there {
        wait_out(parts, silent_until).await;
        send_batch(parts, &header, &signature).await;
    }
    parts.tell(Input::Committed { index: header.index });
}

/// The latest time until which a vote that the batch shows as never revealed could have been said on
/// chain, if it shows one; the contract allows no earlier commit.
pub(crate) fn silent_until(file: &BatchFile) -> Option<u64> {
    let silent = file.tasks.iter().flat_map(|task| {
        let votes = task.votes.iter().filter(|vote| vote.digest.is_zero());
        votes.filter_map(|vote| task.sets.get(usize::from(vote.attempt)))
    });
    silent.map(|set| set.reveal_deadline + 2 * SLACK_S).max()
}

/// Waits until the chain's clock is past `until`: the next block's time is at least the newest one's. On a
/// chain that makes blocks only for transactions that is ours, ten minutes later: no block's time lags
/// so far behind.
async fn wait_out(parts: &Parts, until: Option<u64>) {
    let Some(until) = until else { return };
    loop {
        let head = parts.settlement.chain().head().await;
        let passed = head.is_ok_and(|head| head.timestamp >= until);
        if passed || parts.shared.now().unix_s() >= until + LAG_S {
            return;
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Signs a batch and keeps its evidence, if the watcher's own code finds nothing wrong with it.
fn check_and_seal(parts: &Parts, seal: SealBatch) -> Signature {
    let SealBatch { header, file } = seal;
    let shared = &parts.shared;
    if let Err(fault) = parts.finals.check(shared, &header, &file)
        && !crate::cheats()
    {
        // It could be proven wrong: nothing may be signed.
        die("the check of our own batch", &fault);
    }
    let sealed = parts.batches.seal(&shared.signer, &shared.separator, &header, &file);
    sealed.unwrap_or_else(|error| die("sealing a batch", &error)).seal.header
}

/// Sends a batch until it is on chain.
async fn send_batch(parts: &Parts, header: &Header, signature: &Signature) {
    loop {
        let call = parts.settlement.commit_batch(header, signature);
        match parts.outbox.send_once(header.struct_hash(), call).await {
            Ok(receipt) => return parts.count("commit", Ok(receipt.gas_used)),
            Err(error) => {
                parts.count("commit", Err(()));
                tracing::warn!(index = header.index, error = %Report(&error), "batch not committed yet");
                tokio::time::sleep(RETRY).await;
            }
        }
        if until_known(parts, header).await {
            return;
        }
    }
}

/// Whether the batch is on chain, asked until the chain answers.
async fn until_known(parts: &Parts, header: &Header) -> bool {
    loop {
        match committed(parts, header).await {
            Ok(there) => return there,
            Err(error) => {
                tracing::warn!(error = %Report(&error), "chain not read");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Whether the batch is on chain already. If something is at its place, waits until the event has said
/// what: nothing may be signed before.
async fn committed(parts: &Parts, header: &Header) -> Result<bool, SettleError> {
    let pool = parts.settlement.pool(parts.shared.pool).await?;
    if pool.head < header.index {
        return Ok(false);
    }
    let opening = loop {
        let noted = parts.batches.opening(header.index);
        if let Some(opening) = noted.unwrap_or_else(|error| die("reading a batch", &error)) {
            break opening;
        }
        tokio::time::sleep(parts.shared.config.poll).await;
    };
    fence::check_batch(header.index, Some(header.struct_hash()), opening.header_hash);
    Ok(true)
}

/// Finalizes batches whose window is over, oldest first.
async fn finalize(parts: Parts) {
    loop {
        let pause = parts.shared.config.poll.max(Duration::from_millis(200));
        match finalize_next(&parts).await {
            Ok(true) => {}
            Ok(false) => tokio::time::sleep(pause).await,
            Err(error) => {
                tracing::warn!(error = %Report(&error), "batch not finalized yet");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Collects the operator's fees, when the window of nothing is open or this many batches came after the
/// last time: a collection costs as much gas as a finalization.
const COLLECT_EVERY: u64 = 64;

async fn collect(parts: &Parts, pool: &PoolView) -> Result<bool, SettleError> {
    let due = pool.finalized == pool.head || pool.finalized.is_multiple_of(COLLECT_EVERY);
    let read = |index| (parts.batches.read(index), parts.batches.opening(index));
    let (true, (Ok(Some(sealed)), Ok(Some(opening)))) = (due, read(pool.finalized)) else {
        return Ok(false);
    };
    if sealed.header.cum_fees <= pool.collected {
        return Ok(false);
    }
    let call = parts.settlement.collect_fees(&sealed.header, &opening);
    let receipt = parts.outbox.send_once(call.content_key(), call).await;
    parts.count("collect", receipt.as_ref().map(|receipt| receipt.gas_used).map_err(|_| ()));
    receipt.map(|_| true)
}

/// For people: pages name the block. What cannot be noted is no reason to stop.
async fn note_final(parts: &Parts, index: u64) {
    let Ok(head) = parts.settlement.chain().head().await else { return };
    if let Err(error) = parts.batches.note_final(index, head.number) {
        tracing::warn!(error = %Report(&error), "the block of a final batch is not noted");
    }
}

async fn finalize_next(parts: &Parts) -> Result<bool, SettleError> {
    let pool = parts.settlement.pool(parts.shared.pool).await?;
    if let Some(index) = parts.finals.next(pool.finalized) {
        let advanced = parts.finals.advance(&parts.shared, &parts.batches, index);
        if advanced {
            note_final(parts, index).await;
            parts.tell(Input::Finalized { index });
        }
        return Ok(advanced);
    }
    if collect(parts, &pool).await? {
        return Ok(true);
    }
    let index = pool.finalized + 1;
    if pool.head < index {
        return Ok(false);
    }
    let Ok(Some(sealed)) = parts.batches.read(index) else { return Ok(false) };
    let Ok(Some(opening)) = parts.batches.opening(index) else { return Ok(false) };
    let now = parts.settlement.chain().head().await?.timestamp;
    let due = opening.committed_at + parts.settlement.window_s();
    if now.max(parts.shared.now().unix_s()) < due {
        return Ok(false);
    }
    let call = parts.settlement.finalize(&sealed.header, &opening);
    let receipt = parts.outbox.send_once(call.content_key(), call).await;
    parts.count("finalize", receipt.as_ref().map(|receipt| receipt.gas_used).map_err(|_| ()));
    receipt.map(|_| true)
}
