//! A scheduler's end of the line, spoken by hand: a real QUIC endpoint on loopback, a pool's signing
//! key, a shelf of blobs. It decides nothing; tests say what it says.

use quinn::{Connection, Endpoint, RecvStream, SendStream};
use quorate_common::{
    Address, B256,
    bag::{AppKind, Bag, Limits, SCHEMA, Task},
    clock::SystemClock,
    digest::Digest,
    frame,
    ids::{DealId, DealSlot, PoolId, TaskKey, WorkerIdx},
    invite::Invite,
    keccak256,
    keys::{self, NodeKey, Signature, VoteKey},
    merkle::{SET_DEPTH, Tree},
    messages::{Domain, Message as _, Word as _},
    quic,
    wire::{
        self, AssignItem, CommitAckItem, CommitItem, CommitSetItem, DealInfo, Duties, Hello, Open,
        RevealAckItem, RevealItem, SettledItem, ToScheduler, ToWorker, Votes, Welcome,
    },
};
use serde::de::DeserializeOwned;
use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};
use tokio::sync::{Notify, mpsc, watch};

/// Longer than anything here may take, compilation of a module on a busy machine included.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const POOL: PoolId = PoolId(1);
pub(crate) const WORKER: WorkerIdx = WorkerIdx(7);

pub(crate) type Shelf = Arc<Mutex<BTreeMap<Digest, Vec<u8>>>>;

/// A blob whose line breaks in its middle, when the test says so.
#[derive(Default)]
pub(crate) struct Cut {
    pub blob: Mutex<Option<Digest>>,
    pub now: Notify,
    /// From which bytes on it was asked for.
    pub asked: Mutex<Vec<u64>>,
    /// Every blob that was asked for, each time.
    pub all: Mutex<Vec<Digest>>,
}

pub(crate) struct Scheduler {
    pub endpoint: Endpoint,
    pub node_key: NodeKey,
    #[expect(dead_code, reason = "not every test file signs as the scheduler")]
    pub signer: VoteKey,
    pub shelf: Shelf,
    pub cut: Arc<Cut>,
    /// How many blobs were brought.
    pub brought: watch::Receiver<usize>,
    sessions: mpsc::Receiver<Session>,
    pub clock: SystemClock,
}

/// One worker's control stream.
pub(crate) struct Session {
    pub hello: Hello,
    pub connection: Connection,
    pub send: SendStream,
    pub recv: RecvStream,
    signer: VoteKey,
    clock: SystemClock,
}

/// Waits for something that must come.
pub(crate) async fn soon<T>(what: &str, step: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, step).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not come"),
    }
}

/// The contract, where a test has a real one.
pub(crate) static CONTRACT: OnceLock<Address> = OnceLock::new();

pub(crate) fn domain() -> Domain {
    let contract = CONTRACT.get().copied().unwrap_or(Address::repeat_byte(0xcc));
    Domain { chain_id: 31_337, contract }
}

