//! A worker that runs nothing and forgets nothing: it speaks the protocol to the byte, its result of a
//! task is a text made of the task's number, and it keeps every acknowledgement it was given.

use quinn::{Connection, Endpoint, RecvStream, SendStream};
use quorate_common::{
    B256,
    digest::Digest,
    frame::{self, FrameTree},
    ids::{DealId, DealSlot, TaskKey, WorkerIdx},
    keccak256,
    keys::{NodeKey, VoteKey},
    manifest::{Ended, Entry, Manifest},
    messages::{Message as _, Separator},
    quic,
    wire::{
        self, BINDING_CONTEXT, CommitItem, Duties, EngineInfo, Hello, Inline, Open, RevealItem,
        ToScheduler, ToWorker, Votes,
    },
    word::{Said, Word},
};
use std::{collections::BTreeMap, net::SocketAddr};
use tokio::{sync::mpsc, task::JoinHandle};

/// A registered worker's keys.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) node_key: NodeKey,
    pub(crate) vote_key: VoteKey,
    pub(crate) index: WorkerIdx,
}

/// The pool a worker is in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pool {
    pub(crate) pool: quorate_common::ids::PoolId,
    pub(crate) node_key: B256,
    pub(crate) signer: quorate_common::Address,
    pub(crate) separator: Separator,
}

/// Something a worker says of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Commit,
    /// To the set of this root.
    Reveal(B256),
}

/// A vote of a worker: its task, its round, what it says.
pub(crate) type Vote = (TaskKey, u16, Step);

/// An acknowledgement: what for, and the pool's count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ack {
    pub(crate) worker: WorkerIdx,
    pub(crate) task: TaskKey,
    pub(crate) attempt: u16,
    pub(crate) is_commit: bool,
    /// The commitment, or the reveal's struct hash.
    pub(crate) hash: B256,
    pub(crate) seq: u64,
}

/// What a worker heard; nothing more when its connection is gone.
pub(crate) type Heard = Option<ToWorker>;

/// See the module.
pub(crate) struct Worker {
    pub(crate) member: Member,
    pub(crate) pool: Pool,
    pub(crate) deals: BTreeMap<DealSlot, DealId>,
    /// What it has at heart, for its next hello.
    pub(crate) holding: Vec<(TaskKey, u16)>,
    /// The acknowledgement with the highest count.
    pub(crate) newest: Option<Word>,
    line: Option<Line>,
}

struct Line {
    connection: Connection,
    send: SendStream,
    reader: JoinHandle<()>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.reader.abort();
        self.connection.close(0_u32.into(), b"gone");
    }
}

impl Worker {
    pub(crate) fn new(member: Member, pool: Pool) -> Self {
        let (deals, holding) = (BTreeMap::new(), Vec::new());
        Self { member, pool, deals, holding, newest: None, line: None }
    }

    /// Connects and says hello; what is heard goes to `hear`. Whether the line stands.
    pub(crate) async fn connect(
        &mut self,
        endpoint: &Endpoint,
        to: SocketAddr,
        slots: u16,
        hear: mpsc::Sender<(WorkerIdx, Heard)>,
    ) -> bool {
        self.line = None;
        let config = quic::client_config(&self.member.node_key, self.pool.node_key).unwrap();
        let Ok(connecting) = endpoint.connect_with(config, to, quic::SERVER_NAME) else {
            return false;
        };
        let Ok(connection) = connecting.await else { return false };
        let Ok((send, recv)) = connection.open_bi().await else { return false };
        let reader = tokio::spawn(read(recv, self.member.index, hear));
        self.line = Some(Line { connection, send, reader });
        self.write(&Open::Control(self.hello(slots))).await
    }

    pub(crate) fn disconnect(&mut self) {
        self.line = None;
    }

    pub(crate) fn hello(&self, slots: u16) -> Hello {
        let vote_key = self.member.vote_key.address();
        let message = Hello::binding_message(&self.pool.separator, self.pool.pool, vote_key);
        Hello {
            version: wire::VERSION,
            pool: self.pool.pool,
            vote_key,
            binding: Hello::binding_halves(self.member.node_key.sign(BINDING_CONTEXT, &message)),
            slots,
            memory_bytes: 1 << 30,
            engine: EngineInfo { hash: Digest::of(b"some engine") },
            ask: 0,
            name: "a worker".into(),
            holding: self.holding.clone(),
            newest: self.newest.clone().map(Box::new),
        }
    }

    /// Sends one frame; whether the line still stood.
    pub(crate) async fn write(&mut self, message: &impl serde::Serialize) -> bool {
        let mut bytes = Vec::new();
        wire::encode(message, &mut bytes);
        let Some(line) = &mut self.line else { return false };
        line.send.write_all(&bytes).await.is_ok()
    }

