//! A real worker with the real engine, over a real socket, against a scheduler spoken by hand: the
//! whole life of a replica, hostile frames, lost lines, restarts at the worst moment.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/scheduler.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod scheduler;

use quorate_agent::{LinkView, StageName};
use quorate_common::{
    Address,
    bag::{Bag, InputFile, Task},
    digest::Digest,
    ids::TaskKey,
    keys::{NodeKey, VoteKey},
    manifest::{Ended, Manifest},
    messages::Domain,
    wire::{
        CommitAckItem, Duties, FRAME_BYTES_MAX, GaveUp, GiveUpReason, Goodbye, ToScheduler,
        ToWorker, Welcome,
    },
};
use quorate_worker::{
    EngineRunner, JobSpec, Program, Runner, Status, Whim, WorkerHandle, WorkerOptions,
    engine::{Cancel, Engine, EngineConfig, PackError, Run, RunError},
};
use scheduler::{POOL, Scheduler, Session, deal_id, domain, nothing, set_of_one, soon, task};
use std::{
    future::Future,
    path::Path,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
};
use tempfile::TempDir;

/// Writes its standard input to standard output.
const CAT: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "_start")
    (block $done
      (loop $more
        (i32.store (i32.const 0) (i32.const 64))
        (i32.store (i32.const 4) (i32.const 60000))
        (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
        (br_if $done (i32.eqz (i32.load (i32.const 8))))
        (i32.store (i32.const 4) (i32.load (i32.const 8)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (br $more)))))"#;

/// Never ends by itself.
const SPIN: &str = r#"(module (memory (export "memory") 1)
  (func (export "_start") (loop $again (br $again))))"#;

fn in_system<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    actix::System::new().block_on(test());
}

fn real_runner() -> Arc<dyn Runner> {
    static ENGINE: LazyLock<Engine> =
        LazyLock::new(|| Engine::new(EngineConfig::default()).unwrap());
    Arc::new(EngineRunner::new(ENGINE.clone()))
}

fn options(scheduler: &Scheduler, dir: &Path) -> WorkerOptions {
    WorkerOptions {
        invite: scheduler.invite(),
        node_key: NodeKey::from_bytes(&[1; 32]),
        vote_key: VoteKey::from_bytes(&[2; 32]).unwrap(),
        data_dir: dir.to_owned(),
        slots: 2,
        ask: 0,
        memory_bytes: 1 << 30,
        cache_bytes: 64 << 20,
        name: "ann's laptop".into(),
        runner: real_runner(),
        hook: None,
        chain: Vec::new(),
        escape: None,
    }
}

async fn start(scheduler: &Scheduler, dir: &TempDir) -> WorkerHandle {
    quorate_worker::start(options(scheduler, dir.path())).await.unwrap()
}

async fn until(worker: &WorkerHandle, what: &str, is_so: impl FnMut(&Status) -> bool) -> Status {
    soon(what, worker.watch().wait_for(is_so)).await.unwrap().clone()
}

fn tasks(inputs: &[&str]) -> Vec<Task> {
    inputs.iter().map(|text| Task { stdin: (*text).into(), ..Task::default() }).collect()
}

/// Brings a new worker to where it has committed to the first task of a one-task deal.
async fn committed(
    session: &mut Session,
    scheduler: &Scheduler,
) -> quorate_common::wire::CommitItem {
    let deal = scheduler.deal(0, &wat::parse_str(CAT).unwrap(), tasks(&["hello"]));
    session.welcome().await;
    session.describe(&deal).await;
    session.assign(&[task(0, 0)]).await;
    session.one_commit().await
}

