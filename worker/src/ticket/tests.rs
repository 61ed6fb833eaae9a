//! The keeper of tickets against the real contract on the in-process EVM, and schedulers that say what they
//! like over real HTTP.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use quorate_agent::Settlement as Settled;
use quorate_chain::{
    Call, EmbeddedConfig, EmbeddedNode, Outbox, OutboxConfig, Signer, U256,
    settlement::{deploy_settlement, deploy_token},
};
use quorate_common::{
    anchor::Opening,
    digest::Digest,
    ids::{DealSlot, TaskKey},
    keys::VoteKey,
    merkle::{STATE_DEPTH, Sparse},
    messages::{BindWorker, Header, Message as _},
    wire::SettledItem,
};
use quorate_policy::Claims;
use std::collections::BTreeMap;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const NOW: u64 = 1_800_000_000;
const WINDOW_S: u64 = 3 * 86_400;
const POOL: PoolId = PoolId(1);
const WORKER: WorkerIdx = WorkerIdx(1);
const NODE_KEY: B256 = B256::repeat_byte(9);
/// Tasks of every batch.
const COUNT: u32 = 7;

struct Stage {
    chain: Chain,
    operator: Outbox,
    signer: VoteKey,
    settlement: Settlement,
    keeper: Keeper,
    last: Header,
    _dir: tempfile::TempDir,
}

impl Stage {
    /// A pool without batches, and a worker of it with its keeper.
    async fn new() -> Self {
        let url = ChainUrl::Embedded(EmbeddedNode::new(EmbeddedConfig::new(31_337, NOW)).unwrap());
        let chain = Chain::connect(&url).unwrap();
        let config = OutboxConfig {
            finality: quorate_chain::Finality::Latest,
            ..OutboxConfig::of(quorate_chain::preset("dev").unwrap())
        };
        let operator = Outbox::new(chain.clone(), funded(&chain, 0x10).await, config);
        let token = deploy_token(&operator, operator.account()).await.unwrap();
        let settlement = deploy_settlement(&operator, token, WINDOW_S).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (signer, claims) = (funded(&chain, 0x20).await, Claims::default());
        let escape = EscapeOptions { chain: vec![url.clone()], signer, claims };
        let keeper = Keeper {
            file: dir.path().join(FILE),
            pool: POOL,
            domain: settlement.domain(),
            node_key: NODE_KEY,
            chain: vec![url],
            api: "http://127.0.0.1:1".into(),
            escape: Some(escape),
            agent: None,
        };
        let signer = VoteKey::from_bytes(&[4; 32]).unwrap();
        let last = Header::default();
        let stage = Self { chain, operator, signer, settlement, keeper, last, _dir: dir };
        stage.register().await;
        stage
    }

    async fn register(&self) {
        let settlement = &self.settlement;
        let vote_key = VoteKey::from_bytes(&[5; 32]).unwrap();
        let binding = BindWorker {
            owner: self.operator.account(),
            node_key: NODE_KEY,
            vote_key: vote_key.address(),
            deadline: NOW * 2,
        };
        let bound = vote_key.sign(settlement.separator().digest(binding.struct_hash()));
        self.send(settlement.approve(U256::from(1_000))).await;
        self.send(settlement.deposit(1_000)).await;
        self.send(settlement.register_pool(self.signer.address(), B256::repeat_byte(3), 1_000))
            .await;
        self.send(settlement.register_worker(&binding, &bound)).await;
    }

    async fn send(&self, call: Call) {
        self.operator.send(call).await.unwrap();
    }

    /// Commits the next batch, in which the worker has earned so much or has no account.
    async fn commit(&mut self, earned: Option<u128>) -> WorkerProof {
        let view = self.settlement.worker(WORKER).await.unwrap();
        let account = earned.map(|cum_earned| WorkerAccount {
            owner: view.owner,
            vote_key: view.vote_key,
            cum_earned,
            cum_slashed: 0,
            score: 1,
            last_task_seq: 1,
        });
        let mut tree = Sparse::new(STATE_DEPTH);
        let leaf = account.as_ref().map_or(B256::ZERO, WorkerAccount::leaf);
        // Somebody else has earned before: the tree is never empty.
        tree.set(&BTreeMap::from([(u64::from(WORKER.0), leaf), (2, B256::repeat_byte(2))]));
        let index = self.last.index + 1;
        let parent = if index == 1 { B256::ZERO } else { self.last.struct_hash() };
        let state_root = tree.root();
        let empty = Header::default();
        self.last = Header { pool: POOL, index, parent, state_root, count: COUNT, ..empty };
        let digest = self.settlement.separator().digest(self.last.struct_hash());
        self.send(self.settlement.commit_batch(&self.last, &self.signer.sign(digest))).await;
        let opening = self.settlement.opening(POOL, index).await.unwrap().unwrap();
        let schema = "quorate.proof/v1".into();
        let path = tree.path(u64::from(WORKER.0));
        WorkerProof { schema, worker: WORKER, index, opening, account, path }
    }

    /// Commits the next batch, and has it final.
    async fn settle(&mut self, earned: Option<u128>) -> WorkerProof {
        let proof = self.commit(earned).await;
        self.chain.warp(WINDOW_S + 1).await.unwrap();
        self.send(self.settlement.finalize(&self.last, &proof.opening)).await;
        proof
    }

    /// Looks, while the scheduler shows this.
    async fn shown(&mut self, status: u16, page: String) -> Result<(), String> {
        self.keeper.api = scheduler(status, page).await;
        self.keeper.refresh().await
    }

