//! `quorate order results`: what is fetched, resumed and refused.

use crate::{
    http::{Answer, Request, Server},
    program::{Home, ran},
    world::{Ballots::*, World, Wrote, domain},
};
use quorate_client::place;
use quorate_common::{
    Address, B256,
    api::{
        Amount, BatchList, BatchView, OrderPhase, OrderView, PlaceOrder, PoolInfo, TaskEvent,
        TaskPage, TaskPhase, TaskView,
    },
    bag::Bag,
    digest::Digest,
    ids::PoolId,
    messages::Message as _,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Stdio,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// A scheduler that takes an order, has three honest workers, and seals in one batch.
#[derive(Default)]
struct Scheduler {
    blobs: Mutex<BTreeMap<Digest, Vec<u8>>>,
    world: Mutex<Option<World>>,
    /// Tasks whose workers never agree.
    fails: BTreeSet<u32>,
    /// Receipts asked for before the batch is sealed.
    early: AtomicUsize,
    /// How many times the event stream breaks off first.
    breaks: AtomicUsize,
    /// Sends other bytes for every blob.
    lies: AtomicBool,
    /// Never finishes.
    slow: bool,
}

impl Scheduler {
    fn start(self) -> (Server, &'static Self) {
        let this: &'static Self = Box::leak(Box::new(self));
        (Server::start(|request| this.answer(request)), this)
    }

    fn answer(&self, request: &Request) -> Answer {
        let path: Vec<&str> =
            request.path.split('?').next().unwrap().trim_matches('/').split('/').collect();
        match (request.method.as_str(), &path[1..]) {
            ("GET", ["pool"]) => Answer::json(&pool()),
            ("PUT", ["blobs", digest]) => {
                assert_eq!(Digest::of(&request.body).to_string(), *digest);
                self.blobs.lock().unwrap().insert(digest.parse().unwrap(), request.body.clone());
                Answer::Whole(201, vec![])
            }
            ("HEAD" | "GET", ["blobs", digest]) => self.blob(digest.parse().unwrap()),
            ("POST", ["orders"]) => self.place(serde_json::from_slice(&request.body).unwrap()),
            ("GET", ["batches"]) => Answer::json(&self.batches()),
            ("GET", ["orders", order, rest @ ..]) => self.order(order.parse().unwrap(), rest),
            _ => Answer::refusal(404, "not_found", false),
        }
    }

    fn blob(&self, digest: Digest) -> Answer {
        match self.blobs.lock().unwrap().get(&digest) {
            Some(_) if self.lies.load(Ordering::Relaxed) => Answer::Whole(200, b"a lie".to_vec()),
            Some(bytes) => Answer::Whole(200, bytes.clone()),
            None => Answer::refusal(404, "not_found", false),
        }
    }

    fn place(&self, placed: PlaceOrder) -> Answer {
        assert!(place::is_signed(&placed.req, &placed.signature, &domain()), "signed");
        let bag = self.blobs.lock().unwrap()[&Digest::from(placed.req.params)].clone();
        let tasks = Bag::parse(&bag).unwrap().tasks;
        let wrote = |task: &quorate_common::bag::Task| Wrote {
            stdout: Box::leak(format!("did {}\n", task.args.join(" ")).into_boxed_str()),
            files: vec![("deep/file", "x")],
        };
        let wrote: Vec<Wrote> = tasks.iter().map(wrote).collect();
        self.blobs.lock().unwrap().extend(wrote.iter().flat_map(Wrote::blobs));
        let mut world = World::of(placed, bag, wrote);
        for idx in 0..world.placed.req.tasks {
            let ballots =
                if self.fails.contains(&idx) { [Honest, Liar, Mute] } else { [Honest; 3] };
            world.settle(idx, &ballots);
        }
        world.close();
        let view = self.view(&world, OrderPhase::Opening);
        *self.world.lock().unwrap() = Some(world);
        Answer::json(&view)
    }

    fn order(&self, order: B256, rest: &[&str]) -> Answer {
        let world = self.world.lock().unwrap();
        let Some(world) = world.as_ref().filter(|world| world.order() == order) else {
            return Answer::refusal(404, "not_found", false);
        };
        let now = if self.slow { OrderPhase::Running } else { OrderPhase::Done };
        match rest {
            [] if self.breaks.load(Ordering::Relaxed) > 0 => {
                Answer::json(&self.view(world, OrderPhase::Running))
            }
            [] => Answer::json(&self.view(world, now)),
            ["events"] => self.events(world),
            ["tasks"] => Answer::json(&self.tasks(world)),
            ["tasks", _, "receipt"] if take(&self.early) => Answer::refusal(409, "conflict", true),
            ["tasks", idx, "receipt"] => {
                let receipt = &world.receipts()[&idx.parse().unwrap()];
                Answer::Whole(200, receipt.to_json().into_bytes())
            }
            _ => Answer::refusal(404, "not_found", false),
        }
    }

    fn events(&self, world: &World) -> Answer {
        let event = |name: &str, data: String| format!("event: {name}\ndata: {data}\n\n");
        let order =
            |phase| event("order", serde_json::to_string(&self.view(world, phase)).unwrap());
        let text = order(OrderPhase::Running);
        if self.slow {
            return Answer::Stream(text);
        }
        if take(&self.breaks) {
            return Answer::Broken(format!("{text}event: task\ndata: {{"));
        }
        let phase = TaskPhase::Consensus;
        let task = TaskEvent {
            idx: 0,
            phase,
            result: None,
            replicas: 3,
            dissents: 0,
            settled: 1,
            age_ms: 5,
        };
        let task = event("task", serde_json::to_string(&task).unwrap());
        Answer::Stream(format!("{text}: still here\n\n{task}{}", order(OrderPhase::Done)))
    }

    fn tasks(&self, world: &World) -> TaskPage {
        let task = |idx: u32| {
            let failed = self.fails.contains(&idx);
            let digest = Digest(world.wrote[idx as usize].manifest().digest());
            TaskView {
                idx,
                phase: if failed { TaskPhase::NoQuorum } else { TaskPhase::Consensus },
                result: (!failed).then_some(digest),
                replicas: 3,
                batch: Some(1),
            }
        };
        let tasks = (0..world.placed.req.tasks).map(task).collect();
        TaskPage { schema: "quorate.tasks/v1".into(), tasks, next: None }
    }

    fn batches(&self) -> BatchList {
        let world = self.world.lock().unwrap();
        let headers = world.as_ref().map(World::headers).unwrap_or_default();
        let view = |header: quorate_common::messages::Header| BatchView {
            index: header.index,
            hash: header.struct_hash(),
            state: "committed".into(),
            header,
        };
        let batches = headers.into_iter().map(view).collect();
        BatchList { schema: "quorate.batches/v1".into(), batches }
    }

    fn view(&self, world: &World, phase: OrderPhase) -> OrderView {
        let req = &world.placed.req;
        let done = if phase == OrderPhase::Done { req.tasks } else { 0 };
        let failed = u32::try_from(self.fails.len()).unwrap();
        OrderView {
            disagreement: None,
            schema: "quorate.order/v1".into(),
            order: world.order(),
            phase,
            reason: None,
            deal: None,
            requester: req.requester,
            payer: None,
            app: Digest::from(req.app),
            bag: Digest::from(req.params),
            tasks: req.tasks,
            settled: done,
            accepted: done.saturating_sub(failed),
            replicas: 3 * u64::from(done),
            dissents: 0,
            trust: req.trust,
            unit_price: pool().unit_price,
            app_price: Amount(0),
            dataset_price: Amount(0),
            spent: Amount(0),
            refunded: Amount(0),
            deals: vec![],
            deadline: req.deadline,
            placed_unix_ms: 1,
            req: req.clone(),
        }
    }
}

/// Whether one is left, taking it.
fn take(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

fn pool() -> PoolInfo {
    PoolInfo {
        schema: "quorate.pool/v1".into(),
        pool: PoolId(1),
        domain: domain(),
        token: Address::ZERO,
        signer: Address::ZERO,
        node_key: B256::ZERO,
        quic: "127.0.0.1:1".into(),
        unit_price: Amount(10_u128.pow(18)),
        trust_max: 1_000,
        stake_ratio: 30,
        scheduler_ratio: 10,
        max_task_time: 600,
        unix_s: 1_900_000_000,
        version: "0".into(),
    }
}

/// A home with a wallet, a module and three lines.
fn home(server: &Server) -> (Home, [(&'static str, String); 2]) {
    let home = Home::new();
    let env = [("QUORATE_API", server.url.clone()), ("QUORATE_PASSWORD", "a long password".into())];
    let mut command = home.command(&["wallet", "new", "-q"]);
    ran(command.envs(env.iter().cloned()).output().unwrap()).expect(0);
    fs::write(home.path().join("app.wasm"), MODULE).unwrap();
    fs::write(home.path().join("in.txt"), "2\n3\n\n5\n").unwrap();
    (home, env)
}

fn run(home: &Home, env: &[(&'static str, String); 2], args: &[&str]) -> crate::program::Ran {
    ran(home.command(args).envs(env.iter().cloned()).output().unwrap())
}

/// `(module (func (export "_start")))`.
const MODULE: &str = "\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0\x0a\x04\x01\x02\0\x0b";

const RUN: [&str; 8] =
    ["run", "app.wasm", "--each-line", "in.txt", "--trust", "2", "--max-price", "1.5"];

#[test]
fn a_run_leaves_a_folder_that_verifies() {
    let scheduler = Scheduler { early: 2.into(), breaks: 2.into(), ..Scheduler::default() };
    let (server, _) = scheduler.start();
    let (home, env) = home(&server);
    let ran = run(&home, &env, &[&RUN[..], &["-o", "out", "--name", "primes"]].concat()).expect(0);
    assert!(ran.stdout.contains("3 verified") && ran.stdout.contains("3 in out"), "{ran:?}");
    assert!(ran.stderr.contains("100%  3/3"), "{ran:?}");
    assert!(ran.stderr.contains("trying again"), "the stream broke: {ran:?}");
    assert!(ran.stderr.contains("waiting for the scheduler to seal"), "{ran:?}");
    let out = home.path().join("out");
    assert_eq!(fs::read_to_string(out.join("results/00002/stdout")).unwrap(), "did 5\n");
    assert_eq!(fs::read_to_string(out.join("results/00002/files/deep/file")).unwrap(), "x");
    assert!(!out.join(".partial").exists());
    let verified = run(&home, &env, &["verify", "out", "--json"]).expect(0).json();
    assert_eq!(
        (&verified["receipts"], &verified["batches"][0]["state"]),
        (&3.into(), &"committed".into())
    );

    let list = run(&home, &env, &["order", "ls"]).expect(0);
    assert!(list.stdout.contains("primes  done   3      3"), "{list:?}");
    let id = list.stdout.lines().nth(1).unwrap().split(' ').next().unwrap().to_owned();

    // What is broken or gone is fetched again, and nothing else.
    fs::write(out.join("results/00001/stdout"), "did 4\n").unwrap();
    fs::remove_file(out.join("receipts/00000.json")).unwrap();
    fs::write(out.join("receipts/00002.json"), "{}").unwrap();
    run(&home, &env, &["verify", "out"]).expect(10);
    let (blobs, receipts) = (server.times("GET /v1/blobs"), server.times("GET /v1/orders/0x"));
    let fetched =
        run(&home, &env, &["order", "results", &id, "-o", "out", "--json"]).expect(0).json();
    assert_eq!(fetched["results"]["new_results"], 1);
    assert_eq!(server.times("GET /v1/blobs"), blobs + 1);
    // The order, its tasks, and two receipts.
    assert_eq!(server.times("GET /v1/orders/0x"), receipts + 4);
    run(&home, &env, &["verify", "out"]).expect(0);

    let receipt = run(&home, &env, &["order", "receipt", &id, "1"]).expect(0);
    assert_eq!(
        receipt.stdout.trim_end(),
        fs::read_to_string(out.join("receipts/00001.json")).unwrap()
    );
    let explained = run(&home, &env, &["order", "explain", &id, "1"]).expect(0);
    assert!(explained.stdout.contains("GROUP/TOTAL"), "{explained:?}");
    let shown = run(&home, &env, &["order", "show", &id, "--tasks", "--json"]).expect(0).json();
    assert_eq!((&shown["phase"], &shown["task_list"][2]["idx"]), (&"done".into(), &2.into()));
    // A folder is of one order.
    let again = run(&home, &env, &[&RUN[..], &["-o", "out"]].concat()).expect(8);
    assert!(again.stderr.contains("holds another order"), "{again:?}");
}

#[test]
fn another_machine_fetches_by_the_whole_id() {
    let (server, _) = Scheduler::default().start();
    let (home, env) = home(&server);
    let order = run(&home, &env, &[&RUN[..], &["--detach", "-q"]].concat()).expect(0).stdout;
    let other = Home::new();
    let env = [("QUORATE_API", server.url.as_str())];
    other.run_with(&env, &["order", "results", &order[..12], "-o", "out"]).expect(3);
    other.run_with(&env, &["order", "results", order.trim(), "-o", "out"]).expect(0);
    other.run(&["verify", "out"]).expect(0);
    let text = fs::read_to_string(other.path().join("out/order.json")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&document["signature"], &document["req"]["tasks"]), (&Value::Null, &3.into()));
}

#[test]
fn failed_tasks_end_with_ten_and_are_proven_too() {
    let scheduler = Scheduler { fails: BTreeSet::from([1]), ..Scheduler::default() };
    let (server, _) = scheduler.start();
    let (home, env) = home(&server);
    let ran = run(&home, &env, &[&RUN[..], &["-o", "out", "--json"]].concat()).expect(10);
    assert_eq!(
        (&ran.json()["verified"], &ran.json()["results"]["failed"]),
        (&true.into(), &1.into())
    );
    assert!(ran.error()["message"].as_str().unwrap().starts_with("1 of 3 tasks failed"), "{ran:?}");
    let verified = run(&home, &env, &["verify", "out", "--json"]).expect(0).json();
    assert_eq!((&verified["accepted"], &verified["failed"]), (&2.into(), &1.into()));
    assert!(!home.path().join("out/results/00001").exists());
}

#[test]
fn one_task_prints_its_output() {
    let (server, _) = Scheduler::default().start();
    let (home, env) = home(&server);
    let ran = run(&home, &env, &["run", "app.wasm", "--trust", "2", "--", "a", "b c"]).expect(0);
    assert_eq!(ran.stdout, "did a b c\n");
    let ran = run(
        &home,
        &env,
        &["run", "app.wasm", "--trust", "2", "--exit-status", "--json", "--", "a"],
    );
    assert_eq!(ran.expect(0).json()["order"]["tasks"], 1);
}

#[test]
fn other_bytes_than_voted_for_are_not_kept() {
    let (server, scheduler) = Scheduler::default().start();
    let (home, env) = home(&server);
    let order = run(&home, &env, &[&RUN[..], &["--detach", "-q"]].concat()).expect(0).stdout;
    scheduler.lies.store(true, Ordering::Relaxed);
    let fetch = ["order", "results", order.trim(), "-o", "out"];
    let ran = run(&home, &env, &fetch).expect(10);
    assert!(ran.stderr.contains("expected"), "{ran:?}");
    assert!(!home.path().join("out/bag.json").exists());
    scheduler.lies.store(false, Ordering::Relaxed);
    run(&home, &env, &fetch).expect(0);
    run(&home, &env, &["verify", "out"]).expect(0);
}

#[test]
fn what_cannot_be_ordered_is_refused_before_anything_is_uploaded() {
    let (server, _) = Scheduler::default().start();
    let (home, env) = home(&server);
    for (args, code, expected) in [
        (&["--max-price", "0.5"][..], 7, "--max-price is 500000000000000000 units (0.5 QTT)"),
        (&["--trust", "2000"], 2, "--trust is 2000; expected at most the pool's 1000"),
        (&["--time-limit", "2h"], 2, "--time-limit is 7200s; expected 1s to the pool's 600s"),
        (&["--deadline", "400d"], 2, "--deadline is"),
        (&["--set", "chain.id=1"], 8, "chain.id 31337; expected the configured 1"),
        (&["--wallet", "other"], 3, "no wallet `other`; there are: default"),
        (&["--chain-url", "http://127.0.0.1:1"], 9, "did not answer"),
    ] {
        let ran = run(&home, &env, &[&["run", "app.wasm"][..], args].concat()).expect(code);
        assert!(ran.stderr.contains(expected), "{args:?}: {ran:?}");
    }
    let plan = run(&home, &env, &[&RUN[..], &["--dry-run", "--json"]].concat()).expect(0).json();
    assert_eq!((&plan["tasks"], &plan["cost"]), (&3.into(), &"3000000000000000000".into()));
    assert_eq!(server.times("PUT") + server.times("POST"), 0);
}

#[test]
fn events_are_lines_of_json() {
    let (server, _) = Scheduler { breaks: 1.into(), ..Scheduler::default() }.start();
    let (home, env) = home(&server);
    let order = run(&home, &env, &[&RUN[..], &["--detach", "-q"]].concat()).expect(0).stdout;
    let ran = run(&home, &env, &["order", "watch", order.trim(), "--json"]).expect(0);
    let events: Vec<Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.last().unwrap()["order"]["phase"], "done");
    assert!(
        events.iter().any(|event| event["type"] == "task" && event["task"]["replicas"] == 3),
        "{events:?}"
    );
    assert!(events.iter().all(|event| event["schema"] == "quorate.event/v1"));
}

#[test]
fn an_interrupted_run_says_that_the_order_goes_on() {
    for (signal, code, word) in [("INT", 130, "interrupted"), ("TERM", 143, "terminated")] {
        let (server, _) = Scheduler { slow: true, ..Scheduler::default() }.start();
        let (home, env) = home(&server);
        let mut command = home.command(&[&RUN[..], &["--json"]].concat());
        command.envs(env.iter().cloned()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        // The program follows once it asks for events.
        server.wait_for("GET /v1/orders/");
        let mut kill = std::process::Command::new("kill");
        kill.arg(format!("-{signal}")).arg(child.id().to_string());
        assert!(kill.status().unwrap().success());
        let ran = ran(child.wait_with_output().unwrap()).expect(code);
        assert_eq!(ran.error()["code"], word);
        assert!(ran.error()["message"].as_str().unwrap().ends_with("the order goes on"), "{ran:?}");
        assert!(
            ran.error()["hint"].as_str().unwrap().starts_with("quorate order watch "),
            "{ran:?}"
        );
    }
}
