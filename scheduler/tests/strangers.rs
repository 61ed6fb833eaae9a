//! What a scheduler says to strangers that talk nonsense: orders are refused by field, value and
//! expectation; a bad frame ends its session and no other; a damaged journal is cut or refused by name.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/opening.rs"]
mod opening;
#[path = "support/pool.rs"]
mod pool;
#[path = "support/sides.rs"]
mod sides;

use pool::{Line, MODULE, PURSE, Pool, Worker, on_system};
use quorate_common::{
    Address, B256,
    api::PlaceOrder,
    digest::Digest,
    frame,
    ids::{DealSlot, PoolId, TaskKey},
    messages::{Domain, ReqOrder},
    wire::{self, CommitItem, GaveUp, GiveUpReason, Open, ToScheduler, ToWorker, Votes},
};
use quorate_scheduler::journal::{Journal, Options};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// An order that is wrong in one way, the status it gets, and what the answer must name.
type Case = (&'static str, PlaceOrder, u16, Vec<String>);

fn changed(pool: &Pool, req: &ReqOrder, change: impl FnOnce(&mut ReqOrder)) -> PlaceOrder {
    let mut req = req.clone();
    change(&mut req);
    pool.sign(req)
}

fn field_cases(pool: &Pool, req: &ReqOrder, unix_s: u64) -> Vec<Case> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let price = req.max_unit_price;
    vec![
        (
            "another pool",
            changed(pool, req, |r| r.pool_restrict = PoolId(99).restrict()),
            400,
            words(&["`poolRestrict` is 0x", "63; expected zero (any pool) or 0x", "(pool-1)"]),
        ),
        (
            "another category",
            changed(pool, req, |r| r.category = 3),
            400,
            words(&["`category` is 3", "expected 0"]),
        ),
        (
            "what the pool has not",
            changed(pool, req, |r| r.tag = B256::with_last_byte(5)),
            400,
            words(&["`tag` is 0x", "05; expected only bits of this pool's 0x"]),
        ),
        (
            "an application that is sold",
            changed(pool, req, |r| r.app_owner = Address::repeat_byte(3)),
            400,
            words(&["`appOwner` is 0x03", "its owner's app order"]),
        ),
        (
            "somebody else's results",
            changed(pool, req, |r| r.beneficiary = Address::repeat_byte(3)),
            400,
            words(&["`beneficiary` is 0x03", "not encrypted"]),
        ),
        (
            "a dataset that no task finds",
            changed(pool, req, |r| r.dataset = B256::repeat_byte(3)),
            400,
            words(&["`dataset` is 0303", "a file that all tasks of the bag share"]),
        ),
        (
            "too cheap",
            changed(pool, req, |r| r.max_unit_price -= 1),
            402,
            vec!["`maxUnitPrice`".into(), (price - 1).to_string(), price.to_string()],
        ),
        (
            "no tasks",
            changed(pool, req, |r| r.tasks = 0),
            400,
            words(&["`tasks` is 0", "1 to 65536"]),
        ),
        (
            "too many tasks",
            changed(pool, req, |r| r.tasks = 65_537),
            400,
            words(&["`tasks` is 65537", "1 to 65536"]),
        ),
        (
            "not the bag's",
            changed(pool, req, |r| r.tasks = 2),
            400,
            words(&["`tasks` is 2", "the bag's 3 tasks"]),
        ),
        (
            "no trust",
            changed(pool, req, |r| r.trust = 0),
            400,
            words(&["`trust` is 0", "1 to 1000000"]),
        ),
        (
            "too much trust",
            changed(pool, req, |r| r.trust = 1_000_001),
            400,
            words(&["`trust` is 1000001"]),
        ),
        (
            "no replicas",
            changed(pool, req, |r| r.replicas = 0),
            400,
            words(&["`replicas` is 0", "1 to 15"]),
        ),
        (
            "too many replicas",
            changed(pool, req, |r| r.replicas = 16),
            400,
            words(&["`replicas` is 16", "1 to 15"]),
        ),
        (
            "no time",
            changed(pool, req, |r| r.max_task_time = 0),
            400,
            words(&["`maxTaskTime` is 0", "1 to 86400 s"]),
        ),
        (
            "too much time",
            changed(pool, req, |r| r.max_task_time = 86_401),
            400,
            words(&["`maxTaskTime` is 86401"]),
        ),
        (
            "expired",
            changed(pool, req, |r| r.expiry = unix_s - 1),
            400,
            vec!["`expiry`".into(), (unix_s - 1).to_string(), "later than now".into()],
        ),
        (
            "over",
            changed(pool, req, |r| r.deadline = unix_s - 1),
            400,
            vec!["`deadline`".into(), (unix_s - 1).to_string(), "later than now".into()],
        ),
    ]
}

