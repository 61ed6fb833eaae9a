//! SessionActor: one connected worker's outbox. Collects what the grid has for it into frames, signs
//! duties once per frame, and hands bytes to the writer task. It never waits.

use crate::{door::Pass, shared::Shared};
use actix::{Actor, Context, Handler, Message};
use alloy_primitives::B256;
use quorate_common::{
    frame::{self, FRAME_MESSAGES_MAX},
    ids::{TaskKey, WorkerIdx},
    keys::Signature,
    messages::Message as _,
    wire::{self, Duties, ToWorker, Welcome},
};
use quorate_grid::effect::ToSession;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Writes waiting for one worker. Each holds all frames of one delivery, and a delivery follows a
/// group commit, so this is a quarter of a second of a busy scheduler; a peer that lags more has
/// stopped reading.
pub const WRITES_MAX: usize = 64;

/// Cancels or settlements in one frame: 64 KiB hold far more, and one frame should stay one packet or
/// few.
const ITEMS_MAX: usize = 256;

/// Things for the worker, in order.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Deliver(pub Vec<ToSession>);

/// See the module.
#[derive(Debug)]
pub struct SessionActor {
    shared: Arc<Shared>,
    writer: mpsc::Sender<Vec<u8>>,
    connection: quinn::Connection,
    pass: Arc<Pass>,
    worker: Option<WorkerIdx>,
}

impl SessionActor {
    /// An outbox that writes through `writer`.
    pub fn new(
        shared: Arc<Shared>,
        writer: mpsc::Sender<Vec<u8>>,
        connection: quinn::Connection,
        pass: Arc<Pass>,
    ) -> Self {
        Self { shared, writer, connection, pass, worker: None }
    }

    fn welcome(
        &mut self,
        worker: Option<WorkerIdx>,
        stake: u128,
        score: u32,
        notice: String,
    ) -> ToWorker {
        self.worker = worker;
        if worker.is_some() {
            self.pass.is_worker(&self.connection, stake);
        }
        ToWorker::Welcome(Welcome {
            pool: self.shared.pool,
            domain: self.shared.domain,
            signer: self.shared.signer.address(),
            worker,
            stake,
            score,
            unix_ms: self.shared.now().unix_ms,
            notice,
        })
    }

    /// The grid has seen the worker and sends it away: for people who ask why.
    fn note_refusal(&self, reason: &str) {
        let (from, at) = (self.connection.remote_address().ip(), self.shared.now().unix_ms);
        let who = crate::transport::identity(&self.connection);
        self.shared.visitors.refused(at, from, who, reason);
    }
}

/// Items that travel together until another kind comes.
#[derive(Default)]
struct Pack {
    duties: Option<Duties>,
    hashes: [Vec<B256>; 4],
    cancels: Vec<(TaskKey, u16)>,
    settled: Vec<wire::SettledItem>,
}

impl Pack {
    fn duties(&mut self) -> &mut Duties {
        self.duties.get_or_insert_with(|| Duties {
            assigns: Vec::new(),
            commit_acks: Vec::new(),
            sets: Vec::new(),
            reveal_acks: Vec::new(),
            signature: Signature { r: B256::ZERO, vs: B256::ZERO },
        })
    }

    fn count(&self) -> usize {
        self.hashes.iter().map(Vec::len).sum()
    }

    /// Writes what is packed, duties first.
    fn flush(&mut self, shared: &Shared, out: &mut Vec<u8>) {
        if let Some(mut duties) = self.duties.take() {
            let hashes: Vec<B256> = self.hashes.iter_mut().flat_map(std::mem::take).collect();
            duties.signature = frame::sign(&shared.signer, &shared.separator, &hashes);
            wire::encode(&ToWorker::Duties(duties), out);
        }
        if !self.cancels.is_empty() {
            wire::encode(&ToWorker::Cancel(std::mem::take(&mut self.cancels)), out);
        }
        if !self.settled.is_empty() {
            wire::encode(&ToWorker::Settled(std::mem::take(&mut self.settled)), out);
        }
    }
}

impl SessionActor {
    /// Puts one item into the pack, or into a frame of its own.
    fn pack(&mut self, item: ToSession, pack: &mut Pack, out: &mut Vec<u8>) {
        let (pool, worker) = (self.shared.pool, self.worker.unwrap_or_default());
        let id = |task: TaskKey| self.shared.deal_id(task);
        let own = match item {
            ToSession::Assign(item) => {
                let Some(deal) = id(item.task) else { return };
                pack.hashes[0].push(item.message(pool, deal, worker).struct_hash());
                pack.duties().assigns.push(item);
                None
            }
            ToSession::CommitAck(item) => {
                let Some(deal) = id(item.task) else { return };
                let message = item.message(pool, deal.task_id(item.task.idx), worker);
                pack.hashes[1].push(message.struct_hash());
                pack.duties().commit_acks.push(item);
                None
            }
            ToSession::Set(item) => {
                let Some(deal) = id(item.task) else { return };
                let message = item.message(pool, deal.task_id(item.task.idx));
                pack.hashes[2].push(message.struct_hash());
                pack.duties().sets.push(item);
                None
            }
            ToSession::RevealAck(item) => {
                let Some(deal) = id(item.task) else { return };
                let message = item.message(pool, deal.task_id(item.task.idx), worker);
                pack.hashes[3].push(message.struct_hash());
                pack.duties().reveal_acks.push(item);
                None
            }
            ToSession::Cancel(task, attempt) => {
                pack.cancels.push((task, attempt));
                None
            }
            ToSession::Settled(item) => {
                pack.settled.push(item);
                None
            }
            ToSession::Welcome { worker, stake, score, notice } => {
                Some(self.welcome(worker, stake, score, notice))
            }
            ToSession::Deal(info) => Some(ToWorker::Deal(info)),
            ToSession::Fetch(task, digest) => Some(ToWorker::Fetch { task, digest }),
            ToSession::Goodbye(goodbye) => {
                self.note_refusal(&goodbye.reason);
                Some(ToWorker::Goodbye(goodbye))
            }
        };
        if let Some(frame) = own {
            // A deal must be known before the duties that name it, and duties keep their order.
            pack.flush(&self.shared, out);
            wire::encode(&frame, out);
        }
        let full = pack.count() >= FRAME_MESSAGES_MAX
            || pack.cancels.len() >= ITEMS_MAX
            || pack.settled.len() >= ITEMS_MAX;
        if full {
            pack.flush(&self.shared, out);
        }
    }
}

impl Actor for SessionActor {
    type Context = Context<Self>;
}

impl Handler<Deliver> for SessionActor {
    type Result = ();

    fn handle(&mut self, Deliver(items): Deliver, _: &mut Context<Self>) {
        let (mut pack, mut out) = (Pack::default(), Vec::new());
        for item in items {
            self.pack(item, &mut pack, &mut out);
        }
        pack.flush(&self.shared, &mut out);
        if !out.is_empty() && self.writer.try_send(out).is_err() {
            self.shared.metrics.sessions_ended.with_label_values(&["slow"]).inc();
            self.connection.close(quinn::VarInt::from_u32(1), b"not reading");
        }
    }
}