/// What came of an input before the line broke is not fetched a second time, and is checked with the rest.
#[test]
fn a_broken_transfer_goes_on_where_it_broke() {
    in_system(|| async {
        let dir = tempfile::tempdir().unwrap();
        let mut scheduler = Scheduler::start();
        let worker = start(&scheduler, &dir).await;
        let mut session = scheduler.session().await;
        let module = wat::parse_str(format!(
            "{}(@custom \"pad\" \"{}\"))",
            &CAT[..CAT.len() - 1],
            "x".repeat(1 << 20)
        ));
        let deal = scheduler.deal(0, &module.unwrap(), tasks(&["hello"]));
        *scheduler.cut.blob.lock().unwrap() = Some(deal.app);
        session.welcome().await;
        session.describe(&deal).await;
        session.assign(&[task(0, 0)]).await;
        let part = dir.path().join(format!("blobs/part-{}", deal.app));
        let come = async {
            while std::fs::metadata(&part).map_or(0, |part| part.len()) < 1 << 19 {
                tokio::task::yield_now().await;
            }
        };
        soon("half of it", come).await;
        scheduler.cut.now.notify_one();
        let mut session = scheduler.session().await;
        session.welcome().await;
        session.describe(&deal).await;
        session.assign(&[task(0, 0)]).await;
        session.one_commit().await;
        let asked = scheduler.cut.asked.lock().unwrap().clone();
        assert!(matches!(asked[..], [0, from] if from >= 1 << 19), "asked from {asked:?}");
        assert!(!part.exists());
        worker.stop().await;
    });
}

/// Two that begin together wait for one fetch, and the next deal finds what the first one brought.
#[test]
fn what_tasks_share_is_fetched_once() {
    in_system(|| async {
        let dir = tempfile::tempdir().unwrap();
        let mut scheduler = Scheduler::start();
        let worker = start(&scheduler, &dir).await;
        let mut session = scheduler.session().await;
        session.welcome().await;
        let (module, file) = (wat::parse_str(CAT).unwrap(), scheduler.shelve(vec![7; 100_000]));
        for (slot, words) in [(0, ["a", "b"]), (1, ["c", "d"])] {
            let mut deal = scheduler.deal(slot, &module, tasks(&words));
            let mut bag = Bag::parse(&scheduler.shelf.lock().unwrap()[&deal.bag]).unwrap();
            bag.files = vec![InputFile { path: "data".into(), digest: file, sealed: false }];
            deal.bag = scheduler.shelve(bag.to_bytes());
            session.describe(&deal).await;
            session.assign(&[task(slot, 0), task(slot, 1)]).await;
            let mut commits = 0;
            while commits < 2 {
                commits += session.votes().await.commits.len();
            }
        }
        let all = scheduler.cut.all.lock().unwrap().clone();
        let times = |digest| all.iter().filter(|asked| **asked == digest).count();
        assert_eq!((times(file), times(Digest::of(&module))), (1, 1));
        worker.halt().await;
    });
}

#[test]
fn a_replica_is_run_committed_revealed_fetched_and_settled() {
    in_system(|| async {
        let dir = tempfile::tempdir().unwrap();
        let mut scheduler = Scheduler::start();
        let worker = start(&scheduler, &dir).await;
        let mut session = scheduler.session().await;
        assert_eq!((session.hello.slots, session.hello.pool), (2, POOL));
        assert_eq!(session.hello.name, "ann's laptop");
        assert!(session.hello.holding.is_empty());
        let big = "x".repeat(5_000);
        let deal = scheduler.deal(0, &wat::parse_str(CAT).unwrap(), tasks(&["hello", &big]));
        session.welcome().await;
        session.describe(&deal).await;

        // A small result travels inside the reveal.
        session.assign(&[task(0, 0)]).await;
        let commit = session.one_commit().await;
        session.ack(&commit).await;
        let root = session.freeze(&commit).await;
        let reveal = session.one_reveal().await;
        assert_eq!(reveal.set_root, root);
        let opened = domain().separator().commitment(
            deal_id(0).task_id(0),
            0,
            scheduler::WORKER,
            reveal.digest.word(),
            reveal.salt,
        );
        assert_eq!(opened, commit.commitment);
        let inline = reveal.inline.clone().unwrap();
        assert_eq!(Digest::of(&inline.blobs[0]), reveal.digest);
        let manifest = Manifest::parse(&inline.blobs[0]).unwrap();
        assert_eq!(manifest.ended, Ended::Exit(0));
        assert_eq!(inline.blobs[1], b"hello");
        session.ack_reveal(&reveal).await;
        session.settle(task(0, 0), 55).await;
        until(&worker, "the settlement", |status| status.view.totals.earned == 55).await;

        // A bigger one is fetched.
        session.assign(&[task(0, 1)]).await;
        let commit = session.one_commit().await;
        session.ack(&commit).await;
        session.freeze(&commit).await;
        let reveal = session.one_reveal().await;
        assert_eq!(reveal.inline, None);
        session.ack_reveal(&reveal).await;
        session.say(&ToWorker::Fetch { task: task(0, 1), digest: reveal.digest }).await;
        soon("two blobs", scheduler.brought.wait_for(|n| *n == 2)).await.unwrap();
        let shelf = scheduler.shelf.lock().unwrap().clone();
        let manifest = Manifest::parse(&shelf[&reveal.digest]).unwrap();
        let stdout = Digest(manifest.stdout.unwrap().digest);
        assert_eq!(shelf[&stdout], big.as_bytes());
        session.settle(task(0, 1), 45).await;
        let status = until(&worker, "the end", |status| status.view.jobs.is_empty()).await;
        assert_eq!((status.view.totals.settled, status.view.totals.earned), (2, 100));
        worker.stop().await;
    });
}