async fn other_cases(pool: &Pool, req: &ReqOrder) -> Vec<Case> {
    let (domain, good) = (pool.running.shared.domain, pool.sign(req.clone()));
    let chain = Domain { chain_id: 1, ..domain };
    let contract = Domain { contract: Address::repeat_byte(9), ..domain };
    let says = format!("chain {} and contract {}", domain.chain_id, domain.contract);
    let requester = req.requester.to_string();
    let mut forged = good.clone();
    forged.req.salt = B256::repeat_byte(8);
    let garbage = PlaceOrder { signature: "0xnot hex".into(), ..good.clone() };
    let short = PlaceOrder { signature: "0x12".into(), ..good };
    let missing = Digest::of(b"missing").word();
    let junk = pool.put(b"{\"no\": \"bag\"}").await.word();
    let rich = pool.order(60_000).await;
    let cost = rich.max_unit_price * 60_000;
    vec![
        (
            "another chain",
            pool.sign_for(req.clone(), chain),
            403,
            vec![says.clone(), requester.clone()],
        ),
        (
            "another contract",
            pool.sign_for(req.clone(), contract),
            403,
            vec![says, requester.clone()],
        ),
        ("changed after signing", forged, 403, vec!["signature".into(), requester]),
        (
            "no signature",
            garbage,
            400,
            vec!["`signature`".into(), "0xnot hex".into(), "128 hex digits".into()],
        ),
        ("half a signature", short, 403, vec!["BadSignature".into(), req.requester.to_string()]),
        (
            "no app",
            changed(pool, req, |r| r.app = missing),
            404,
            vec!["app".into(), Digest::from(missing).to_string(), "PUT /v1/blobs".into()],
        ),
        (
            "no bag",
            changed(pool, req, |r| r.params = missing),
            404,
            vec!["bag".into(), Digest::from(missing).to_string()],
        ),
        ("a bag that is none", changed(pool, req, |r| r.params = junk), 400, vec!["bag".into()]),
        (
            "no money",
            pool.sign(rich),
            402,
            vec![PURSE.to_string(), cost.to_string(), "deposit".into()],
        ),
    ]
}

#[test]
fn an_order_is_refused_by_field_value_and_expectation() {
    on_system(async {
        let data = tempfile::tempdir().unwrap();
        let pool = Pool::start(data.path()).await;
        let req = pool.order(3).await;
        let mut cases = field_cases(&pool, &req, pool.info().await.unix_s);
        cases.extend(other_cases(&pool, &req).await);
        for (what, order, status, words) in cases {
            let (found, body) = pool.place(&order).await;
            let message = format!("{} {}", body["error"]["message"], body["error"]["hint"]);
            assert_eq!(found, status, "{what}: {body}");
            for word in words {
                assert!(message.contains(&word), "{what}: `{word}` is not in {message}");
            }
        }
        let (status, body) = pool.place(&json!({ "req": 7 })).await;
        assert_eq!((status, body["error"]["code"].as_str()), (400, Some("usage")), "{body}");
        // Nobody was disturbed: the order itself is taken.
        let (status, body) = pool.place(&pool.sign(req)).await;
        assert_eq!((status, body["tasks"].as_u64()), (202, Some(3)), "{body}");
        pool.running.stop().await;
    });
}

/// Frames that no worker should send, and what the scheduler says as it ends the session.
fn hostile(pool: &Pool, worker: &Worker) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let encoded = |message: &ToScheduler| {
        let mut bytes = Vec::new();
        wire::encode(message, &mut bytes);
        bytes
    };
    let framed = |body: &[u8]| {
        let len = u32::try_from(body.len()).unwrap().to_le_bytes();
        [len.as_slice(), body].concat()
    };
    let mut trailing = encoded(&ToScheduler::Slots(1))[4..].to_vec();
    trailing.push(0);
    let task = TaskKey { deal: DealSlot(7), idx: 0 };
    let commit = CommitItem { task, attempt: 0, commitment: B256::repeat_byte(1) };
    let hashes = [B256::repeat_byte(2)];
    let signature = frame::sign(&worker.vote_key, &pool.running.shared.separator, &hashes);
    let votes = |commits| ToScheduler::Votes(Votes { commits, reveals: Vec::new(), signature });
    let mut hello = Vec::new();
    wire::encode(&Open::Control(pool.hello(worker)), &mut hello);
    vec![
        ("oversized", vec![0xff; 64], "a frame was refused"),
        ("just too large", (64_u32 * 1024 + 1).to_le_bytes().to_vec(), "a frame was refused"),
        ("empty", vec![0; 4], "a frame was refused"),
        ("unknown", framed(&[0x7f, 1, 2, 3]), "a frame was refused"),
        ("malformed", framed(&[0; 40]), ""),
        ("trailing bytes", framed(&trailing), "a frame was refused"),
        ("a second hello", hello, ""),
        ("too many slots", encoded(&ToScheduler::Slots(1_025)), "slots: expected at most 1024"),
        ("votes for nothing", encoded(&votes(Vec::new())), "a frame was refused"),
        ("votes of no deal", encoded(&votes(vec![commit])), "names a deal nobody told of"),
    ]
}

