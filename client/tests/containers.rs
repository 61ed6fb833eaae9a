//! Containers in the market: the separate programs on a real node (`QUORATE_ANVIL` names the binary) and a real
//! engine (`QUORATE_TEST_DOCKER` names its socket; `deploy/test` starts both). Three volunteers offer
//! containers and one does not; an application made for iExec and an image of its own are ordered, voted
//! on, settled and verified, and a dataset reaches the containers it is paid for. A program that prints the
//! clock is found out, told of, and costs nobody his stake; one that is sound is calibrated once.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic and must be heard")]

#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/anvil.rs"]
mod anvil;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/home.rs"]
mod home;
#[path = "../../worker/tests/support/image.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod image;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/operator.rs"]
mod operator;
#[path = "market/patience.rs"]
mod patience;
#[path = "../../worker/registry/tests/support/registry.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod registry;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/requester.rs"]
mod requester;
#[path = "market/site.rs"]
mod site;
#[expect(dead_code, reason = "the other test uses the rest")]
#[path = "market/volunteer.rs"]
mod volunteer;

use anvil::Anvil;
use image::{IEXEC_APP, archive};
use operator::Operator;
use patience::until;
use quorate_common::digest::Digest;
use registry::Registry;
use requester::Requester;
use serde_json::Value;
use site::Site;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use volunteer::Volunteer;

const SETTINGS: [&str; 3] = ["batch.age_s=1", "batch.tasks=64", "pool.scheduler_ratio=10"];
/// Volunteers with containers; one more has none.
const WITH: usize = 3;
const TASKS: u64 = 6;
/// Longest wait for an order: a container takes a second, and the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(180);

/// The pool, its volunteers, and who orders.
struct Market {
    operator: Operator,
    volunteers: Vec<Volunteer>,
    requester: Requester,
    owner: Requester,
}

impl Market {
    async fn open(site: &Site, anvil: &Anvil, socket: &str, registry: &Registry) -> Self {
        let mut operator = Operator::init(site, anvil, "operator", &SETTINGS).await;
        operator.serve().await;
        let invite = operator.invite().await;
        let mut volunteers = Vec::new();
        for n in 0..=WITH {
            let mut volunteer = Volunteer::new(site, &format!("volunteer-{n}"));
            volunteer.join(&operator, &invite, "1").await;
            if n < WITH {
                let home = volunteer.home.clone();
                let home = home.with("QUORATE_DOCKER__USE", "require");
                let home = home.with("QUORATE_DOCKER__SOCKET", socket);
                let listed = format!("http://{}", registry.name);
                volunteer.home = home.with("QUORATE_DOCKER__REGISTRIES", &listed);
            }
            volunteer.start();
            volunteers.push(volunteer);
        }
        operator.has_workers(WITH + 1).await;
        let requester = Requester::new(site, &operator, "requester", &anvil.url).await;
        requester.run(&["wallet", "deposit", "10 QTT"]).await.expect(0);
        let owner = Requester::new(site, &operator, "owner", &anvil.url).await;
        Self { operator, volunteers, requester, owner }
    }

    /// Orders, waits until all is over, and fetches the results into a folder.
    async fn finish(&self, args: &[&str], folder: &str) -> Value {
        self.finish_at("3", args, folder).await
    }

    async fn finish_at(&self, trust: &str, args: &[&str], folder: &str) -> Value {
        let limits = ["--trust", trust, "--time-limit", "2m", "--detach"];
        let placed = self.requester.run(&[&["run"], &limits[..], args].concat()).await.expect(0);
        let order = placed.out.trim();
        let shown = until(&format!("{folder} to be done"), PATIENCE, async || {
            let shown = self.requester.run(&["order", "show", order, "--json"]).await;
            let shown = shown.expect(0).json();
            (shown["phase"] == "done").then_some(shown)
        })
        .await;
        assert_eq!((&shown["accepted"], &shown["dissents"]), (&TASKS.into(), &0.into()), "{shown}");
        self.requester.run(&["order", "results", order, "-o", folder]).await.expect(0);
        self.requester.run(&["verify", folder]).await.expect(0);
        shown
    }

    /// What each worker has earned, by its number and node key.
    async fn earned(&self) -> Vec<(u64, String, String)> {
        let workers = self.operator.get("/v1/workers").await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let row = |row: &Value| {
            (row["worker"].as_u64().unwrap(), text(&row["node_key"]), text(&row["earned"]))
        };
        workers["workers"].as_array().unwrap().iter().map(row).collect()
    }

