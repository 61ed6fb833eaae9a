//! A worker that runs nothing: it speaks the protocol to the byte and signs every frame of votes, but its
//! result of a task is a text made of the task's number. It trusts the scheduler, keeps nothing on disk
//! and does not reconnect: those are the real worker's, and this one is there to be cheap.

use super::crowd::Member;
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use quorate_common::{
    B256,
    api::PoolInfo,
    digest::Digest,
    exit::{Code, Failure},
    ids::{DealId, DealSlot, PoolId, TaskKey, WorkerIdx},
    keccak256,
    manifest::{Ended, Entry, Manifest},
    messages::{Message as _, Separator},
    quic::{self, SERVER_NAME},
    wire::{
        self, AssignItem, BINDING_CONTEXT, CommitItem, CommitSetItem, EngineInfo, Hello, Inline,
        Open, RevealItem, ToScheduler, ToWorker,
    },
};
use quorate_worker::bundle::Bundle;
use std::{collections::HashMap, net::SocketAddr, time::Duration};
use tokio::{sync::oneshot, time::timeout};

/// How long a handshake and a welcome may take while thousands connect.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two heartbeats, as the real worker's.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;

/// What it does with an assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Commits and reveals at once.
    Votes,
    /// The same, with an answer that nobody else gives.
    Lies,
    /// Keeps it for ever, so that tasks stay open.
    Mute,
}

/// See the module.
pub(super) struct Simulated {
    member: Member,
    pool: PoolId,
    scheduler: B256,
    separator: Separator,
    slots: u16,
    mode: Mode,
    deals: HashMap<DealSlot, DealId>,
    bundle: Bundle,
}

impl Simulated {
    /// Not connected yet.
    pub(super) fn new(pool: &PoolInfo, member: Member, slots: u16, mode: Mode) -> Self {
        Self {
            member,
            pool: pool.pool,
            scheduler: pool.node_key,
            separator: pool.domain.separator(),
            slots,
            mode,
            deals: HashMap::new(),
            bundle: Bundle::default(),
        }
    }

    /// Connects, says hello, waits for the welcome, and goes on by itself.
    ///
    /// # Errors
    /// The scheduler cannot be reached or does not welcome it.
    pub(super) async fn start(self, endpoint: Endpoint, to: SocketAddr) -> Result<(), Failure> {
        let worker = self.member.worker;
        let failed = |what: String| Failure::new(Code::Unreachable, format!("{worker}: {what}"));
        let greeting = async {
            let config = quic::client_config(&self.member.node_key, self.scheduler)?;
            let connection = endpoint.connect_with(config, to, SERVER_NAME)?.await?;
            let (mut send, recv) = connection.open_bi().await?;
            send.write_all(&self.hello()).await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>((connection, send, recv))
        };
        let greeted = timeout(PATIENCE, greeting).await;
        let greeted = greeted.map_err(|_| failed("no handshake after 30 s".into()))?;
        let (connection, send, recv) = greeted.map_err(|error| failed(error.to_string()))?;
        let (welcome, welcomed) = oneshot::channel();
        tokio::spawn(self.live(connection, send, recv, welcome));
        let welcomed = timeout(PATIENCE, welcomed).await;
        welcomed
            .map_err(|_| failed("no welcome after 30 s".into()))?
            .map_err(|_| failed("the scheduler ended the session instead of welcoming it".into()))
    }

    fn hello(&self) -> Vec<u8> {
        let Member { node_key, vote_key, .. } = &self.member;
        let message = Hello::binding_message(&self.separator, self.pool, vote_key.address());
        let hello = Hello {
            version: wire::VERSION,
            pool: self.pool,
            vote_key: vote_key.address(),
            binding: Hello::binding_halves(node_key.sign(BINDING_CONTEXT, &message)),
            slots: self.slots,
            memory_bytes: 1 << 30,
            engine: EngineInfo { hash: Digest::of(b"simulated") },
            ask: 0,
            name: "simulated".into(),
            holding: Vec::new(),
            newest: None,
        };
        let mut frame = Vec::new();
        wire::encode(&Open::Control(hello), &mut frame);
        frame
    }