impl Scheduler {
    pub(crate) fn start() -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), Shelf::default())
    }

    /// A scheduler at a certain address, with what an earlier one had.
    pub(crate) fn start_at(address: std::net::SocketAddr, shelf: Shelf) -> Self {
        let node_key = NodeKey::from_bytes(&[3; 32]);
        let signer = VoteKey::from_bytes(&[4; 32]).unwrap();
        let config = quic::server_config(&node_key).unwrap();
        let endpoint = Endpoint::server(config, address).unwrap();
        let (sessions_sender, sessions) = mpsc::channel(16);
        let (brought_sender, brought) = watch::channel(0);
        let clock = SystemClock::start();
        let cut = Arc::new(Cut::default());
        tokio::spawn(accept(
            endpoint.clone(),
            signer.clone(),
            clock,
            (shelf.clone(), Arc::clone(&cut)),
            sessions_sender,
            brought_sender,
        ));
        Self { endpoint, node_key, signer, shelf, cut, brought, sessions, clock }
    }

    pub(crate) fn invite(&self) -> Invite {
        Invite {
            address: self.endpoint.local_addr().unwrap().to_string(),
            node_key: self.node_key.public(),
            pool: POOL,
            domain: domain(),
            rpc: None,
            api: None,
        }
    }

    /// The next worker that says hello.
    pub(crate) async fn session(&mut self) -> Session {
        soon("a hello", self.sessions.recv()).await.unwrap()
    }

    pub(crate) fn shelve(&self, bytes: Vec<u8>) -> Digest {
        let digest = Digest::of(&bytes);
        self.shelf.lock().unwrap().insert(digest, bytes);
        digest
    }

    /// A deal with these tasks, its blobs on the shelf.
    pub(crate) fn deal(&self, slot: u32, module: &[u8], tasks: Vec<Task>) -> DealInfo {
        self.deal_of(AppKind::Wasm, slot, module, tasks)
    }

    /// The same of another kind of work.
    pub(crate) fn deal_of(
        &self,
        kind: AppKind,
        slot: u32,
        module: &[u8],
        tasks: Vec<Task>,
    ) -> DealInfo {
        let app = self.shelve(module.to_vec());
        let limits = Limits { memory_bytes: 16 << 20, ..Limits::default() };
        let bag = Bag {
            schema: SCHEMA.into(),
            kind,
            dataset: None,
            app,
            with: Vec::new(),
            command: Vec::new(),
            readers: Vec::new(),
            limits,
            files: Vec::new(),
            tasks,
        };
        bag.check().unwrap();
        DealInfo {
            slot: DealSlot(slot),
            id: deal_id(slot),
            app,
            bag: self.shelve(bag.to_bytes()),
            first: 0,
            unit_price: 100,
            stake: 30,
            max_task_time: 60,
            deadline: 2_000_000_000,
        }
    }
}

pub(crate) fn deal_id(slot: u32) -> DealId {
    DealId(keccak256(slot.to_be_bytes()))
}

pub(crate) fn task(deal: u32, idx: u32) -> TaskKey {
    TaskKey { deal: DealSlot(deal), idx }
}

impl Session {
    pub(crate) async fn say(&mut self, message: &ToWorker) {
        let mut bytes = Vec::new();
        wire::encode(message, &mut bytes);
        self.raw(&bytes).await;
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        self.send.write_all(bytes).await.unwrap();
    }

    /// The next message but heartbeats.
    pub(crate) async fn hear(&mut self) -> ToScheduler {
        loop {
            match soon("a message", read_frame(&mut self.recv)).await.unwrap() {
                ToScheduler::Heartbeat | ToScheduler::Containers(_) => {}
                message @ (ToScheduler::Votes(_)
                | ToScheduler::GaveUp(_)
                | ToScheduler::Slots(_)) => return message,
            }
        }
    }

    /// The next votes, their signature checked.
    pub(crate) async fn votes(&mut self) -> Votes {
        let ToScheduler::Votes(votes) = self.hear().await else { panic!("expected votes") };
        self.check_votes(&votes);
        votes
    }

    pub(crate) fn check_votes(&self, votes: &Votes) {
        votes.check().unwrap();
        let hashes = votes.hashes(POOL, |task| Some(deal_id(task.deal.0))).unwrap();
        let signer = frame::signer(&domain().separator(), &hashes, &votes.signature);
        assert_eq!(signer, Some(self.hello.vote_key));
    }

    pub(crate) async fn one_commit(&mut self) -> CommitItem {
        let votes = self.votes().await;
        assert_eq!((votes.commits.len(), votes.reveals.len()), (1, 0), "{votes:?}");
        votes.commits[0]
    }

    pub(crate) async fn one_reveal(&mut self) -> RevealItem {
        let votes = self.votes().await;
        assert_eq!((votes.commits.len(), votes.reveals.len()), (0, 1), "{votes:?}");
        votes.reveals[0].clone()
    }

    pub(crate) fn welcome_message(&self) -> Welcome {
        Welcome {
            pool: POOL,
            domain: domain(),
            signer: self.signer.address(),
            worker: Some(WORKER),
            stake: 1000,
            score: 0,
            unix_ms: self.clock.now().unix_ms,
            notice: String::new(),
        }
    }

