//! A whole scheduler in this process: embedded chain, real sockets, a requester with money, a worker with
//! a stake. For tests of what it says to strangers.

use quinn::{Connection, Endpoint, RecvStream, SendStream};
use quorate_chain::keystore::Signer;
use quorate_common::{
    B256,
    api::{PlaceOrder, PoolInfo},
    bag::{Bag, Limits, SCHEMA, Task},
    digest::Digest,
    ids::WorkerIdx,
    keys::{NodeKey, VoteKey, node_key_at, vote_key_at},
    messages::{Domain, Message as _, ReqOrder},
    quic,
    wire::{self, BINDING_CONTEXT, EngineInfo, Hello, Open, ToScheduler, ToWorker},
};
use quorate_scheduler::{
    dev::{self, DevChain},
    system::{self, Boot, Running, key_paths},
};
use serde_json::Value;
use std::{net::Ipv4Addr, path::Path, time::Duration};

/// What must come at all comes within this time.
const PATIENCE: Duration = Duration::from_secs(20);
/// Token units the requester has.
pub(crate) const PURSE: u128 = 1_000_000_000_000_000_000;
/// Not looked at by anybody here.
pub(crate) const MODULE: &[u8] = b"some module";

/// See the module.
pub(crate) struct Pool {
    pub(crate) chain: DevChain,
    pub(crate) running: Running,
    pub(crate) requester: Signer,
    http: reqwest::Client,
}

/// Runs a test on an actix system, as the program does, and ends the system's threads.
pub(crate) fn on_system(test: impl Future<Output = ()>) {
    let runner = actix::System::new();
    runner.block_on(test);
    actix::System::current().stop();
    runner.run().unwrap();
}

impl Pool {
    /// Starts everything, with its data in `data`.
    pub(crate) async fn start(data: &Path) -> Self {
        let chain = DevChain::start(Some(&data.join("chain.log"))).await.unwrap();
        let (node_path, signer_path) = key_paths(data);
        std::fs::create_dir_all(node_path.parent().unwrap()).unwrap();
        let node_key = node_key_at(&node_path).unwrap();
        let signer = vote_key_at(&signer_path).unwrap();
        let pool = chain.pool(signer.address(), node_key.public()).await.unwrap();
        let running = system::start(Boot {
            config: dev::config(data),
            node_key,
            signer,
            gas: dev::gas(),
            settlement: chain.settlement.clone(),
            pool,
            node: Some(chain.node.clone()),
        });
        let running = running.await.unwrap();
        let requester = dev::account(1);
        chain.fund(&requester, PURSE).await.unwrap();
        // Another test of this process may have been first.
        drop(rustls::crypto::ring::default_provider().install_default());
        Self { chain, running, requester, http: reqwest::Client::new() }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.http)
    }

    pub(crate) async fn info(&self) -> PoolInfo {
        let answer = self.http.get(self.url("/v1/pool")).send().await.unwrap();
        answer.json().await.unwrap()
    }

    /// Brings a blob.
    pub(crate) async fn put(&self, bytes: &[u8]) -> Digest {
        self.put_as(bytes, "").await
    }

    /// Brings a blob, and says how it is to be stored.
    pub(crate) async fn put_as(&self, bytes: &[u8], query: &str) -> Digest {
        let digest = Digest::of(bytes);
        let path = format!("/v1/blobs/{digest}{query}");
        let put = self.http.put(self.url(&path)).body(bytes.to_vec());
        assert!(put.send().await.unwrap().status().is_success());
        digest
    }

    /// The status of asking for a blob, and of asking whether it is here.
    pub(crate) async fn statuses(&self, digest: Digest) -> (u16, u16) {
        let url = self.url(&format!("/v1/blobs/{digest}"));
        let (get, head) = (self.http.get(&url).send().await, self.http.head(&url).send().await);
        (get.unwrap().status().as_u16(), head.unwrap().status().as_u16())
    }

    /// Posts an order; status and body.
    pub(crate) async fn place(&self, order: &impl serde::Serialize) -> (u16, Value) {
        let post = self.http.post(self.url("/v1/orders")).json(order);
        let answer = post.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// An order that holds, its blobs brought.
    pub(crate) async fn order(&self, tasks: u32) -> ReqOrder {
        let info = self.info().await;
        let app = self.put(MODULE).await;
        let bag = Bag {
            schema: SCHEMA.into(),
            kind: Default::default(),
            dataset: None,
            app,
            with: Vec::new(),
            command: Vec::new(),
            readers: Vec::new(),
            limits: Limits::default(),
            files: Vec::new(),
            tasks: vec![Task::default(); tasks as usize],
        };
        let bag = self.put(&bag.to_bytes()).await;
        ReqOrder {
            requester: self.requester.address(),
            app: app.word(),
            params: bag.word(),
            pool_restrict: info.pool.restrict(),
            max_unit_price: info.unit_price.0,
            tasks,
            trust: 5,
            replicas: 15,
            max_task_time: 60,
            expiry: info.unix_s + 3600,
            deadline: info.unix_s + 3600,
            salt: B256::repeat_byte(7),
            ..ReqOrder::default()
        }
    }

    /// Signs an order for this pool's domain.
    pub(crate) fn sign(&self, req: ReqOrder) -> PlaceOrder {
        self.sign_for(req, self.running.shared.domain)
    }

    /// Signs an order for any domain.
    pub(crate) fn sign_for(&self, req: ReqOrder, domain: Domain) -> PlaceOrder {
        let digest = domain.separator().digest(req.struct_hash());
        let signature = self.requester.sign(digest);
        PlaceOrder::alone(req, format!("0x{}", hex::encode(signature.to_bytes())))
    }

    /// A registered worker that the scheduler knows of.
    pub(crate) async fn worker(&self, n: u8) -> Worker {
        let owner = dev::account(100 + u32::from(n));
        self.chain.fund(&owner, 1).await.unwrap();
        let node_key = NodeKey::from_bytes(&[n; 32]);
        let vote_key = VoteKey::from_bytes(&[n; 32]).unwrap();
        let index = self.chain.register_worker(&owner, &node_key, &vote_key).await.unwrap();
        let known = async {
            while !self.knows(index).await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, known).await.unwrap();
        Worker { node_key, vote_key, index }
    }

    async fn knows(&self, index: WorkerIdx) -> bool {
        let answer = self.http.get(self.url("/v1/workers")).send().await.unwrap();
        let list: quorate_common::api::WorkerList = answer.json().await.unwrap();
        list.workers.iter().any(|row| row.worker == index)
    }

    /// Connects a worker; it has not said hello.
    pub(crate) async fn connect(&self, worker: &Worker) -> Line {
        let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let scheduler = self.running.shared.node_key.public();
        let config = quic::client_config(&worker.node_key, scheduler).unwrap();
        let connecting = endpoint.connect_with(config, self.running.quic, quic::SERVER_NAME);
        let connection = connecting.unwrap().await.unwrap();
        let (send, recv) = connection.open_bi().await.unwrap();
        Line { _endpoint: endpoint, connection, send, recv }
    }

    /// Connects a worker and lets it be welcomed.
    pub(crate) async fn session(&self, worker: &Worker) -> Line {
        let mut line = self.connect(worker).await;
        line.say(&Open::Control(self.hello(worker))).await;
        assert!(matches!(line.hear().await, ToWorker::Welcome(_)));
        line
    }

    /// What a worker says first.
    pub(crate) fn hello(&self, worker: &Worker) -> Hello {
        let (shared, vote_key) = (&self.running.shared, worker.vote_key.address());
        let message = Hello::binding_message(&shared.separator, shared.pool, vote_key);
        Hello {
            version: wire::VERSION,
            pool: shared.pool,
            vote_key,
            binding: Hello::binding_halves(worker.node_key.sign(BINDING_CONTEXT, &message)),
            slots: 1,
            memory_bytes: 1 << 30,
            engine: EngineInfo { hash: Digest::of(b"some engine") },
            ask: 0,
            name: "a worker".into(),
            holding: Vec::new(),
            newest: None,
        }
    }
}