    async fn proven(&mut self, proof: &WorkerProof) -> Result<(), String> {
        self.shown(200, serde_json::to_string(proof).unwrap()).await
    }

    /// How many places of a batch were asked for on chain.
    async fn asked(&self, index: u32) -> u32 {
        let court = Court::connect(&self.settlement).await.unwrap();
        let mut asked = 0;
        for place in 0..COUNT {
            let ask = court.ask_of(POOL, index, place).await.unwrap();
            asked += u32::from(ask.is_some());
        }
        asked
    }
}

async fn funded(chain: &Chain, byte: u8) -> Signer {
    let signer = Signer::from_secret(&[byte; 32]).unwrap();
    let wei = U256::from(10).pow(U256::from(19));
    chain.set_balance(signer.address(), wei).await.unwrap();
    signer
}

/// A scheduler that answers everybody with one page.
async fn scheduler(status: u16, page: String) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            let length = page.len();
            let head = format!(
                "HTTP/1.1 {status} Said\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
            );
            stream.write_all((head + &page).as_bytes()).await.unwrap();
        }
    });
    api
}

#[tokio::test]
async fn a_worker_without_tasks_is_shown_that_it_has_none() {
    let mut stage = Stage::new().await;
    stage.keeper.refresh().await.expect("nothing is final yet, and nobody is asked");
    let proof = stage.settle(None).await;
    stage.proven(&proof).await.unwrap();
    assert!(read(&stage.keeper.file).unwrap().account.is_none());
}

/// Who has earned is told that there is nothing, in every way there is to say it.
#[tokio::test]
async fn nobody_is_believed_that_there_is_nothing() {
    let mut stage = Stage::new().await;
    let before = stage.settle(None).await;
    let proof = stage.settle(Some(500)).await;
    let nothing = WorkerProof { account: None, ..proof.clone() };
    let opening = Opening::default();
    let never = WorkerProof { index: 0, opening, ..before.clone() };
    for (lie, why) in [(&nothing, "does not fit batch 2"), (&before, "it shows batch 1, and 2")] {
        let error = stage.proven(lie).await.unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    assert!(stage.proven(&never).await.unwrap_err().contains("it shows batch 0, and 2"));
    let error = stage.shown(404, "{}".into()).await.unwrap_err();
    assert!(error.contains("not found"), "{error}");
    stage.proven(&proof).await.unwrap();
    let ticket = read(&stage.keeper.file).unwrap();
    assert_eq!(ticket.account.map(|account| account.cum_earned), Some(500));
}

/// A liar is asked as one that says nothing is: after four hours, once for each batch.
#[tokio::test]
async fn who_lies_about_a_ticket_is_asked_on_chain() {
    let mut stage = Stage::new().await;
    let proof = stage.settle(Some(500)).await;
    stage.commit(Some(700)).await;
    stage.keeper.api = scheduler(404, "{}".into()).await;
    let mut patience = Patience::default();
    assert_eq!(stage.keeper.turn(&mut patience).await, RETRY);
    assert_eq!(stage.asked(2).await, 0, "it may be a restart");
    let since = patience.failing_since.as_mut().unwrap();
    *since = since.checked_sub(PATIENCE).unwrap();
    for _ in 0..2 {
        assert_eq!(stage.keeper.turn(&mut patience).await, RETRY);
        assert_eq!(stage.asked(2).await, 1);
    }
    stage.keeper.api = scheduler(200, serde_json::to_string(&proof).unwrap()).await;
    assert_eq!(stage.keeper.turn(&mut patience).await, PAUSE);
    assert!(patience.failing_since.is_none());
}

#[tokio::test]
async fn who_gets_no_ticket_asks_on_chain_once_for_each_batch() {
    let mut stage = Stage::new().await;
    stage.commit(Some(500)).await;
    let escape = stage.keeper.escape.clone().unwrap();
    assert_eq!(stage.keeper.ask_with(&escape, 0).await.unwrap(), Some(1));
    assert_eq!(stage.keeper.ask_with(&escape, 1).await.unwrap(), None, "it was asked for");
    assert_eq!(stage.asked(1).await, 1);
}

/// A proof that holds, of an account that does not hold what was settled long before.
#[tokio::test]
async fn an_account_that_lacks_what_was_settled_is_named() {
    let mut stage = Stage::new().await;
    let proof = stage.settle(Some(500)).await;
    assert_eq!(stage.keeper.short(&proof), None, "nothing was counted here");
    let now_ms = SystemClock::start().now().unix_ms;
    let dir = stage.keeper.file.parent().unwrap().to_owned();
    let mut ledger = ledger::Ledger::within(&dir);
    let line = |idx: u32, days: u64, earned: u128| {
        let item = SettledItem {
            task: TaskKey { deal: DealSlot(0), idx },
            outcome: 1,
            earned,
            slashed: 0,
            score: 1,
        };
        let (task_id, app) = (B256::repeat_byte(u8::try_from(idx).unwrap()), Digest::default());
        let settlement = Settled { task_id, attempt: 0, app, price: 1, item };
        ledger::Line::of(&settlement, now_ms - days * DAY_S * 1_000, 0)
    };
    ledger.write(&[line(1, 4, 500), line(2, 0, 100)]);
    assert_eq!(stage.keeper.short(&proof), None, "today's may be in the next batch");
    ledger.write(&[line(3, 4, 1)]);
    let short = stage.keeper.short(&proof).unwrap();
    assert!(short.contains("batch 1 holds 500") && short.contains("has 501"), "{short}");
}
