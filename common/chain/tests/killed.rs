//! `kill -9` at every point between signing and being done: whatever the process had got to, the
//! next one ends with the call made exactly once. A contract on a real node counts.
//!
//! The process that dies is this program, started again to run [`child`]. It reaches the node
//! through a door in the parent, which holds back a question or an answer; the child is killed
//! while it waits. So the points are the real ones, and the outbox has no hooks for tests.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic and must be heard")]

#[expect(dead_code, reason = "the other tests use the rest")]
#[path = "support/anvil.rs"]
mod anvil;
#[expect(dead_code, reason = "the other tests use the rest")]
#[path = "support/proxy.rs"]
mod proxy;

use alloy::primitives::{Address, B256, U256};
use anvil::{Anvil, PATIENCE, count_one, quick, signer, until, url_of};
use proxy::{Proxy, Twist};
use quorate_chain::{Chain, Finality, Outbox, OutboxConfig};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// What the child is told, in variables of its environment.
const JOB: &str = "QUORATE_TEST_JOB";
const PORT: &str = "QUORATE_TEST_PORT";
const FOLDER: &str = "QUORATE_TEST_FOLDER";
const COUNTER: &str = "QUORATE_TEST_COUNTER";
const KEY: &str = "QUORATE_TEST_KEY";

fn config() -> OutboxConfig {
    OutboxConfig { finality: Finality::Confirmations(3), ..quick() }
}

/// What the processes that are killed do. Not a test of its own: without a job it ends at once.
#[tokio::test]
async fn child() {
    let Ok(job) = std::env::var(JOB) else { return };
    let said = |name| std::env::var(name).unwrap();
    let chain = Chain::connect(&url_of(said(PORT).parse().unwrap())).unwrap();
    let folder = said(FOLDER);
    let outbox = Outbox::open(chain, signer(1), config(), Path::new(&folder)).unwrap();
    let counter: Address = said(COUNTER).parse().unwrap();
    let key = B256::from(U256::from(said(KEY).parse::<u64>().unwrap()));
    match job.as_str() {
        "sign" => {
            let turn = outbox.begin().await;
            let prepared = turn.prepare(count_one(counter)).await.unwrap();
            eprintln!("CHILD signed {}", prepared.nonce);
            std::future::pending().await
        }
        "recover" => {
            let count = outbox.recover().await.unwrap();
            eprintln!("CHILD recovered {count}");
        }
        _ => {
            let receipt = outbox.send_once(key, count_one(counter)).await.unwrap();
            eprintln!("CHILD done {}", receipt.tx);
        }
    }
}

/// A node that mines at once, its door, a counter, and the folder the processes share.
struct Stage {
    anvil: Anvil,
    door: Proxy,
    counter: Address,
    folder: tempfile::TempDir,
}

impl Stage {
    async fn set() -> Option<Self> {
        let anvil = Anvil::start(&[]).await?;
        anvil.fund(&signer(1)).await;
        let counter = anvil.counter().await;
        let door = Proxy::before(anvil.port).await;
        Some(Self { anvil, door, counter, folder: tempfile::tempdir().unwrap() })
    }

    fn spawn(&self, job: &str, key: u64) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child", "--nocapture"]).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.env(JOB, job).env(PORT, self.door.port.to_string());
        command.env(FOLDER, self.folder.path()).env(COUNTER, self.counter.to_string());
        command.env(KEY, key.to_string());
        command.spawn().unwrap()
    }

    /// Runs a process to its end and returns what it said.
    async fn run(&self, job: &str, key: u64) -> String {
        self.door.heal();
        let mut child = self.spawn(job, key);
        until("the child's end", async || {
            // Others mine as well, or nothing would ever be final.
            self.anvil.mine(1).await;
            child.try_wait().unwrap()
        })
        .await;
        let output = child.wait_with_output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let said = text.lines().find_map(|line| line.strip_prefix("CHILD "));
        said.unwrap_or_else(|| panic!("{job}: {text}")).to_owned()
    }

    /// Starts a process and kills it as soon as `reached`. False if it ended before.
    async fn kill_when(&self, job: &str, key: u64, reached: &AtomicBool) -> bool {
        let mut child = self.spawn(job, key);
        let ended = until("the point to kill at", async || {
            if reached.load(Ordering::SeqCst) {
                return Some(false);
            }
            self.anvil.mine(1).await;
            child.try_wait().unwrap().map(|_| true)
        })
        .await;
        // SIGKILL: nothing in it runs any more.
        child.kill().await.unwrap();
        !ended
    }

    async fn check(&self, times: u64, point: &str) {
        assert_eq!(self.anvil.count(self.counter).await, times, "{point}: exactly once");
        let nonce = self.anvil.chain.nonce(signer(1).address()).await.unwrap();
        assert_eq!(nonce, times, "{point}");
    }

    /// Two more processes after one was killed: the same receipt, and no second call.
    async fn ends_with(&self, key: u64, times: u64, point: &str) {
        let first = self.run("send", key).await;
        self.check(times, point).await;
        let second = self.run("send", key).await;
        assert_eq!(first, second, "{point}: who asks again gets the same");
        self.check(times, point).await;
    }

    /// Holds back the question or the answer of which `point` is true.
    fn hold(&self, twist: fn() -> Twist, point: fn(&str, &Value) -> bool) -> Arc<AtomicBool> {
        let reached = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&reached);
        self.door.script(move |method, params| {
            if !point(method, params) {
                return None;
            }
            flag.store(true, Ordering::SeqCst);
            Some(twist())
        });
        reached
    }
}