/// A registered worker's keys.
pub(crate) struct Worker {
    pub(crate) node_key: NodeKey,
    pub(crate) vote_key: VoteKey,
    pub(crate) index: WorkerIdx,
}

/// A worker's connection, to say anything through.
pub(crate) struct Line {
    _endpoint: Endpoint,
    pub(crate) connection: Connection,
    send: SendStream,
    recv: RecvStream,
}

impl Line {
    /// A frame as it should be.
    pub(crate) async fn say(&mut self, message: &impl serde::Serialize) {
        let mut bytes = Vec::new();
        wire::encode(message, &mut bytes);
        self.raw(&bytes).await;
    }

    /// Any bytes. The other side may be gone already.
    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        drop(self.send.write_all(bytes).await);
    }

    /// No more bytes.
    pub(crate) fn finish(&mut self) {
        drop(self.send.finish());
    }

    /// The next frame.
    pub(crate) async fn hear(&mut self) -> ToWorker {
        let frame = async {
            let mut prefix = [0; 4];
            self.recv.read_exact(&mut prefix).await.unwrap();
            let mut body = vec![0; wire::frame_len(prefix).unwrap()];
            self.recv.read_exact(&mut body).await.unwrap();
            wire::decode(&body).unwrap()
        };
        tokio::time::timeout(PATIENCE, frame).await.unwrap()
    }

    /// Waits until the scheduler has ended the connection; its reason.
    #[expect(clippy::wildcard_enum_match_arm, reason = "any other end is a failure of the test")]
    pub(crate) async fn ended(self) -> String {
        let end = tokio::time::timeout(PATIENCE, self.connection.closed()).await.unwrap();
        match end {
            quinn::ConnectionError::ApplicationClosed(close) => {
                String::from_utf8_lossy(&close.reason).into_owned()
            }
            other => panic!("{other}"),
        }
    }

    /// Whether the scheduler still talks to this worker: it answers a blob nobody has.
    pub(crate) async fn is_alive(&mut self) -> bool {
        self.say(&ToScheduler::Heartbeat).await;
        self.get(Digest::of(b"nobody has this"), 0).await == Some(None)
    }

    /// What a blob is from a byte on: its whole length and those bytes, or that it is not here. Nothing if
    /// nobody answers.
    pub(crate) async fn get(&self, digest: Digest, from: u64) -> Option<Option<(u64, Vec<u8>)>> {
        let (mut send, mut recv) = self.connection.open_bi().await.ok()?;
        let mut bytes = Vec::new();
        wire::encode(&Open::Get { digest, from }, &mut bytes);
        send.write_all(&bytes).await.ok()?;
        let mut len = [0; 8];
        recv.read_exact(&mut len).await.ok()?;
        let len = u64::from_le_bytes(len);
        if len == u64::MAX {
            return Some(None);
        }
        Some(Some((len, recv.read_to_end(1 << 20).await.ok()?)))
    }
}