    pub(crate) async fn welcome(&mut self) {
        let welcome = self.welcome_message();
        self.say(&ToWorker::Welcome(welcome)).await;
    }

    pub(crate) async fn describe(&mut self, deal: &DealInfo) {
        self.say(&ToWorker::Deal(deal.clone())).await;
    }

    pub(crate) async fn assign(&mut self, tasks: &[TaskKey]) {
        let now_s = self.clock.now().unix_s();
        let assign = |task: &TaskKey| AssignItem {
            task: *task,
            attempt: 0,
            seed_epoch: 0,
            commit_deadline: now_s + 60,
            reveal_deadline: now_s + 120,
        };
        self.duties(Duties { assigns: tasks.iter().map(assign).collect(), ..nothing() }).await;
    }

    pub(crate) async fn ack(&mut self, commit: &CommitItem) {
        let CommitItem { task, attempt, commitment } = *commit;
        let ack = CommitAckItem { task, attempt, commitment, seq: 1 };
        self.duties(Duties { commit_acks: vec![ack], ..nothing() }).await;
    }

    /// Freezes the set of this commitment alone, and returns its root.
    pub(crate) async fn freeze(&mut self, commit: &CommitItem) -> B256 {
        let set = set_of_one(commit, self.clock.now().unix_s() + 60);
        self.duties(Duties { sets: vec![set], ..nothing() }).await;
        set.root
    }

    pub(crate) async fn ack_reveal(&mut self, reveal: &RevealItem) {
        let task_id = deal_id(reveal.task.deal.0).task_id(reveal.task.idx);
        let vote_hash = reveal.message(POOL, task_id).struct_hash();
        let (task, attempt) = (reveal.task, reveal.attempt);
        let ack = RevealAckItem { task, attempt, vote_hash, stored: true, seq: 2 };
        self.duties(Duties { reveal_acks: vec![ack], ..nothing() }).await;
    }

    pub(crate) async fn settle(&mut self, task: TaskKey, earned: u128) {
        let item = SettledItem { task, outcome: 1, earned, slashed: 0, score: 1 };
        self.say(&ToWorker::Settled(vec![item])).await;
    }

    pub(crate) async fn cancel(&mut self, task: TaskKey) {
        self.say(&ToWorker::Cancel(vec![(task, 0)])).await;
    }

    pub(crate) async fn duties(&mut self, duties: Duties) {
        let signer = self.signer.clone();
        self.duties_by(&signer, duties).await;
    }

    pub(crate) async fn duties_by(&mut self, signer: &VoteKey, mut duties: Duties) {
        let id = |task: TaskKey| Some(deal_id(task.deal.0));
        let hashes = duties.hashes(POOL, WORKER, id).unwrap();
        duties.signature = frame::sign(signer, &domain().separator(), &hashes);
        self.say(&ToWorker::Duties(duties)).await;
    }

    /// Waits until the worker has ended the session, and returns what it said last.
    #[expect(clippy::wildcard_enum_match_arm, reason = "any other end is shown as it is")]
    pub(crate) async fn ended(self) -> String {
        let error = soon("the end of the session", self.connection.closed()).await;
        match error {
            quinn::ConnectionError::ApplicationClosed(close) => {
                String::from_utf8_lossy(&close.reason).into_owned()
            }
            other => other.to_string(),
        }
    }
}

pub(crate) fn nothing() -> Duties {
    let signature = Signature { r: B256::ZERO, vs: B256::ZERO };
    Duties {
        assigns: Vec::new(),
        commit_acks: Vec::new(),
        sets: Vec::new(),
        reveal_acks: Vec::new(),
        signature,
    }
}

pub(crate) fn set_of_one(commit: &CommitItem, reveal_deadline: u64) -> CommitSetItem {
    let leaf = keccak256([WORKER.word(), commit.commitment.0].as_flattened());
    let tree = Tree::new(SET_DEPTH, vec![leaf]);
    CommitSetItem {
        task: commit.task,
        attempt: commit.attempt,
        root: tree.root(),
        n: 1,
        reveal_deadline,
        position: 0,
        path: tree.path(0).try_into().unwrap(),
    }
}

