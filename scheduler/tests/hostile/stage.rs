//! A data folder as it is before the play, and the scheduler's program on a copy of it.

use super::worker::Member;
use quorate_chain::keystore::Signer;
use quorate_common::{
    B256,
    api::{PlaceOrder, PoolInfo},
    bag::{Bag, Limits, SCHEMA, Task},
    digest::Digest,
    ids::PoolId,
    keys::{NodeKey, VoteKey, node_key_at, vote_key_at},
    messages::{Message as _, ReqOrder},
};
use quorate_scheduler::{
    dev::{self, DevChain},
    system::key_paths,
};
use serde_json::Value;
use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// What must come at all comes within this time, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// The program.
const SCHEDULER: &str = env!("CARGO_BIN_EXE_quorate-scheduler");
/// Token units the requester has.
const PURSE: u128 = 1_000_000_000_000_000_000;
/// Token units each worker stakes.
const STAKE: u128 = 100_000_000_000_000_000;
/// Not looked at by anybody here.
const MODULE: &[u8] = b"some module";
/// Batches close when they are full, and never by the clock.
pub(crate) const BATCH_TASKS: u32 = 4;

/// The cast: who has keys and money.
pub(crate) struct Cast {
    pub(crate) requester: Signer,
    pub(crate) members: Vec<Member>,
    pub(crate) pool: PoolId,
}

impl Cast {
    /// Registers everybody on `chain`, for the pool whose keys are in `data`.
    pub(crate) async fn register(chain: &DevChain, data: &Path, workers: u8) -> Self {
        let (node_path, signer_path) = key_paths(data);
        fs::create_dir_all(node_path.parent().unwrap()).unwrap();
        let node_key = node_key_at(&node_path).unwrap();
        let signer = vote_key_at(&signer_path).unwrap();
        let pool = chain.pool(signer.address(), node_key.public()).await.unwrap();
        let requester = dev::account(1);
        chain.fund(&requester, PURSE).await.unwrap();
        let mut members = Vec::new();
        for n in 1..=workers {
            let owner = dev::account(100 + u32::from(n));
            chain.fund(&owner, STAKE).await.unwrap();
            let node_key = NodeKey::from_bytes(&[n; 32]);
            let vote_key = VoteKey::from_bytes(&[n; 32]).unwrap();
            let index = chain.register_worker(&owner, &node_key, &vote_key).await.unwrap();
            chain.stake(&owner, pool, index, STAKE).await.unwrap();
            members.push(Member { node_key, vote_key, index });
        }
        // Whoever is first in this process sets it up for TLS, which reqwest insists on.
        drop(rustls::crypto::ring::default_provider().install_default());
        Self { requester, members, pool }
    }
}

/// A data folder with a chain in it, money, workers, and a scheduler that has been up once.
pub(crate) struct Template {
    dir: TempDir,
    pub(crate) cast: Cast,
}

impl Template {
    pub(crate) async fn make(workers: u8) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let chain = DevChain::start(Some(&dir.path().join("chain.log"))).await.unwrap();
        let cast = Cast::register(&chain, dir.path(), workers).await;
        drop(chain);
        let scheduler = Program::serve(dir.path(), &[], &[]).unwrap();
        scheduler.knows(&cast.members).await;
        scheduler.put(MODULE).await.unwrap();
        assert!(scheduler.end().success());
        Self { dir, cast }
    }

    /// A copy to play with.
    pub(crate) fn copy(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_dir(self.dir.path(), copy.path());
        copy
    }
}

/// Copies a folder, its sparse files sparse.
pub(crate) fn copy_dir(from: &Path, to: &Path) {
    let source = from.join(".");
    let args = ["-a", "--sparse=always", source.to_str().unwrap(), to.to_str().unwrap()];
    assert!(Command::new("cp").args(args).status().unwrap().success());
}

/// The one segment of a journal.
pub(crate) fn segment(data: &Path) -> PathBuf {
    let entries = fs::read_dir(data.join("journal")).unwrap().map(|entry| entry.unwrap().path());
    let mut logs = entries.filter(|path| path.extension().is_some_and(|kind| kind == "log"));
    let segment = logs.next().expect("a journal has a segment");
    assert_eq!(logs.next(), None, "everything here fits into one segment");
    segment
}