#[test]
fn a_bad_frame_ends_its_session_and_no_other() {
    on_system(async {
        let data = tempfile::tempdir().unwrap();
        let pool = Pool::start(data.path()).await;
        let (honest, rude) = (pool.worker(1).await, pool.worker(2).await);
        assert_ne!(honest.index, rude.index);
        let mut bystander = pool.session(&honest).await;
        for (what, bytes, says) in hostile(&pool, &rude) {
            let mut line = pool.session(&rude).await;
            line.raw(&bytes).await;
            let reason = line.ended().await;
            assert!(!reason.is_empty() && reason.contains(says), "{what}: {reason}");
            assert!(bystander.is_alive().await, "{what} disturbed another session");
        }
        let mut line = pool.session(&rude).await;
        let mut whole = Vec::new();
        let gone = GaveUp {
            task: TaskKey { deal: DealSlot(7), idx: 0 },
            attempt: 0,
            reason: GiveUpReason::Leaving,
        };
        wire::encode(&ToScheduler::GaveUp(gone), &mut whole);
        line.raw(&whole[..whole.len() - 1]).await;
        line.finish();
        assert!(line.ended().await.contains("closed"), "a truncated frame");
        // A replica nobody gave it is no reason to part, and so is a stranger's silence.
        let mut line = pool.session(&rude).await;
        line.raw(&whole).await;
        assert!(line.is_alive().await && bystander.is_alive().await);
        for bytes in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0; 300]] {
            let mut stranger = pool.connect(&rude).await;
            stranger.raw(&bytes).await;
            assert!(!stranger.ended().await.is_empty());
        }
        wrong_hellos(&pool, &rude).await;
        other_versions(&pool, &rude).await;
        assert!(bystander.is_alive().await);
        pool.running.stop().await;
    });
}

/// A hello is refused for another pool, another version, and a binding somebody else made.
async fn wrong_hellos(pool: &Pool, worker: &Worker) {
    let hello = pool.hello(worker);
    let mut other_pool = hello.clone();
    other_pool.pool = PoolId(9);
    let mut other_version = hello.clone();
    other_version.version = 9;
    let mut unbound = hello.clone();
    unbound.vote_key = Address::repeat_byte(3);
    let mut loud = hello;
    loud.name = "x".repeat(65);
    let cases = [
        (other_pool, "another pool"),
        (other_version.clone(), "hello.version"),
        (unbound, "did not sign"),
        (loud, "hello.name"),
    ];
    for (hello, says) in cases {
        let mut line: Line = pool.connect(worker).await;
        line.say(&Open::Control(hello)).await;
        let reason = line.ended().await;
        assert!(reason.contains(says), "`{says}`: {reason}");
    }
}

/// A worker of another version is told what to do in words, whatever else its hello looks like.
async fn other_versions(pool: &Pool, worker: &Worker) {
    #[derive(serde::Serialize)]
    enum Old {
        Control { version: u16, pool: PoolId },
    }
    let old = |version| Old::Control { version, pool: PoolId(1) };
    let (older, newer) = (wire::VERSION - 1, wire::VERSION + 1);
    for (version, says) in [(older, "update the worker"), (newer, "update the scheduler")] {
        let mut line: Line = pool.connect(worker).await;
        line.say(&old(version)).await;
        let ToWorker::Goodbye(goodbye) = line.hear().await else { panic!("no goodbye") };
        assert!(goodbye.reason.contains(says), "{}", goodbye.reason);
        assert_eq!(goodbye.retry_ms, None, "it is not to come back as it is");
        let reason = line.ended().await;
        assert!(reason.contains(&format!("`hello.version` is {version}")), "{reason}");
    }
}

/// The scheduler's program on this data folder; its log once it serves or ends.
struct Program {
    child: Child,
    lines: Vec<String>,
    serves: bool,
}