#[tokio::test]
async fn killed_between_signing_and_keeping() {
    let Some(stage) = Stage::set().await else { return };
    let mut child = stage.spawn("sign", 1);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let signed = tokio::time::timeout(PATIENCE, async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.starts_with("CHILD signed") {
                return true;
            }
        }
        false
    });
    assert!(signed.await.unwrap());
    child.kill().await.unwrap();
    stage.check(0, "signed").await;
    stage.ends_with(1, 1, "signed").await;
}

#[tokio::test]
async fn killed_between_keeping_and_sending() {
    let Some(stage) = Stage::set().await else { return };
    let reached = stage.hold(|| Twist::Hang, |method, _| method == "eth_sendRawTransaction");
    assert!(stage.kill_when("send", 1, &reached).await);
    stage.check(0, "kept").await;
    stage.ends_with(1, 1, "kept").await;
}

#[tokio::test]
async fn killed_between_sending_and_hearing_of_it() {
    let Some(stage) = Stage::set().await else { return };
    let reached = stage.hold(|| Twist::DoAndHang, |method, _| method == "eth_sendRawTransaction");
    assert!(stage.kill_when("send", 1, &reached).await);
    until("the node to mine it", async || {
        (stage.anvil.count(stage.counter).await == 1).then_some(())
    })
    .await;
    stage.ends_with(1, 1, "sent").await;
}

#[tokio::test]
async fn killed_while_the_receipt_is_on_its_way() {
    let Some(stage) = Stage::set().await else { return };
    let reached =
        stage.hold(|| Twist::DoAndHang, |method, _| method == "eth_getTransactionReceipt");
    assert!(stage.kill_when("send", 1, &reached).await);
    stage.check(1, "receipt").await;
    stage.ends_with(1, 1, "receipt").await;
}

#[tokio::test]
async fn killed_before_every_question_and_every_answer() {
    let Some(stage) = Stage::set().await else { return };
    let mut times = 0;
    // A process asks some dozen questions; each is once the last it asked, and once the last that
    // was heard but not answered. Every other time nobody asks again before recovery is through.
    for twist in [|| Twist::Hang, || Twist::DoAndHang] {
        for last in 0.. {
            times += 1;
            let asked = AtomicU64::new(0);
            let reached = Arc::new(AtomicBool::new(false));
            let flag = Arc::clone(&reached);
            stage.door.script(move |_, _| {
                if asked.fetch_add(1, Ordering::SeqCst) < last {
                    return None;
                }
                flag.store(true, Ordering::SeqCst);
                Some(twist())
            });
            let point = format!("question {last}");
            let killed = stage.kill_when("send", times, &reached).await;
            if times % 2 == 0 {
                stage.run("recover", times).await;
            }
            stage.ends_with(times, times, &point).await;
            if !killed {
                assert!(last > 10, "ended after {last} questions");
                break;
            }
        }
    }
}

#[tokio::test]
async fn killed_twice_and_reorganised_in_between() {
    let Some(stage) = Stage::set().await else { return };
    let receipt = |method: &str, _: &Value| method == "eth_getTransactionReceipt";
    for times in 1..=3 {
        let reached = stage.hold(|| Twist::DoAndHang, receipt);
        assert!(stage.kill_when("send", times, &reached).await);
        stage.anvil.reorg(2).await;
        let reached = stage.hold(|| Twist::Hang, |method, _| method == "eth_sendRawTransaction");
        stage.kill_when("recover", times, &reached).await;
        stage.ends_with(times, times, "reorganised").await;
    }
}

#[tokio::test]
async fn two_processes_do_not_send_for_one_account() {
    let Some(stage) = Stage::set().await else { return };
    let reached = stage.hold(|| Twist::Hang, |method, _| method == "eth_sendRawTransaction");
    let mut child = stage.spawn("send", 1);
    until("the child to be sending", async || reached.load(Ordering::SeqCst).then_some(())).await;
    let chain = stage.anvil.chain.clone();
    let error = Outbox::open(chain.clone(), signer(1), config(), stage.folder.path()).unwrap_err();
    assert!(error.to_string().contains("another outbox"), "{error}");
    child.kill().await.unwrap();
    Outbox::open(chain, signer(1), config(), stage.folder.path()).unwrap();
    stage.ends_with(1, 1, "locked").await;
}