#[test]
fn many_replicas_share_frames_and_signatures() {
    in_system(|| async {
        let dir = tempfile::tempdir().unwrap();
        let mut scheduler = Scheduler::start();
        let mut options = options(&scheduler, dir.path());
        options.slots = 32;
        let worker = quorate_worker::start(options).await.unwrap();
        let mut session = scheduler.session().await;
        let inputs: Vec<String> = (0..64).map(|n| format!("task {n}")).collect();
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let deal = scheduler.deal(0, &wat::parse_str(CAT).unwrap(), tasks(&inputs));
        session.welcome().await;
        session.describe(&deal).await;
        let all: Vec<TaskKey> = (0..64).map(|idx| task(0, idx)).collect();
        session.assign(&all).await;
        let mut commits = Vec::new();
        while commits.len() < 64 {
            commits.extend(session.votes().await.commits);
        }
        let now_s = scheduler.clock.now().unix_s();
        let sets = commits.iter().map(|commit| set_of_one(commit, now_s + 60)).collect();
        session.duties(Duties { sets, ..nothing() }).await;
        let (mut frames, mut reveals) = (0, Vec::new());
        while reveals.len() < 64 {
            frames += 1;
            reveals.extend(session.votes().await.reveals);
        }
        // One frame of sets is answered by one frame of reveals: one flush, one signature.
        assert_eq!(frames, 1);
        let mut shown: Vec<_> = reveals.iter().map(|reveal| reveal.task).collect();
        shown.sort_unstable();
        assert_eq!(shown, all);
        worker.stop().await;
    });
}

#[test]
fn an_endless_run_is_stopped_and_a_bad_module_is_a_result() {
    in_system(|| async {
        let dir = tempfile::tempdir().unwrap();
        let mut scheduler = Scheduler::start();
        let worker = start(&scheduler, &dir).await;
        let mut session = scheduler.session().await;
        session.welcome().await;
        let spin = scheduler.deal(0, &wat::parse_str(SPIN).unwrap(), tasks(&["", "", ""]));
        session.describe(&spin).await;
        session.assign(&[task(0, 0), task(0, 1), task(0, 2)]).await;
        let is_full = |status: &Status| status.view.running == 2;
        until(&worker, "two runs", is_full).await;
        session.say(&ToWorker::Cancel(vec![(task(0, 0), 0), (task(0, 1), 0)])).await;
        let is_next = |status: &Status| status.view.running == 1 && status.view.jobs.len() == 1;
        until(&worker, "the third run", is_next).await;
        let expect = |task, reason| ToScheduler::GaveUp(GaveUp { task, attempt: 0, reason });

        let broken = scheduler.deal(1, b"\0asm but not really", tasks(&[""]));
        session.describe(&broken).await;
        session.assign(&[task(1, 0)]).await;
        let commit = session.one_commit().await;
        session.ack(&commit).await;
        session.freeze(&commit).await;
        let inline = session.one_reveal().await.inline.unwrap();
        assert_eq!(inline.blobs, [b"quorate-result/1\nended module\nfuel 0\n".to_vec()]);

        let mut lost = scheduler.deal(2, &wat::parse_str(SPIN).unwrap(), tasks(&[""]));
        lost.bag = Digest::of(b"nobody has this");
        session.describe(&lost).await;
        session.assign(&[task(2, 0)]).await;
        assert_eq!(session.hear().await, expect(task(2, 0), GiveUpReason::Input));

        let few = scheduler.deal(3, &wat::parse_str(SPIN).unwrap(), tasks(&[""]));
        session.describe(&few).await;
        session.assign(&[task(3, 5)]).await;
        assert_eq!(session.hear().await, expect(task(3, 5), GiveUpReason::Input));

        // Leaving gives back what still runs.
        let stopping = tokio::task::spawn_local(worker.stop());
        assert_eq!(session.hear().await, ToScheduler::Slots(0));
        assert_eq!(session.hear().await, expect(task(0, 2), GiveUpReason::Leaving));
        soon("the stop", stopping).await.unwrap();
        assert_eq!(session.ended().await, "leaving");
    });
}