async fn accept(
    endpoint: Endpoint,
    signer: VoteKey,
    clock: SystemClock,
    (shelf, cut): (Shelf, Arc<Cut>),
    sessions: mpsc::Sender<Session>,
    brought: watch::Sender<usize>,
) {
    let brought = Arc::new(brought);
    while let Some(incoming) = endpoint.accept().await {
        let Ok(connection) = incoming.await else { continue };
        // Every worker is known here, so the line is as wide as a known one's.
        connection.set_max_concurrent_bi_streams(quic::STREAMS_MAX.into());
        connection.set_receive_window(quic::WINDOW_BYTES.into());
        let (signer, shelf, cut) = (signer.clone(), shelf.clone(), Arc::clone(&cut));
        let (sessions, brought) = (sessions.clone(), brought.clone());
        tokio::spawn(async move {
            while let Ok((send, mut recv)) = connection.accept_bi().await {
                let Some(open) = read_frame::<Open>(&mut recv).await else { continue };
                match open {
                    Open::Control(hello) => {
                        check_hello(&hello, &connection);
                        let connection = connection.clone();
                        let signer = signer.clone();
                        let session = Session { hello, connection, send, recv, signer, clock };
                        sessions.send(session).await.ok();
                    }
                    Open::Get { digest, from } => {
                        give(&shelf, &cut, &connection, (digest, from), send).await;
                    }
                    Open::Put { digest, len } => {
                        take(&shelf, digest, len, send, recv).await;
                        brought.send_modify(|n| *n += 1);
                    }
                }
            }
        });
    }
}

/// A hello binds the vote key to the node key that TLS has proven.
fn check_hello(hello: &Hello, connection: &Connection) {
    hello.check().unwrap();
    let identity = connection.peer_identity().unwrap();
    let certs = identity.downcast::<Vec<quorate_common::tls::CertificateDer<'static>>>().unwrap();
    let node = quorate_common::tls::peer_key(&certs[0]).unwrap();
    let message = Hello::binding_message(&domain().separator(), POOL, hello.vote_key);
    assert!(keys::node_signed(node, wire::BINDING_CONTEXT, &message, &hello.binding_bytes()));
}

/// Gives a blob from a byte on; the line breaks where it is to be cut.
async fn give(
    shelf: &Shelf,
    cut: &Cut,
    connection: &Connection,
    (digest, from): (Digest, u64),
    mut send: SendStream,
) {
    cut.all.lock().unwrap().push(digest);
    let blob = shelf.lock().unwrap().get(&digest).cloned();
    let len = blob.as_ref().map_or(u64::MAX, |blob| blob.len() as u64);
    let mut answer = len.to_le_bytes().to_vec();
    answer.extend(blob.unwrap_or_default().into_iter().skip(from as usize));
    if cut.blob.lock().unwrap().is_some_and(|blob| blob == digest) {
        cut.asked.lock().unwrap().push(from);
        if from == 0 {
            send.write_all(&answer[..8 + answer.len() / 2]).await.ok();
            cut.now.notified().await;
            return connection.close(0_u32.into(), b"cut");
        }
    }
    send.write_all(&answer).await.ok();
    send.finish().ok();
    send.stopped().await.ok();
}

async fn take(shelf: &Shelf, digest: Digest, len: u64, mut send: SendStream, mut recv: RecvStream) {
    let bytes = recv.read_to_end(1 << 24).await.unwrap();
    assert_eq!((bytes.len() as u64, Digest::of(&bytes)), (len, digest));
    shelf.lock().unwrap().insert(digest, bytes);
    send.write_all(&[0]).await.ok();
    send.finish().ok();
    send.stopped().await.ok();
}

/// The next frame; nothing at the end of the stream.
async fn read_frame<T: DeserializeOwned>(recv: &mut RecvStream) -> Option<T> {
    let mut prefix = [0; 4];
    recv.read_exact(&mut prefix).await.ok()?;
    let mut body = vec![0; wire::frame_len(prefix).unwrap()];
    recv.read_exact(&mut body).await.ok()?;
    Some(wire::decode(&body).unwrap())
}