    /// Answers until the connection ends. What arrived together is answered under one signature.
    async fn live(
        mut self,
        connection: Connection,
        mut send: SendStream,
        mut recv: RecvStream,
        welcome: oneshot::Sender<()>,
    ) {
        let (mut inbox, mut welcome) = (Vec::new(), Some(welcome));
        loop {
            let chunk = match timeout(HEARTBEAT, recv.read_chunk(READ_BYTES, true)).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(_) => return,
                Err(_) => {
                    if send.write_all(&frame(&ToScheduler::Heartbeat)).await.is_err() {
                        return;
                    }
                    continue;
                }
            };
            inbox.extend_from_slice(&chunk.bytes);
            let Some(used) = self.take_all(&inbox, &mut welcome) else { break };
            inbox.drain(..used);
            if inbox.is_empty() {
                inbox.shrink_to(0);
            }
            let votes = self.bundle.take(&self.member.vote_key, &self.separator);
            let mut out = Vec::new();
            for votes in votes {
                wire::encode(&ToScheduler::Votes(votes), &mut out);
            }
            if !out.is_empty() && send.write_all(&out).await.is_err() {
                return;
            }
        }
        connection.close(1_u32.into(), b"not understood");
    }

    /// Takes every whole frame; returns their bytes. `None` when a frame makes no sense.
    fn take_all(
        &mut self,
        inbox: &[u8],
        welcome: &mut Option<oneshot::Sender<()>>,
    ) -> Option<usize> {
        let mut used = 0;
        while let Some(prefix) = inbox[used..].first_chunk::<4>() {
            let len = wire::frame_len(*prefix).ok()?;
            let Some(body) = inbox.get(used + 4..used + 4 + len) else { break };
            match wire::decode::<ToWorker>(body).ok()? {
                ToWorker::Welcome(_) => {
                    if let Some(welcome) = welcome.take() {
                        // Who waited may have given up.
                        let _ = welcome.send(());
                    }
                }
                ToWorker::Deal(deal) => drop(self.deals.insert(deal.slot, deal.id)),
                ToWorker::Duties(duties) if self.mode != Mode::Mute => {
                    duties.assigns.iter().for_each(|assign| self.commit(assign));
                    duties.sets.iter().for_each(|set| self.reveal(set));
                }
                ToWorker::Goodbye(_) => return None,
                ToWorker::Duties(_)
                | ToWorker::Cancel(_)
                | ToWorker::Fetch { .. }
                | ToWorker::Settled(_) => {}
            }
            used += 4 + len;
        }
        Some(used)
    }

    fn commit(&mut self, assign: &AssignItem) {
        let (task, attempt) = (assign.task, assign.attempt);
        let Some(deal) = self.deals.get(&task.deal) else { return };
        let task_id = deal.task_id(task.idx);
        let (digest, salt) = (self.answer(task).0.word(), self.salt(task_id, attempt));
        let worker = self.member.worker;
        let commitment = self.separator.commitment(task_id, attempt, worker, digest, salt);
        let item = CommitItem { task, attempt, commitment };
        self.bundle.commit(item, item.message(self.pool, task_id).struct_hash());
    }

    fn reveal(&mut self, set: &CommitSetItem) {
        let (task, attempt) = (set.task, set.attempt);
        let Some(deal) = self.deals.get(&task.deal) else { return };
        let task_id = deal.task_id(task.idx);
        let (digest, inline) = self.answer(task);
        let salt = self.salt(task_id, attempt);
        let set_root = set.root;
        let item = RevealItem { task, attempt, set_root, digest, salt, inline: Some(inline) };
        let hash = item.message(self.pool, task_id).struct_hash();
        self.bundle.reveal(item, hash);
    }

    fn answer(&self, task: TaskKey) -> (Digest, Inline) {
        answer(task, (self.mode == Mode::Lies).then_some(self.member.worker))
    }

    /// The same whenever asked, and nobody else's: the address is a stand-in for a secret.
    fn salt(&self, task_id: B256, attempt: u16) -> B256 {
        let address = self.member.vote_key.address();
        let preimage = [task_id.as_slice(), address.as_slice(), &attempt.to_be_bytes()].concat();
        keccak256(preimage)
    }
}

/// The result of a task that nobody ran: a line with its number, as a real result is made. A liar's own
/// is another.
fn answer(task: TaskKey, liar: Option<WorkerIdx>) -> (Digest, Inline) {
    let lie = liar.map(|liar| format!(" says {liar}")).unwrap_or_default();
    let line = format!("{}{lie}\n", task.idx).into_bytes();
    let manifest = Manifest {
        ended: Ended::Exit(0),
        fuel: 1,
        stdout: Some(Entry::of(&line)),
        files: Vec::new(),
    };
    let text = manifest.encode().into_bytes();
    (Digest::of(&text), Inline { blobs: vec![text, line] })
}

fn frame(message: &ToScheduler) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::encode(message, &mut bytes);
    bytes
}