/// Compiling a runtime pack takes minutes that nobody pays for, and fetching it hundreds of megabytes.
#[test]
fn an_owner_may_do_without_runtime_packs() {
    in_system(|| async {
        let dir = tempfile::tempdir().unwrap();
        let mut scheduler = Scheduler::start();
        let engine = Engine::new(EngineConfig::default()).unwrap();
        let runner = Arc::new(EngineRunner::new(engine).without_packs());
        let options = WorkerOptions { runner, ..options(&scheduler, dir.path()) };
        let worker = quorate_worker::start(options).await.unwrap();
        let mut session = scheduler.session().await;
        session.welcome().await;
        // Its one piece is nowhere, and nobody asks for it.
        let deal = scheduler.deal(0, &pack(), tasks(&["", ""]));
        session.describe(&deal).await;
        session.assign(&[task(0, 0), task(0, 1)]).await;
        for _ in 0..2 {
            let ToScheduler::GaveUp(gave_up) = session.hear().await else { panic!("a result") };
            assert_eq!(gave_up.reason, GiveUpReason::Pack);
        }
        // Modules it runs as ever.
        let deal = scheduler.deal(1, &wat::parse_str(CAT).unwrap(), tasks(&["hello"]));
        session.describe(&deal).await;
        session.assign(&[task(1, 0)]).await;
        session.one_commit().await;
        worker.halt().await;
    });
}

/// The document of a runtime pack, signed.
fn pack() -> Vec<u8> {
    let digest = Digest::of(b"nobody has this");
    let document = format!(
        r#"{{"schema":"quorate.pack/v1","name":"python","version":"1","convention":"wasi-python/1","module":{{"bytes":1,"digest":"{digest}","pieces":["{digest}"]}},"files":[],"offers":[],"publisher":"{}","signature":""}}"#,
        quorate_common::B256::ZERO
    );
    let pack: quorate_common::pack::Pack = serde_json::from_str(&document).unwrap();
    pack.signed(&NodeKey::from_bytes(&[7; 32])).to_bytes()
}