/// What became of an order.
pub(crate) struct Placed {
    pub(crate) hash: B256,
    pub(crate) text: String,
}

/// The scheduler's program, serving; killed when it is dropped.
pub(crate) struct Program {
    child: Mutex<Child>,
    pub(crate) pid: u32,
    data: PathBuf,
    pub(crate) url: String,
    pub(crate) quic: SocketAddr,
    http: reqwest::Client,
}

impl Program {
    /// Starts it in `data`, behind `wrapper` (a tracer, say); its exit status if it ends before its
    /// doors are open. What it says is in `data/said.log`, all its lives one after the other.
    pub(crate) fn serve(data: &Path, wrapper: &[&str], set: &[&str]) -> Result<Self, ExitStatus> {
        let log = File::options().append(true).create(true).open(said_at(data)).unwrap();
        let line = [wrapper, &[SCHEDULER, "--json"], &settings(data, set), &["serve"]].concat();
        let mut child = without_ours(line[0])
            .args(&line[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", line[0]));
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        if ready.is_empty() {
            return Err(child.wait().unwrap());
        }
        let ready: Value = serde_json::from_str(&ready).unwrap();
        let text = |key: &str| ready[key].as_str().unwrap().to_owned();
        let (url, quic) = (format!("http://{}", text("http")), text("quic").parse().unwrap());
        // A connection of a scheduler that died must not be used for the next one.
        let http = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        let (pid, child) = (child.id(), Mutex::new(child));
        Ok(Self { child, pid, data: data.into(), url, quic, http })
    }

    /// Ends it in good order.
    pub(crate) fn end(self) -> ExitStatus {
        let pid = self.pid.to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.ended()
    }

    /// How it ended, if it has. A dead program's connections only fall silent.
    pub(crate) fn has_ended(&self) -> Option<ExitStatus> {
        self.child.lock().unwrap().try_wait().unwrap()
    }

    /// Waits until it has ended by itself, or by what was done to it.
    pub(crate) fn ended(&self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.has_ended() {
                return status;
            }
            assert!(Instant::now() < deadline, "the scheduler does not end: {}", said(&self.data));
            std::thread::yield_now();
        }
    }

    /// What the API says.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, reqwest::Error> {
        let answer = self.http.get(format!("{}{path}", self.url)).send().await?;
        answer.json().await
    }

    /// What the API says, to the byte.
    pub(crate) async fn text(&self, path: &str) -> String {
        let answer = self.http.get(format!("{}{path}", self.url)).send().await.unwrap();
        answer.text().await.unwrap()
    }

    /// A blob, if it is there.
    pub(crate) async fn blob(&self, digest: Digest) -> Option<Vec<u8>> {
        let answer = self.http.get(format!("{}/v1/blobs/{digest}", self.url)).send().await.unwrap();
        if !answer.status().is_success() {
            return None;
        }
        Some(answer.bytes().await.unwrap().to_vec())
    }

    /// Brings a blob.
    pub(crate) async fn put(&self, bytes: &[u8]) -> Result<Digest, reqwest::Error> {
        let digest = Digest::of(bytes);
        let url = format!("{}/v1/blobs/{digest}", self.url);
        let answer = self.http.put(url).body(bytes.to_vec()).send().await?;
        answer.error_for_status()?;
        Ok(digest)
    }

    /// Places an order of so many tasks; equal ones for equal salts. Its id.
    pub(crate) async fn order(
        &self,
        requester: &Signer,
        tasks: u32,
        salt: u8,
    ) -> Result<B256, reqwest::Error> {
        let (status, placed) = self.place(requester, tasks, salt).await?;
        assert_eq!(status, 202, "{}", placed.text);
        Ok(placed.hash)
    }