    /// A result's file.
    fn result(&self, folder: &str, task: u64, name: &str) -> String {
        let task = self.requester.home.path().join(folder).join(format!("results/{task:05}"));
        fs::read_to_string(task.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

#[tokio::test]
async fn containers_run_on_strangers_machines() {
    let Ok(socket) = std::env::var("QUORATE_TEST_DOCKER") else {
        assert!(std::env::var_os("CI").is_none(), "QUORATE_TEST_DOCKER names no engine");
        eprintln!("NOT TESTED: QUORATE_TEST_DOCKER names no engine; deploy/test starts one");
        return;
    };
    let site = Site::new();
    let Some(anvil) = Anvil::start(&site).await else { return };
    let shelf = tempfile::tempdir().unwrap();
    let Some(registry) = Registry::start(shelf.path()) else { return };
    let mut market = Market::open(&site, &anvil, &socket, &registry).await;
    what_is_no_image_is_refused_before_it_is_paid(&market.requester).await;
    iexec_applications_run_unchanged(&market).await;
    a_dataset_reaches_the_containers_it_is_paid_for(&market).await;
    images_run(&market).await;
    images_come_from_registries(&market, &registry).await;
    sealed_inputs_are_for_their_readers(&market).await;
    what_disagrees_with_itself_is_told_of_and_costs_nobody(&market).await;
    for volunteer in &mut market.volunteers {
        assert_eq!(volunteer.end("TERM").await, 0);
    }
    assert_eq!(market.operator.end("INT").await, 0);
}

async fn what_is_no_image_is_refused_before_it_is_paid(requester: &Requester) {
    requester.home.file("no.tar", "no image");
    let ran = requester.run(&["run", "no.tar", "--docker", "--", "1"]).await;
    ran.refused(2, &["no.tar is not an image for workers", "docker save"]);
}

async fn iexec_applications_run_unchanged(market: &Market) {
    let command = ["/bin/busybox", "sh", "-c", IEXEC_APP, "app"];
    fs::write(market.requester.home.path().join("words.tar"), archive(&command)).unwrap();
    market.requester.home.file("in.txt", "one two three\n");
    let run = ["words.tar", "--iexec", "-i", "in.txt", "--array", "1-6"];
    let run = [&run[..], &["--", "number {task.index}"]].concat();
    market.finish(&run, "words").await;
    for task in 0..TASKS {
        let said = market.result("words", task, "files/result.txt");
        assert!(said.starts_with(&format!("task {task} of {TASKS}: 3 words, number")), "{said}");
    }
}

async fn a_dataset_reaches_the_containers_it_is_paid_for(market: &Market) {
    market.owner.home.file("table.txt", "a table of some words\n");
    let offer = ["offer", "dataset", "table.txt", "--price", "0.0002", "--tasks", "100"];
    let offer = [&offer[..], &["--upload", "-o", "data.json"]].concat();
    market.owner.run(&offer).await.expect(0);
    let data = market.owner.home.path().join("data.json").display().to_string();
    let run = ["words.tar", "--iexec", "--dataset-order", &data, "--array", "1-6", "--", "x"];
    market.finish(&run, "paid").await;
    assert_eq!(
        market.result("paid", 0, "files/result.txt"),
        format!("task 0 of {TASKS}: 5 words, x\n")
    );
}

async fn images_run(market: &Market) {
    let command = ["/bin/busybox", "sh", "-c", "cat /in/in.txt > /out/copy; echo said $1", "app"];
    fs::write(market.requester.home.path().join("copy.tar"), archive(&command)).unwrap();
    let run = ["copy.tar", "--docker", "-i", "in.txt", "--array", "1-6", "--", "{task.index}"];
    let first = market.finish(&run, "copies").await;
    assert_eq!(market.result("copies", 3, "files/copy"), "one two three\n");
    assert!(market.result("copies", 3, "stdout").starts_with("said "));
    // Four tasks of three workers prove a program; the next order of it needs no more than PoCo does.
    let again = market.finish(&run, "again").await;
    let replicas = [first, again].map(|shown| shown["replicas"].as_u64().unwrap());
    assert!(replicas[0] >= 14 && replicas[1] <= 12, "{replicas:?}");
}

/// What a tag stands for when the order is signed is what runs, and what nobody could run is refused before.
async fn images_come_from_registries(market: &Market, registry: &Registry) {
    let command = ["/bin/busybox", "sh", "-c", "cat /in/in.txt > /out/copy; echo again", "app"];
    let (config, layer) = image::parts(&command);
    let layers = std::slice::from_ref(&layer);
    let digest = registry.push("team/copy", "1", &config, layers).await;
    let name = format!("{}/team/copy:1", registry.name);
    let run = [&name, "--docker", "-i", "in.txt", "--array", "1-6"];
    let plan = market.requester.run(&[&["run", "--dry-run"], &run[..]].concat()).await.expect(0);
    let signed = format!("image {}/team/copy@sha256:{digest} for linux/", registry.name);
    assert!(plan.err.contains(&signed), "{}", plan.err);
    market.finish(&run, "fetched").await;
    assert_eq!(market.result("fetched", 5, "files/copy"), "one two three\n");
    let other = String::from_utf8(config).unwrap().replace("amd64", "s390x");
    registry.push("team/other", "1", other.as_bytes(), layers).await;
    let refused = async |image: &str, code: i32, expected: &str| {
        let image = format!("{}/team/{image}", registry.name);
        let ran = market.requester.run(&["run", &image, "--docker", "--", "1"]).await;
        ran.refused(code, &[expected]);
    };
    refused("other:1", 2, "is not an image for workers: it is for linux/s390x").await;
    refused("copy:2", 3, "manifest 2 of team/copy is not there").await;
    refused(&format!("copy@sha256:{}", Digest::of(b"no")), 3, "is not there").await;
}

/// Two of the three that run containers are named: by number, whose keys the contract confirms, and in a file.
async fn sealed_inputs_are_for_their_readers(market: &Market) {
    const SECRET: &str = "what only two of the volunteers may read";
    let script = "/bin/busybox sha256sum < /in/secret.txt > /out/sum";
    let command = ["/bin/busybox", "sh", "-c", script];
    fs::write(market.requester.home.path().join("sum.tar"), archive(&command)).unwrap();
    market.requester.home.file("secret.txt", SECRET);
    let before = market.earned().await;
    let readers = [&before[0], &before[1]];
    let numbers = format!("{},{}", readers[0].0, readers[1].0);
    market.requester.home.file("keys.txt", format!("{}\n{} # two\n", readers[0].1, readers[1].1));
    for (to, folder) in [(numbers.as_str(), "sealed"), ("keys.txt", "sealed-too")] {
        let run = ["sum.tar", "--docker", "-i", "secret.txt", "--encrypt-to", to];
        let run = [&run[..], &["--array", "1-6", "--", "{task.index}"]].concat();
        market.finish_at("1", &run, folder).await;
        let sum = market.result(folder, 5, "files/sum");
        assert_eq!(sum.trim_end(), format!("{}  -", Digest::of(SECRET.as_bytes())));
    }
    let after = market.earned().await;
    let same = |at: usize| before[at].2 == after[at].2;
    assert!(!same(0) || !same(1), "its readers worked: {after:?}");
    assert!(same(2) && same(3), "nobody else was asked: {before:?}, {after:?}");
    let found = holders(market.operator.home.path(), SECRET.as_bytes());
    assert!(found.is_empty(), "the scheduler has it in the clear: {found:?}");
    let found = holders(market.requester.home.path(), SECRET.as_bytes());
    assert_eq!(found.len(), 1, "the search finds what is there: {found:?}");
    let wrong = ["run", "sum.tar", "--docker", "-i", "secret.txt", "--encrypt-to", "77", "--", "x"];
    market.requester.run(&wrong).await.refused(3, &["no worker 77 here"]);
}

/// Files below a folder that hold these bytes.
fn holders(folder: &Path, bytes: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(holders(&path, bytes));
        } else if fs::read(&path).is_ok_and(|read| read.windows(bytes.len()).any(|at| at == bytes))
        {
            found.push(path);
        }
    }
    found
}

async fn what_disagrees_with_itself_is_told_of_and_costs_nobody(market: &Market) {
    let script = "echo same > /out/a; head -c 9 /dev/urandom > /out/noise; echo same > /out/z";
    let command = ["/bin/busybox", "sh", "-c", script];
    fs::write(market.requester.home.path().join("clock.tar"), archive(&command)).unwrap();
    let run = ["run", "clock.tar", "--docker", "--array", "1-50", "-o", "clock"];
    let run = [&run[..], &["--trust", "3", "--time-limit", "2m", "--", "{task.index}"]].concat();
    let told = ["disagrees with itself: task ", "differ first in file noise: 9 bytes, sha256 "];
    market.requester.run(&run).await.refused(10, &told);
    let order = market.requester.newest().await;
    let shown = until("the order to be done", PATIENCE, async || {
        let shown = market.requester.run(&["order", "show", &order, "--json"]).await;
        let shown = shown.expect(0).json();
        (shown["phase"] == "done").then_some(shown)
    })
    .await;
    assert_eq!((&shown["settled"], &shown["accepted"]), (&50.into(), &0.into()), "{shown}");
    assert!(shown["replicas"].as_u64().unwrap() <= 6, "two tasks of three workers: {shown}");
    assert_eq!(shown["disagreement"]["first"]["name"], "file noise", "{shown}");
    assert_eq!((&shown["spent"], &shown["dissents"]), (&"0".into(), &0.into()), "{shown}");
    let explained = market.requester.run(&["order", "explain", &order]).await.expect(0);
    assert!(explained.out.contains("differ first in file noise"), "{}", explained.out);
    let workers = market.operator.get("/v1/workers").await;
    let workers = workers["workers"].as_array().unwrap();
    assert_eq!(workers.len(), WITH + 1);
    assert!(workers.iter().all(|worker| worker["slashed"] == "0"), "{workers:?}");
}