#[test]
fn a_hostile_frame_ends_the_session_and_only_the_session() {
    in_system(|| async {
        let dir = tempfile::tempdir().unwrap();
        let mut scheduler = Scheduler::start();
        let worker = start(&scheduler, &dir).await;

        let mut session = scheduler.session().await;
        session.raw(&(FRAME_BYTES_MAX as u32 + 1).to_le_bytes()).await;
        let said = session.ended().await;
        assert!(said.contains("frame length is 65537; expected at most 65536"), "{said}");

        let mut session = scheduler.session().await;
        session.raw(&0_u32.to_le_bytes()).await;
        assert!(session.ended().await.contains("frame length is 0"));

        let mut session = scheduler.session().await;
        session.raw(&[3, 0, 0, 0, 99, 1, 2]).await;
        assert!(session.ended().await.contains("frame does not decode"));

        let mut session = scheduler.session().await;
        session.raw(&[9, 0, 0, 0, 1]).await;
        session.send.finish().unwrap();
        assert!(session.ended().await.contains("closed the connection"));

        let mut session = scheduler.session().await;
        session.assign(&[task(0, 0)]).await;
        assert!(session.ended().await.contains("`Duties` before `Welcome`"));

        let mut session = scheduler.session().await;
        session.welcome().await;
        session.assign(&[task(9, 0)]).await;
        assert!(session.ended().await.contains("named deal-9, which it never described"));

        let mut session = scheduler.session().await;
        let commit = committed(&mut session, &scheduler).await;
        let stranger = VoteKey::from_bytes(&[9; 32]).unwrap();
        let set = set_of_one(&commit, u64::MAX);
        session.duties_by(&stranger, Duties { sets: vec![set], ..nothing() }).await;
        let said = session.ended().await;
        assert!(said.contains(&format!("duties are signed by {}", stranger.address())), "{said}");

        // After all of this the worker still works, and has not shown its result.
        let mut session = scheduler.session().await;
        assert_eq!(session.hello.holding, [(task(0, 0), 0)]);
        session.welcome().await;
        assert_eq!(session.one_commit().await, commit);
        session.freeze(&commit).await;
        session.one_reveal().await;
        assert_eq!(worker.view().ended, None);
        worker.stop().await;
    });
}

#[test]
fn a_scheduler_of_another_pool_or_contract_is_left_for_good() {
    in_system(|| async {
        let other_domain = Domain { chain_id: 31_337, contract: Address::repeat_byte(0xdd) };
        type Lie = fn(&mut Welcome);
        let others: [(Lie, &str); 2] = [
            (
                |welcome| welcome.pool.0 = 2,
                "the scheduler runs pool-2, the invitation is for pool-1",
            ),
            (
                |welcome| welcome.domain.contract = Address::repeat_byte(0xdd),
                "settles on chain 31337",
            ),
        ];
        assert_ne!(other_domain, domain());
        for (change, expected) in others {
            let dir = tempfile::tempdir().unwrap();
            let mut scheduler = Scheduler::start();
            let worker = start(&scheduler, &dir).await;
            let mut session = scheduler.session().await;
            let mut welcome = session.welcome_message();
            change(&mut welcome);
            session.say(&ToWorker::Welcome(welcome)).await;
            assert!(session.ended().await.contains(expected));
            let status = until(&worker, "the end", |status| status.ended.is_some()).await;
            assert!(status.ended.unwrap().contains(expected));
            worker.stop().await;
        }
    });
}

#[test]
fn a_scheduler_with_another_key_is_not_talked_to() {
    in_system(|| async {
        let dir = tempfile::tempdir().unwrap();
        let scheduler = Scheduler::start();
        let mut options = options(&scheduler, dir.path());
        options.invite.node_key = NodeKey::from_bytes(&[77; 32]).public();
        let worker = quorate_worker::start(options).await.unwrap();
        let status = until(&worker, "a note", |status| status.note.is_some()).await;
        assert!(status.note.unwrap().contains("no connection to 127.0.0.1"));
        assert_eq!(status.view.link, LinkView::Down);
        worker.stop().await;
    });
}

#[test]
fn a_goodbye_is_obeyed() {
    in_system(|| async {
        let dir = tempfile::tempdir().unwrap();
        let mut scheduler = Scheduler::start();
        let worker = start(&scheduler, &dir).await;
        let mut session = scheduler.session().await;
        let goodbye = Goodbye { reason: "restarting".into(), retry_ms: Some(1) };
        session.say(&ToWorker::Goodbye(goodbye)).await;
        assert!(session.ended().await.contains("restarting"));
        let mut session = scheduler.session().await;
        session.welcome().await;
        until(&worker, "the welcome", |status| status.view.link == LinkView::Up).await;
        let goodbye = Goodbye { reason: "banned".into(), retry_ms: None };
        session.say(&ToWorker::Goodbye(goodbye)).await;
        let status = until(&worker, "the end", |status| status.ended.is_some()).await;
        assert!(status.ended.unwrap().contains("banned"));
        worker.stop().await;
    });
}

