//! Hostile programs, modules and containers, on one real worker: the program itself with its agent, its
//! engines and its folder, against a scheduler spoken by hand. Each is contained, is reported with an outcome
//! of its own, and leaves nothing behind, while honest tasks finish beside it. The table is printed.
//!
//! Containers need an engine: `QUORATE_TEST_DOCKER` names its socket, and without one only modules are tried.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "hostile/binary.rs"]
mod binary;
#[path = "hostile/components.rs"]
mod components;
#[path = "hostile/containers.rs"]
mod containers;
#[path = "hostile/fate.rs"]
mod fate;
#[path = "component/frame.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod frame;
#[path = "support/image.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod image;
#[path = "hostile/left.rs"]
mod left;
#[path = "hostile/modules.rs"]
mod modules;
#[path = "hostile/pool.rs"]
mod pool;
#[path = "support/program.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod program;
#[path = "support/scheduler.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod scheduler;

use fate::Hostile;
use left::Left;
use pool::Pool;
use program::{Running, ends, start};
use scheduler::{Scheduler, soon};
use std::{fs, path::Path, time::Duration};
use tempfile::TempDir;

/// Memory of a worker that three programs of 16 MiB run on: some 700 MB, most of it modules of 30 and 65 MiB that are
/// read and weighed. What heavy ones are compiled in is not the worker's own.
const RESIDENT_MAX: u64 = 1 << 30;
/// Longest time that an honest task of a millisecond may take beside all of it, on two busy cores.
const HONEST_MAX: Duration = Duration::from_secs(60);

#[test]
fn hostile_modules_stay_in_their_box() {
    let programs = modules::programs().into_iter().chain(components::programs());
    stay_in_their_box(programs.collect(), None);
}

#[test]
fn hostile_containers_stay_in_their_box() {
    let Some(socket) = socket() else { return };
    stay_in_their_box(containers::programs(), Some(&socket));
}

fn stay_in_their_box(programs: Vec<Hostile>, socket: Option<&str>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut scheduler = Scheduler::start();
        let dir = joined(&scheduler, socket);
        let mut worker = start(dir.path(), &["run"]);
        let session = soon("the worker", scheduler.session()).await;
        let mut pool = Pool::new(scheduler, session).await;
        // What is there anyway: caches, lines, threads that stay.
        pool.play(Vec::new(), socket.is_some()).await;
        let before = Left::of(worker.pid(), dir.path(), socket);
        let told = pool.play(programs, socket.is_some()).await;
        told.lines.iter().for_each(|line| println!("{line}"));
        println!("{} honest tasks beside, the slowest took {:?}", told.honest, told.slowest);
        let after = Left::of(worker.pid(), dir.path(), socket);
        println!("before {before:?}\nafter  {after:?}");
        assert!(told.wrong.is_empty(), "{}", told.wrong.join("\n"));
        assert!(told.honest > 0 && told.slowest < HONEST_MAX, "{:?}", told.slowest);
        after.check(&before, RESIDENT_MAX);
        leaves(&mut worker, dir.path()).await;
    });
}

async fn leaves(worker: &mut Running, dir: &Path) {
    worker.signal("TERM");
    let code = soon("the end", worker.code()).await;
    assert_eq!(code, Some(0), "{}", fs::read_to_string(dir.join("log")).unwrap());
}

/// A worker with three slots: two for who means harm, one for who does not.
fn joined(scheduler: &Scheduler, socket: Option<&str>) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let invite = scheduler.invite().to_string();
    ends(dir.path(), &["join", &invite, "--offline", "--slots", "3"], 0);
    if let Some(socket) = socket {
        let file = dir.path().join("quorate.toml");
        let text = fs::read_to_string(&file).unwrap();
        let docker = format!("[docker]\nuse = \"require\"\nsocket = \"{socket}\"\n");
        fs::write(file, text.replacen("[docker]\n", &docker, 1)).unwrap();
    }
    dir
}

fn socket() -> Option<String> {
    let socket = std::env::var("QUORATE_TEST_DOCKER").ok();
    if socket.is_none() {
        assert!(std::env::var_os("CI").is_none(), "QUORATE_TEST_DOCKER names no engine");
        eprintln!("NOT TESTED: QUORATE_TEST_DOCKER names no engine; deploy/test starts one");
    }
    socket
}