    /// Signs these votes as one frame and sends it; whether the line still stood.
    pub(crate) async fn vote(&mut self, votes: &[Vote]) -> bool {
        let (mut commits, mut reveals, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
        for (task, attempt, step) in votes {
            if *step == Step::Commit {
                let item = self.commit(*task, *attempt);
                hashes.push(item.message(self.pool.pool, self.task_id(*task)).struct_hash());
                commits.push(item);
            }
        }
        for (task, attempt, step) in votes {
            if let Step::Reveal(root) = step {
                let item = self.reveal(*task, *attempt, *root);
                hashes.push(item.message(self.pool.pool, self.task_id(*task)).struct_hash());
                reveals.push(item);
            }
        }
        let signature = frame::sign(&self.member.vote_key, &self.pool.separator, &hashes);
        self.write(&ToScheduler::Votes(Votes { commits, reveals, signature })).await
    }

    fn commit(&self, task: TaskKey, attempt: u16) -> CommitItem {
        let (digest, salt) = (answer(task).0.word(), self.salt(task, attempt));
        let (task_id, worker) = (self.task_id(task), self.member.index);
        let separator = &self.pool.separator;
        let commitment = separator.commitment(task_id, attempt, worker, digest, salt);
        CommitItem { task, attempt, commitment }
    }

    fn reveal(&self, task: TaskKey, attempt: u16, set_root: B256) -> RevealItem {
        let (digest, inline) = answer(task);
        let salt = self.salt(task, attempt);
        RevealItem { task, attempt, set_root, digest, salt, inline: Some(inline) }
    }

    fn task_id(&self, task: TaskKey) -> B256 {
        self.deals[&task.deal].task_id(task.idx)
    }

    /// The same whenever asked, and nobody else's.
    fn salt(&self, task: TaskKey, attempt: u16) -> B256 {
        let address = self.member.vote_key.address();
        let preimage =
            [self.task_id(task).as_slice(), address.as_slice(), &attempt.to_be_bytes()].concat();
        keccak256(preimage)
    }

    /// The acknowledgements in a frame, whose signature is checked.
    pub(crate) fn acks(&mut self, duties: &Duties) -> Vec<Ack> {
        let (pool, worker) = (self.pool.pool, self.member.index);
        let deal_id = |task: TaskKey| self.deals.get(&task.deal).copied();
        let hashes = duties.hashes(pool, worker, deal_id).expect("deals come before duties");
        let signer = frame::signer(&self.pool.separator, &hashes, &duties.signature);
        assert_eq!(signer, Some(self.pool.signer), "duties are signed by the pool");
        let tree = FrameTree::new(&hashes);
        let (first, then) = (duties.assigns.len(), duties.count() - duties.reveal_acks.len());
        let mut words = Vec::new();
        let mut acks = Vec::new();
        for (at, item) in (first..).zip(&duties.commit_acks) {
            let message = item.message(pool, self.task_id(item.task), worker);
            words.push((at, Said::CommitAck(message)));
            let (task, attempt, hash, seq) = (item.task, item.attempt, item.commitment, item.seq);
            acks.push(Ack { worker, task, attempt, is_commit: true, hash, seq });
        }
        for (at, item) in (then..).zip(&duties.reveal_acks) {
            let message = item.message(pool, self.task_id(item.task), worker);
            words.push((at, Said::RevealAck(message)));
            let (task, attempt, hash, seq) = (item.task, item.attempt, item.vote_hash, item.seq);
            acks.push(Ack { worker, task, attempt, is_commit: false, hash, seq });
        }
        for (at, said) in words {
            let word =
                Word { said, proof: tree.proof(u32::try_from(at).unwrap(), duties.signature) };
            let count = |word: &Word| word.acknowledged().map(|(_, seq)| seq);
            if count(&word) > self.newest.as_ref().and_then(count) {
                self.newest = Some(word);
            }
        }
        acks
    }
}

/// Reads frames until the stream ends, which is heard as well.
async fn read(mut recv: RecvStream, worker: WorkerIdx, hear: mpsc::Sender<(WorkerIdx, Heard)>) {
    loop {
        let heard = read_one(&mut recv).await;
        let is_end = heard.is_none();
        if hear.send((worker, heard)).await.is_err() || is_end {
            return;
        }
    }
}

async fn read_one(recv: &mut RecvStream) -> Heard {
    let mut prefix = [0; 4];
    recv.read_exact(&mut prefix).await.ok()?;
    let mut body = vec![0; wire::frame_len(prefix).unwrap()];
    recv.read_exact(&mut body).await.ok()?;
    Some(wire::decode(&body).unwrap())
}

/// The result of a task that nobody ran: a line with its number, as a real result is made.
pub(crate) fn answer(task: TaskKey) -> (Digest, Inline) {
    let line = format!("{}\n", task.idx).into_bytes();
    let manifest = Manifest {
        ended: Ended::Exit(0),
        fuel: 1,
        stdout: Some(Entry::of(&line)),
        files: Vec::new(),
    };
    let text = manifest.encode().into_bytes();
    (Digest::of(&text), Inline { blobs: vec![text, line] })
}