#[test]
fn a_cut_line_is_mended_and_the_work_goes_on() {
    in_system(|| async {
        let dir = tempfile::tempdir().unwrap();
        let mut scheduler = Scheduler::start();
        let mut options = options(&scheduler, dir.path());
        let first = AtomicBool::new(true);
        options.hook = Some(Arc::new(move |_, _| {
            if first.swap(false, Ordering::Relaxed) { Whim::CutTheLine } else { Whim::Work }
        }));
        let worker = quorate_worker::start(options).await.unwrap();
        let mut old = scheduler.session().await;
        let deal = scheduler.deal(0, &wat::parse_str(CAT).unwrap(), tasks(&["hello"]));
        old.welcome().await;
        old.describe(&deal).await;
        old.assign(&[task(0, 0)]).await;
        // The scheduler still believes in the old connection when the worker is back on a new one.
        let mut session = scheduler.session().await;
        assert_eq!(old.connection.close_reason(), None);
        assert_eq!(session.hello.holding, [(task(0, 0), 0)]);
        session.welcome().await;
        let commit = session.one_commit().await;
        session.ack(&commit).await;
        let is_acked = |status: &Status| {
            status.view.jobs.first().is_some_and(|job| job.stage == StageName::Acked)
        };
        until(&worker, "the ack", is_acked).await;
        worker.drop_connection();
        let mut session = scheduler.session().await;
        session.welcome().await;
        session.freeze(&commit).await;
        session.one_reveal().await;
        worker.stop().await;
    });
}

#[test]
fn a_restart_between_seal_and_reveal_loses_nothing() {
    in_system(|| async {
        let dir = tempfile::tempdir().unwrap();
        let mut scheduler = Scheduler::start();
        let worker = start(&scheduler, &dir).await;
        let mut session = scheduler.session().await;
        let commit = committed(&mut session, &scheduler).await;
        worker.halt().await;

        // Sealed, never acknowledged: the same commitment is sent again.
        let worker = start(&scheduler, &dir).await;
        let mut session = scheduler.session().await;
        assert_eq!(session.hello.holding, [(task(0, 0), 0)]);
        session.welcome().await;
        assert_eq!(session.one_commit().await, commit);
        session.ack(&commit).await;
        let root = session.freeze(&commit).await;
        let reveal = session.one_reveal().await;
        worker.halt().await;

        // Shown, never acknowledged: the same reveal is sent again, and to no other set.
        let worker = start(&scheduler, &dir).await;
        let mut session = scheduler.session().await;
        session.welcome().await;
        assert_eq!(session.one_reveal().await, reveal);
        let mut other = set_of_one(&commit, u64::MAX);
        other.root.0[0] ^= 1;
        session.duties(Duties { sets: vec![other], ..nothing() }).await;
        session.freeze(&commit).await;
        let again = session.one_reveal().await;
        assert_eq!((again.set_root, &again), (root, &reveal));
        let evidence = std::fs::read_dir(dir.path().join("evidence")).unwrap().count();
        assert_eq!(evidence, 1);
        session.ack_reveal(&reveal).await;
        session.settle(task(0, 0), 9).await;
        until(&worker, "the settlement", |status| status.view.totals.earned == 9).await;
        worker.halt().await;

        // Settled: nothing is held, the money is remembered.
        let worker = start(&scheduler, &dir).await;
        let session = scheduler.session().await;
        assert!(session.hello.holding.is_empty());
        assert_eq!(worker.view().view.totals.earned, 9);
        worker.halt().await;
    });
}