    /// The same, whatever the answer.
    pub(crate) async fn place(
        &self,
        requester: &Signer,
        tasks: u32,
        salt: u8,
    ) -> Result<(u16, Placed), reqwest::Error> {
        let info: PoolInfo =
            self.http.get(format!("{}/v1/pool", self.url)).send().await?.json().await?;
        let app = self.put(MODULE).await?;
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
        let bag = self.put(&bag.to_bytes()).await?;
        // Far away and round, so that the same order asked for twice is the same order.
        let over = (info.unix_s / 1_000_000 + 2) * 1_000_000;
        let req = ReqOrder {
            requester: requester.address(),
            app: app.word(),
            params: bag.word(),
            pool_restrict: info.pool.restrict(),
            max_unit_price: info.unit_price.0,
            tasks,
            trust: 5,
            replicas: 15,
            max_task_time: 60,
            expiry: over,
            deadline: over,
            salt: B256::repeat_byte(salt),
            ..ReqOrder::default()
        };
        let hash = req.struct_hash();
        let signature = requester.sign(info.domain.separator().digest(hash));
        let place = PlaceOrder::alone(req, format!("0x{}", hex::encode(signature.to_bytes())));
        let answer = self.http.post(format!("{}/v1/orders", self.url)).json(&place).send().await?;
        Ok((answer.status().as_u16(), Placed { hash, text: answer.text().await? }))
    }

    /// Waits until it knows everybody's stake.
    pub(crate) async fn knows(&self, members: &[Member]) {
        self.until("every worker's stake", async || {
            let list = self.get("/v1/workers").await.unwrap();
            let rows = list["workers"].as_array().unwrap();
            let staked = rows.iter().filter(|row| row["stake"] != "0").count();
            (staked >= members.len()).then_some(())
        })
        .await;
    }

    /// Waits until the full batches of so many tasks are on chain.
    pub(crate) async fn batches_are_committed(&self, tasks: usize) {
        let full = tasks / BATCH_TASKS as usize;
        self.until("full batches to be on chain", async || {
            let list = self.get("/v1/batches").await.unwrap();
            let batches = list["batches"].as_array().unwrap();
            let there = batches.iter().filter(|batch| batch["state"] == "committed");
            (there.count() >= full).then_some(())
        })
        .await;
    }

    /// Looks until there is something, and returns it.
    pub(crate) async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "in vain for {what}: {}", said(&self.data));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may be gone already.
        let child = self.child.get_mut().unwrap();
        drop(child.kill());
        drop(child.wait());
    }
}

/// Runs another command of the program on a data folder; its output, if it went well.
pub(crate) fn command(data: &Path, set: &[&str], command: &str) -> Result<Value, String> {
    match words(data, set, &command.split(' ').collect::<Vec<_>>()) {
        (Some(0), out, _) => Ok(serde_json::from_str(&out).unwrap()),
        (_, _, said) => Err(said),
    }
}

/// The same: exit code, what it gave, what it said.
pub(crate) fn words(data: &Path, set: &[&str], command: &[&str]) -> (Option<i32>, String, String) {
    let line = [&settings(data, set)[..], &["--json"], command].concat();
    let done = without_ours(SCHEDULER).args(line).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (done.status.code(), text(done.stdout), text(done.stderr))
}

/// A program without the tests' own variables, which are no configuration keys.
fn without_ours(program: &str) -> Command {
    let mut command = Command::new(program);
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in names.filter(|name| name.starts_with("QUORATE_")) {
        command.env_remove(name);
    }
    command
}

fn settings<'a>(data: &'a Path, set: &[&'a str]) -> Vec<&'a str> {
    let own = [
        "http.listen=127.0.0.1:0",
        "quic.listen=127.0.0.1:0",
        "batch.age_s=86400",
        "log.format=json",
    ];
    let tasks = "batch.tasks=4";
    assert_eq!(tasks, format!("batch.tasks={BATCH_TASKS}"));
    let mut all = vec!["--data", data.to_str().unwrap()];
    for pair in own.iter().chain([&tasks]).chain(set) {
        all.extend(["--set", pair]);
    }
    all
}

fn said_at(data: &Path) -> PathBuf {
    data.join("said.log")
}

/// Everything the schedulers of a data folder said.
pub(crate) fn said(data: &Path) -> String {
    fs::read_to_string(said_at(data)).unwrap_or_default()
}