impl Program {
    fn start(data: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_quorate-scheduler"))
            .arg("--data")
            .arg(data)
            .args(["--set", "http.listen=127.0.0.1:0", "--set", "quic.listen=127.0.0.1:0"])
            .arg("serve")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It says that it is open on standard output; before that, or never, it says why not.
        let mut out = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut out).unwrap();
        let serves = out.contains("is open");
        if serves {
            child.kill().unwrap();
        }
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let lines = stderr.lines().map(Result::unwrap).collect();
        child.wait().unwrap();
        Self { child, lines, serves }
    }

    fn says(&self, words: &[&str]) -> bool {
        self.lines.iter().any(|line| words.iter().all(|word| line.contains(word)))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
    }
}

/// A data folder with a history, and its only journal segment.
fn with_history() -> (tempfile::TempDir, PathBuf) {
    let data = tempfile::tempdir().unwrap();
    on_system(async {
        let pool = Pool::start(data.path()).await;
        for tasks in 1..4 {
            let (status, body) = pool.place(&pool.sign(pool.order(tasks).await)).await;
            assert_eq!(status, 202, "{body}");
        }
        pool.running.stop().await;
    });
    free(&data.path().join("journal"));
    let segments: Vec<PathBuf> = fs::read_dir(data.path().join("journal"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    assert_eq!(segments.len(), 1, "{segments:?}");
    let segment = segments[0].clone();
    (data, segment)
}

/// Waits until the threads of the scheduler that was here have let go of the journal.
pub(crate) fn free(journal: &Path) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = Journal::open(journal, Options::default()) {
        assert!(Instant::now() < deadline, "{error}");
        std::thread::yield_now();
    }
}

/// Where the journal's written part ends: the file is preallocated with zeros.
fn written(segment: &Path) -> usize {
    fs::read(segment).unwrap().iter().rposition(|byte| *byte != 0).unwrap() + 1
}

fn overwrite(segment: &Path, at: usize, bytes: &[u8]) {
    use std::io::Seek as _;
    let mut file = fs::OpenOptions::new().write(true).open(segment).unwrap();
    file.seek(std::io::SeekFrom::Start(at as u64)).unwrap();
    file.write_all(bytes).unwrap();
}

#[test]
fn a_torn_tail_is_cut_and_said_and_a_broken_middle_stops_the_start() {
    let (data, segment) = with_history();
    let name = segment.file_name().unwrap().to_str().unwrap().to_owned();
    // A tail: half a block that was being written when the lights went out.
    let end = written(&segment);
    overwrite(&segment, end.next_multiple_of(4096), &[0xab; 700]);
    let program = Program::start(data.path());
    assert!(program.serves, "{:#?}", program.lines);
    assert!(program.says(&["torn tail cut", &name]), "{:#?}", program.lines);
    // The middle: one bit, long ago.
    let at = end / 2;
    let byte = fs::read(&segment).unwrap()[at];
    overwrite(&segment, at, &[byte ^ 1]);
    let program = Program::start(data.path());
    assert!(!program.serves, "a damaged history was served");
    assert!(program.says(&["journal", &name, "offset"]), "{:#?}", program.lines);
    // Repaired, nothing was lost.
    overwrite(&segment, at, &[byte]);
    assert!(Program::start(data.path()).serves);
    on_system(async {
        let pool = Pool::start(data.path()).await;
        let list: Value = reqwest::get(pool.url("/v1/orders")).await.unwrap().json().await.unwrap();
        assert_eq!(list["orders"].as_array().unwrap().len(), 3, "{list}");
        assert!(!MODULE.is_empty());
        pool.running.stop().await;
    });
}

/// A dataset's bytes are for workers of deals that pay for it. `market/selling.rs` shows them getting it.
#[test]
fn a_dataset_is_not_for_strangers() {
    on_system(async {
        let dir = tempfile::tempdir().unwrap();
        let pool = Pool::start(dir.path()).await;
        let worker = pool.worker(1).await;
        let line = pool.session(&worker).await;
        let large = vec![7; 100_000];
        for bytes in [&b"a small one"[..], &large] {
            let digest = pool.put_as(bytes, "?guarded=true").await;
            assert_eq!(pool.statuses(digest).await, (403, 200));
            assert_eq!(line.get(digest, 0).await, Some(None), "it works for nobody who pays");
            // Whoever has the bytes may give them to everybody, and nobody can take them back.
            pool.put(bytes).await;
            pool.put_as(bytes, "?guarded=true").await;
            assert_eq!(pool.statuses(digest).await, (200, 200));
            let rest = line.get(digest, 5).await.flatten().unwrap();
            assert_eq!(rest, (bytes.len() as u64, bytes[5..].to_vec()));
            assert_eq!(line.get(digest, u64::MAX).await.flatten().unwrap().1, b"");
        }
    });
}
