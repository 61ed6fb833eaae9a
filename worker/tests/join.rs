//! `join`, `earnings` and `claim` against the real contract on the in-process EVM, behind real HTTP.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/program.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod program;

use quorate_chain::{
    Address, Chain, ChainUrl, EmbeddedConfig, EmbeddedNode, Finality, Outbox, OutboxConfig,
    Settlement, Signer, U256, preset,
    settlement::{deploy_settlement, deploy_token},
};
use quorate_common::{
    B256,
    accounts::WorkerAccount,
    api::{Amount, Donation, SponsorInfo},
    ids::{PoolId, WorkerIdx},
    invite::Invite,
    keys::{NodeKey, VoteKey},
    merkle::{STATE_DEPTH, Sparse},
    messages::{Header, Message as _},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const DAY_S: u64 = 86_400;
/// The shortest window there may be.
const WINDOW_S: u64 = 2 * DAY_S;
const BOND: u128 = 1_000_000;

/// The scheduler's key, with which it signs where donations go.
fn scheduler_key() -> NodeKey {
    NodeKey::from_bytes(&[7; 32])
}

/// The chain's JSON-RPC and the scheduler's API, on one socket.
struct Stage {
    settlement: Settlement,
    operator: Outbox,
    pool: PoolId,
    signer: VoteKey,
    url: String,
    /// What `GET` of a path answers.
    pages: Arc<Mutex<BTreeMap<String, Value>>>,
}

impl Stage {
    async fn set() -> Self {
        let node = EmbeddedNode::new(EmbeddedConfig::new(31_337, 1_800_000_000)).unwrap();
        let pages: Arc<Mutex<BTreeMap<String, Value>>> = Arc::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(serve(listener, node.clone(), pages.clone()));
        let chain = Chain::connect(&ChainUrl::Embedded(node)).unwrap();
        let key = Signer::from_secret(&[16; 32]).unwrap();
        chain.set_balance(key.address(), U256::from(10).pow(U256::from(18))).await.unwrap();
        let config =
            OutboxConfig { finality: Finality::Latest, ..OutboxConfig::of(preset("dev").unwrap()) };
        let operator = Outbox::new(chain, key, config);
        let token = deploy_token(&operator, operator.account()).await.unwrap();
        let settlement = deploy_settlement(&operator, token, WINDOW_S).await.unwrap();
        let signer = VoteKey::from_bytes(&[80; 32]).unwrap();
        operator.send(settlement.approve(U256::from(BOND))).await.unwrap();
        operator.send(settlement.deposit(BOND)).await.unwrap();
        let register = settlement.register_pool(signer.address(), scheduler_key().public(), BOND);
        operator.send(register).await.unwrap();
        Self { settlement, operator, pool: PoolId(1), signer, url, pages }
    }

    fn invite(&self) -> Invite {
        Invite {
            address: "127.0.0.1:7421".into(),
            node_key: scheduler_key().public(),
            pool: self.pool,
            domain: self.settlement.domain(),
            rpc: Some(format!("{}/rpc", self.url)),
            api: Some(self.url.clone()),
        }
    }

    fn page(&self, path: &str, page: Value) {
        self.pages.lock().unwrap().insert(path.into(), page);
    }

    fn offer(&self) {
        let settlement = &self.settlement;
        let pool = json!({
            "schema": "quorate.pool/v1", "pool": self.pool, "domain": settlement.domain(),
            "token": settlement.token(), "signer": self.signer.address(), "node_key": scheduler_key().public(),
            "quic": "127.0.0.1:7421", "unit_price": "100", "trust_max": 100, "stake_ratio": 30,
            "scheduler_ratio": 10, "max_task_time": 60, "unix_s": 1, "version": "0.1.0",
        });
        self.page("/v1/pool", pool);
    }

    async fn give(&self, whom: Address, wei: u64, tokens: u64) {
        self.settlement.chain().set_balance(whom, U256::from(wei)).await.unwrap();
        let call = self.settlement.token_transfer(whom, U256::from(tokens));
        self.operator.send(call).await.unwrap();
    }

    /// A final batch in which the worker has an account with these earnings.
    async fn settle(&self, worker: WorkerIdx, earned: u128) {
        let view = self.settlement.worker(worker).await.unwrap();
        let account = WorkerAccount {
            owner: view.owner,
            vote_key: view.vote_key,
            cum_earned: earned,
            cum_slashed: 0,
            score: 1,
            last_task_seq: 1,
        };
        let mut tree = Sparse::new(STATE_DEPTH);
        tree.set(&BTreeMap::from([(u64::from(worker.0), account.leaf())]));
        let header = Header {
            pool: self.pool,
            index: 1,
            parent: B256::ZERO,
            tasks_root: B256::ZERO,
            state_root: tree.root(),
            evidence: B256::ZERO,
            count: 1,
            payout: 0,
            fees: 0,
            royalties: 0,
            slashed: 0,
            cum_fees: 0,
        };
        let hash = header.struct_hash();
        let signature = self.signer.sign(self.settlement.separator().digest(hash));
        let commit = self.settlement.commit_batch(&header, &signature);
        self.operator.send(commit).await.unwrap();
        self.settlement.chain().warp(WINDOW_S + 1).await.unwrap();
        let opening = self.settlement.opening(self.pool, 1).await.unwrap().unwrap();
        self.operator.send(self.settlement.finalize(&header, &opening)).await.unwrap();
        let path = tree.path(u64::from(worker.0));
        let proof = json!({
            "schema": "quorate.proof/v1", "worker": worker, "index": 1, "opening": opening,
            "account": account, "path": path,
        });
        self.page(&format!("/v1/workers/{}/proof", worker.0), proof);
    }
}

/// The program, on a thread where it may block.
async fn ends(dir: &Path, arguments: &[&str], code: i32) -> (String, String) {
    let dir = dir.to_owned();
    let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
    let run = move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        program::ends(&dir, &arguments, code)
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn in_runtime(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(test);
}

fn document(out: &str) -> Value {
    serde_json::from_str(out).unwrap()
}

#[test]
fn a_volunteer_joins_step_by_step() {
    in_runtime(async {
        let stage = Stage::set().await;
        let dir = tempfile::tempdir().unwrap();
        let invite = stage.invite().to_string();
        stage.offer();

        // Nothing is there: what is missing is said in one sentence, and how to go on.
        let (_, err) = ends(dir.path(), &["--json", "join", &invite, "--slots", "2"], 7).await;
        let error = document(err.lines().last().unwrap());
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.contains("coins of chain 31337 for gas and 960 units"), "{message}");
        assert!(message.contains(&stage.settlement.token().to_string()), "{message}");
        let owner = message.split(' ').find(|word| word.starts_with("0x")).unwrap();
        let owner: Address = owner.parse().unwrap();

        stage.give(owner, 10_u64.pow(18), 940).await;
        let (_, err) = ends(dir.path(), &["join"], 7).await;
        assert!(err.contains("needs 20 units") && !err.contains("for gas"), "{err}");

        // The index, the stake of two slots, sixteen votes each: 100 × 30 % × 2 × 16.
        stage.give(owner, 10_u64.pow(18), 20).await;
        let (out, _) = ends(dir.path(), &["--json", "join"], 0).await;
        let joined = document(&out);
        assert_eq!((&joined["worker"], &joined["stake"]), (&json!(1), &json!("960")));
        let seat = stage.settlement.seat(stage.pool, WorkerIdx(1)).await.unwrap();
        assert_eq!(seat.stake, 960);

        // Again: nothing is sent, not even with empty pockets.
        stage.settlement.chain().set_balance(owner, U256::ZERO).await.unwrap();
        let (out, err) = ends(dir.path(), &["--json", "join"], 0).await;
        assert_eq!(document(&out), joined);
        assert!(!err.contains("sending"), "{err}");

        // More stake, named as an amount.
        stage.give(owner, 10_u64.pow(18), 30).await;
        let (out, err) = ends(dir.path(), &["--json", "join", "--stake", "990"], 0).await;
        assert_eq!(document(&out)["stake"], "990");
        assert!(err.contains("sending: stake 30 of worker-1 in pool-1"), "{err}");
    });
}

/// What a pool says that pays for nobody and names an address for donations.
fn terms(address: Address, signer: &NodeKey) -> Value {
    let info = SponsorInfo {
        schema: "quorate.sponsor/v1".into(),
        open: false,
        budget_wei: Amount(0),
        left_wei: Amount(0),
        owner_day: 0,
        network_day: 0,
        advance: Amount(0),
        stake_ratio: 30,
        donation: Some(Donation::signed(address, signer)),
    };
    serde_json::to_value(info).unwrap()
}

/// On a real terminal (`script` makes one), with what somebody types.
fn at_a_terminal(dir: &Path, typed: &str) -> String {
    let worker = env!("CARGO_BIN_EXE_quorate-worker");
    let line = format!("{worker} --data-dir {} join", dir.display());
    let mut command = std::process::Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    command.env("HOME", dir).stdin(std::process::Stdio::piped());
    command.stdout(std::process::Stdio::piped());
    let mut child = command.spawn().expect("`script` of the package bsdutils makes a terminal");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), typed.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn three_questions_at_a_terminal_make_a_configuration() {
    in_runtime(async {
        let stage = Stage::set().await;
        stage.offer();
        let charity = Address::repeat_byte(0x77);
        stage.page("/v1/sponsor", terms(charity, &scheduler_key()));
        let dir = tempfile::tempdir().unwrap();
        let typed = format!("hello\n{}\ndonate\nquiet\n", stage.invite());
        let folder = dir.path().to_owned();
        let said = tokio::task::spawn_blocking(move || at_a_terminal(&folder, &typed));
        let said = said.await.unwrap();
        for words in [
            "Which pool?",
            "expected `quorate://",
            "Where does the money go?",
            "How much of the computer?",
            "which this pool's key has signed",
            "needs coins of chain 31337 for gas",
            "what the stake is for",
            "This pool pays for nobody's gas",
        ] {
            assert!(said.contains(words), "expected `{words}`: {said}");
        }
        let (out, _) = ends(dir.path(), &["get"], 0).await;
        let file = out.to_lowercase();
        for line in [&charity.to_string().to_lowercase(), "idle.only", "true", "60"] {
            assert!(file.contains(line), "expected `{line}`: {out}");
        }

        // Whoever is not the scheduler names nobody.
        stage.page("/v1/sponsor", terms(charity, &NodeKey::from_bytes(&[8; 32])));
        let (_, err) = ends(dir.path(), &["join", "--donate"], 6).await;
        assert!(err.contains("is not signed by the key that the invitation names"), "{err}");
    });
}

#[test]
fn earnings_are_proven_before_they_are_claimed() {
    in_runtime(async {
        let stage = Stage::set().await;
        let dir = tempfile::tempdir().unwrap();
        let invite = stage.invite().to_string();
        let (_, err) = ends(dir.path(), &["join", &invite, "--stake", "0"], 7).await;
        let owner = err.split_whitespace().find(|word| word.len() == 42).unwrap();
        let owner: Address = owner.parse().unwrap();
        let (_, err) = ends(dir.path(), &["earnings"], 3).await;
        assert!(err.contains("the contract does not know this worker"), "{err}");
        stage.give(owner, 10_u64.pow(18), 0).await;
        ends(dir.path(), &["join", "--stake", "0"], 0).await;
        let (_, err) = ends(dir.path(), &["claim"], 3).await;
        assert!(err.contains("nothing is due"), "{err}");

        stage.settle(WorkerIdx(1), 0).await;
        let (_, err) = ends(dir.path(), &["claim"], 3).await;
        assert!(err.contains("nothing is due"), "{err}");
        let (out, _) = ends(dir.path(), &["--json", "earnings"], 0).await;
        assert_eq!((&document(&out)["due"], &document(&out)["batch"]), (&json!("0"), &json!(1)));

        // A scheduler that makes up an account is found out.
        let path = "/v1/workers/1/proof";
        let mut page = stage.pages.lock().unwrap()[path].clone();
        page["account"]["cum_earned"] = json!(1_000);
        stage.page(path, page);
        let (_, err) = ends(dir.path(), &["claim"], 10).await;
        assert!(err.contains("the scheduler's proof does not fit batch 1 on chain"), "{err}");
    });
}

#[test]
fn an_invitation_with_another_key_than_the_contracts_is_refused() {
    in_runtime(async {
        let stage = Stage::set().await;
        let dir = tempfile::tempdir().unwrap();
        let mut invite = stage.invite();
        invite.node_key = B256::repeat_byte(8);
        let (_, err) = ends(dir.path(), &["join", &invite.to_string(), "--stake", "1"], 6).await;
        assert!(err.contains("do not use this invitation"), "{err}");
        let dir = tempfile::tempdir().unwrap();
        let mut invite = stage.invite();
        invite.domain.contract = Address::repeat_byte(9);
        ends(dir.path(), &["join", &invite.to_string(), "--stake", "1"], 9).await;
    });
}

async fn serve(
    listener: TcpListener,
    node: EmbeddedNode,
    pages: Arc<Mutex<BTreeMap<String, Value>>>,
) {
    while let Ok((socket, _)) = listener.accept().await {
        let (node, pages) = (node.clone(), pages.clone());
        tokio::spawn(async move {
            // A broken connection is the client's to notice.
            answer_all(socket, &node, &pages).await.ok();
        });
    }
}

async fn answer_all(
    mut socket: TcpStream,
    node: &EmbeddedNode,
    pages: &Mutex<BTreeMap<String, Value>>,
) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse().ok())?
        });
        let mut body = vec![0; length.unwrap_or(0)];
        socket.read_exact(&mut body).await?;
        let (status, answer) = if path == "/rpc" {
            (200, rpc(node, &serde_json::from_slice(&body)?))
        } else {
            match pages.lock().unwrap().get(&path) {
                Some(page) => (200, page.clone()),
                None => (404, json!({})),
            }
        };
        let answer = answer.to_string();
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", answer.len());
        // In one piece, or the second waits 40 ms for the first to be acknowledged.
        socket.write_all(format!("{head}{answer}").as_bytes()).await?;
    }
}

fn rpc(node: &EmbeddedNode, request: &Value) -> Value {
    let method = request["method"].as_str().unwrap_or_default();
    match node.request(method, request["params"].clone()) {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }),
        Err(error) => json!({ "jsonrpc": "2.0", "id": request["id"], "error":
            { "code": error.code, "message": error.message, "data": error.data } }),
    }
}
