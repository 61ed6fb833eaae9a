//! Python on strangers' machines: the separate programs on a real node (`QUORATE_ANVIL` names the binary)
//! with the real runtime pack (`QUORATE_PYTHON_PACK` names its folder, made by `deploy/packs/python/build`).
//! Without either the test says so and ends. A hundred tasks of a scikit-learn parameter search and a
//! hundred of a numpy Monte Carlo are ordered, voted on, paid, verified, and held against what native
//! CPython says (`deploy/apps/python/*.native.txt`).
//!
//! `QUORATE_PACK_CACHE` names a folder of compiled code that the volunteers begin with; without it each of
//! them compiles for ten minutes, and the test waits as long.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic and must be heard")]

#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/anvil.rs"]
mod anvil;
#[path = "market/home.rs"]
#[expect(dead_code, reason = "the other test uses the rest")]
mod home;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/operator.rs"]
mod operator;
#[path = "market/patience.rs"]
mod patience;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/requester.rs"]
mod requester;
#[path = "market/site.rs"]
mod site;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/volunteer.rs"]
mod volunteer;

use anvil::Anvil;
use operator::Operator;
use patience::until;
use requester::Requester;
use site::Site;
use std::{
    env, fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use volunteer::Volunteer;

const SETTINGS: [&str; 3] = ["batch.age_s=1", "batch.tasks=64", "pool.scheduler_ratio=10"];
const WORKERS: usize = 3;
const TASKS: usize = 100;
/// Last bits by which a mean of four thousand prices may be apart: native numpy sums, and takes
/// exponentials, with the vectors of its machine.
const LAST_BITS_MAX: u64 = 64;
/// Longest wait for a hundred tasks, pack, compilation and warming included.
const PATIENCE: Duration = Duration::from_secs(1_800);
/// A pack's bytes, about: what a volunteer must not fetch twice.
const PACK_BYTES: f64 = 140e6;

#[tokio::test]
async fn scripts_run_on_strangers_machines() {
    let Some(pack) = env::var_os("QUORATE_PYTHON_PACK") else {
        eprintln!("SKIPPED: QUORATE_PYTHON_PACK names no runtime pack");
        return;
    };
    let pack = PathBuf::from(pack).display().to_string();
    let site = Site::new();
    let Some(anvil) = Anvil::start(&site).await else { return };
    let mut operator = Operator::init(&site, &anvil, "operator", &SETTINGS).await;
    operator.serve().await;
    let invite = operator.invite().await;
    let mut volunteers: Vec<Volunteer> =
        (1..=WORKERS).map(|n| Volunteer::new(&site, &format!("volunteer-{n}"))).collect();
    for volunteer in &mut volunteers {
        volunteer.join(&operator, &invite, "1").await;
        give_compiled_code(volunteer.home.path());
        volunteer.start();
    }
    operator.has_workers(WORKERS).await;
    let requester = Requester::new(&site, &operator, "requester", &anvil.url).await;
    requester.run(&["wallet", "deposit", "10 QTT"]).await.expect(0);

    let refused = run(&requester, &pack, &["pi.py", "--with", "torch"]).await;
    refused.refused(2, &["--with torch: python 3.15.0 has no such package", "it has PIL, bs4"]);

    let pi = ["pi.py", "--array", "1-100", "--with", "numpy", "--trust", "3"];
    finish(&requester, &pack, &pi, "pi").await;

    let with = "numpy,sklearn.datasets,sklearn.model_selection,sklearn.svm";
    let lines = app("digits.txt").display().to_string();
    let digits = ["digits.py", "--each-line", &lines, "--with", with, "--trust", "50"];
    finish(&requester, &pack, &digits, "digits").await;
    // Which order brings a volunteer its first task is chance; that none fetches the pack twice is not.
    let packs = sent(&operator).await / PACK_BYTES;
    assert!((1.0..WORKERS as f64 + 0.1).contains(&packs), "{packs} packs were fetched");
    eprintln!("{WORKERS} volunteers fetched {packs:.2} packs for two orders");
    for folder in ["pi", "digits"] {
        requester.run(&["verify", folder]).await.expect(0);
    }
    assert!(compare(requester.home.path(), "pi") <= LAST_BITS_MAX);
    assert_eq!(compare(requester.home.path(), "digits"), 0, "accuracies are ratios of counts");
    for volunteer in &mut volunteers {
        assert_eq!(volunteer.end("TERM").await, 0);
    }
    assert_eq!(operator.end("INT").await, 0);
}

async fn run(requester: &Requester, pack: &str, args: &[&str]) -> home::Ran {
    let script = app(args[0]).display().to_string();
    let start = ["run", &script, "--pack", pack, "--time-limit", "10m"];
    requester.run(&[&start[..], &args[1..]].concat()).await
}

/// Orders, waits, and fetches the results into a folder. Not in one command: a busy machine takes longer
/// than a command is waited for.
async fn finish(requester: &Requester, pack: &str, args: &[&str], folder: &str) {
    let start = Instant::now();
    let placed = run(requester, pack, &[args, &["--detach"]].concat()).await.expect(0);
    let order = placed.out.trim();
    let show = ["order", "show", order, "--json"];
    let shown = until(&format!("{folder} to be done"), PATIENCE, async || {
        let shown = requester.run(&show).await.expect(0).json();
        (shown["phase"] == "done").then_some(shown)
    })
    .await;
    eprintln!("{folder}: {TASKS} tasks in {:?}", start.elapsed());
    assert_eq!((&shown["accepted"], &shown["dissents"]), (&TASKS.into(), &0.into()), "{shown}");
    let replicas = shown["replicas"].as_u64().unwrap();
    eprintln!("{folder}: {replicas} replicas, all of one mind");
    assert!(replicas > TASKS as u64, "some tasks had two votes, and no vote dissented: {shown}");
    requester.run(&["order", "results", order, "-o", folder]).await.expect(0);
}

/// Bytes the scheduler has sent to workers.
async fn sent(operator: &Operator) -> f64 {
    let metrics = operator.text("/metrics").await;
    let line = metrics
        .lines()
        .find(|line| line.starts_with("quorate_transfer_bytes_total") && line.contains("\"out\""));
    let line = line.unwrap_or_else(|| panic!("no such metric in {metrics}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Holds a folder's results against native CPython's lines. Words of the script's own making and whole
/// numbers are equal; returns the largest difference of a float, in units of its last bit.
fn compare(home: &Path, name: &str) -> u64 {
    let native = fs::read_to_string(app(&format!("{name}.native.txt"))).unwrap();
    let (mut different, mut most) = (0, 0);
    for (idx, native) in native.lines().enumerate() {
        let ours = fs::read_to_string(home.join(name).join(format!("results/{idx:05}/stdout")));
        let ours = ours.unwrap();
        let words = ours.split_whitespace().zip(native.split_whitespace());
        let apart: u64 = words.map(|(ours, native)| apart(ours, native)).max().unwrap();
        different += u32::from(apart > 0);
        most = most.max(apart);
    }
    eprintln!(
        "{name}: {different} of {TASKS} differ from native CPython, by {most} last bits at most"
    );
    most
}

/// How many last bits two floats of `float.hex` are apart; anything else must be equal.
fn apart(ours: &str, native: &str) -> u64 {
    let float = |text: &str| {
        let (mantissa, exponent) = text.strip_prefix("0x1.")?.split_once('p')?;
        Some((u64::from_str_radix(mantissa, 16).ok()?, exponent.to_owned()))
    };
    match (float(ours), float(native)) {
        (Some((a, e)), Some((b, f))) if e == f => a.abs_diff(b),
        _ => {
            assert_eq!(ours, native, "not a float's last bits");
            0
        }
    }
}

fn app(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/apps/python").join(name)
}

/// Copies compiled code and its key to where the worker keeps its own.
fn give_compiled_code(home: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(cache) = env::var_os("QUORATE_PACK_CACHE") else { return };
    let modules = home.join("worker/modules");
    fs::create_dir_all(&modules).unwrap();
    fs::set_permissions(&modules, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(cache).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), modules.join(entry.file_name())).unwrap();
    }
}