#[test]
fn a_scheduler_that_restarts_finds_its_worker_again() {
    in_system(|| async {
        let dir = tempfile::tempdir().unwrap();
        let mut scheduler = Scheduler::start();
        let worker = start(&scheduler, &dir).await;
        let mut session = scheduler.session().await;
        let commit = committed(&mut session, &scheduler).await;
        let (address, shelf) = (scheduler.endpoint.local_addr().unwrap(), scheduler.shelf.clone());
        scheduler.endpoint.close(0_u32.into(), b"restarting");
        soon("the end", scheduler.endpoint.wait_idle()).await;
        // An endpoint keeps its last two sockets as long as anybody holds a connection of it.
        for _ in 0..2 {
            let elsewhere = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            scheduler.endpoint.rebind(elsewhere).unwrap();
        }
        drop((scheduler, session));
        until(&worker, "a note", |status| status.view.link == LinkView::Down).await;
        soon("a free port", released(address)).await;
        let mut scheduler = Scheduler::start_at(address, shelf);
        let mut session = scheduler.session().await;
        session.welcome().await;
        assert_eq!(session.one_commit().await, commit);
        worker.stop().await;
    });
}

/// Until the last endpoint let its port go: it does so on a task of its own.
async fn released(address: std::net::SocketAddr) {
    while std::net::UdpSocket::bind(address).is_err() {
        tokio::task::yield_now().await;
    }
}

/// Answers every task with the real result, but for one byte.
struct Liar(Arc<dyn Runner>);

impl Runner for Liar {
    fn engine_hash(&self) -> Digest {
        self.0.engine_hash()
    }

    fn prepare(&self, app: Digest, program: &Program, cancel: &Cancel) -> Result<(), PackError> {
        self.0.prepare(app, program, cancel)
    }

    fn run(&self, spec: &JobSpec) -> Result<Run, RunError> {
        let mut run = self.0.run(spec)?;
        run.manifest.fuel += 1;
        Ok(run)
    }
}

#[test]
fn several_workers_live_in_one_process_and_a_liar_among_them() {
    in_system(|| async {
        let mut scheduler = Scheduler::start();
        let (honest_dir, liar_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let honest = start(&scheduler, &honest_dir).await;
        let mut session = scheduler.session().await;
        let commit = committed(&mut session, &scheduler).await;
        session.freeze(&commit).await;
        let truth = session.one_reveal().await.digest;
        let mut options = options(&scheduler, liar_dir.path());
        options.node_key = NodeKey::from_bytes(&[21; 32]);
        options.vote_key = VoteKey::from_bytes(&[22; 32]).unwrap();
        options.runner = Arc::new(Liar(real_runner()));
        let liar = quorate_worker::start(options).await.unwrap();
        let mut session = scheduler.session().await;
        let commit = committed(&mut session, &scheduler).await;
        session.freeze(&commit).await;
        assert_ne!(session.one_reveal().await.digest, truth);
        honest.stop().await;
        liar.stop().await;
    });
}

#[test]
fn a_data_folder_has_one_worker() {
    in_system(|| async {
        let dir = tempfile::tempdir().unwrap();
        let scheduler = Scheduler::start();
        let worker = start(&scheduler, &dir).await;
        assert!(quorate_worker::start::is_running(dir.path()));
        let error = quorate_worker::start(options(&scheduler, dir.path())).await.unwrap_err();
        assert!(error.to_string().starts_with("another worker runs in"), "{error}");
        worker.stop().await;
        assert!(!quorate_worker::start::is_running(dir.path()));
        start(&scheduler, &dir).await.stop().await;
    });
}

#[test]
fn an_ack_of_another_commitment_is_kept_as_evidence() {
    in_system(|| async {
        let dir = tempfile::tempdir().unwrap();
        let mut scheduler = Scheduler::start();
        let worker = start(&scheduler, &dir).await;
        let mut session = scheduler.session().await;
        let commit = committed(&mut session, &scheduler).await;
        let wrong = quorate_common::B256::repeat_byte(1);
        let ack = CommitAckItem { task: task(0, 0), attempt: 0, commitment: wrong, seq: 1 };
        session.duties(Duties { commit_acks: vec![ack], ..nothing() }).await;
        session.freeze(&commit).await;
        session.one_reveal().await;
        let files: Vec<_> = std::fs::read_dir(dir.path().join("evidence")).unwrap().collect();
        let text = std::fs::read(files[0].as_ref().unwrap().path()).unwrap();
        let evidence: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(evidence["warning"], "wrong_ack");
        assert!(evidence["ack"]["proof"]["signature"]["r"].is_string());
        worker.stop().await;
    });
}
