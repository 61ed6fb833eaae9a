//! Compiling in a process of its own, which is the worker's program (`quorate-worker compile`): the same code, an end
//! whenever somebody wants one, and nothing left behind.
#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![cfg(target_os = "linux")]

#[path = "component/dress.rs"]
mod dress;

use quorate_common::manifest::{Ended, Manifest};
use quorate_worker::{
    brake::Brake,
    engine::{Cancel, Engine, EngineConfig, Job, Module, PackError},
};
use std::{
    fs,
    io::{Read as _, Write as _},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// The program that holds the command `compile`.
const PROGRAM: &str = env!("CARGO_BIN_EXE_quorate-worker");
/// An example application, of 20 kB.
const LUCAS_LEHMER: &[u8] = include_bytes!("../../deploy/apps/lucas-lehmer/lucas_lehmer.wasm");
/// Longest wait for what should come at once.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a cancellation may take on a busy machine; the bomb takes several times as long.
const SOON: Duration = Duration::from_secs(5);

/// Functions of a module that is compiled in the process that wants it, and of one that is not.
const LIGHT: usize = 900;
const HEAVY: usize = 1_100;
/// Memory that is enough for a small module and not for the bomb.
const LITTLE_MIB: u32 = 400;
/// Compilers are told apart by who started them, which is this process for all tests.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn engine(cache: &Path) -> Engine {
    let (cache_dir, compiler) = (Some(cache.to_owned()), Some(PROGRAM.into()));
    Engine::new(EngineConfig { cache_dir, compiler }).unwrap()
}

/// As heavy as a module may be, nearly: it keeps a core busy for half a minute in a debug build.
fn bomb() -> Vec<u8> {
    let functions = "(func) ".repeat(110_000);
    wat::parse_str(format!("(module {functions}(func (export \"_start\")))")).unwrap()
}

/// A program that ends with 7, and so many functions besides.
fn program(functions: usize) -> Vec<u8> {
    let functions = "(func) ".repeat(functions);
    wat::parse_str(format!(
        r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1) {functions}
        (func (export "_start") (call $exit (i32.const 7))))"#
    ))
    .unwrap()
}

/// The compilers of this process, by their number.
fn compilers() -> Vec<u32> {
    let own = std::process::id().to_string();
    let is_ours = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<_> = line.split(|byte| *byte == 0).collect();
        words.get(1) == Some(&&b"compile"[..]) && words.get(3) == Some(&own.as_bytes())
    };
    let entries = fs::read_dir("/proc").unwrap().map_while(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(is_ours).collect()
}

/// The letter of what a process does, and the ticks of processors it has had.
fn stat(pid: u32) -> Option<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<_> = text.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?;
    Some((fields[0].chars().next()?, ticks))
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::park_timeout(Duration::from_millis(5));
    }
}

fn run(module: &Module) -> Manifest {
    module.run(Job::default(), &Cancel::new()).unwrap().manifest
}

#[test]
fn what_is_compiled_apart_runs_as_what_is_compiled_here() {
    let _alone = alone();
    let (cache, own) =
        (tempfile::tempdir().unwrap(), Engine::new(EngineConfig::default()).unwrap());
    for wasm in [program(HEAVY), dress::dressed(&program(HEAVY))] {
        let apart = run(&engine(cache.path()).prepare_within(&wasm, &Cancel::new()).unwrap());
        assert!(matches!(apart.ended, Ended::Exit(7 | 1)), "{apart:?}");
        assert_eq!(apart, run(&own.prepare(&wasm).unwrap()), "fuel and all");
        // What was compiled once is there for who compiles for himself.
        let files = || fs::read_dir(cache.path()).unwrap().count();
        let before = files();
        let cache_dir = Some(cache.path().to_owned());
        let here = Engine::new(EngineConfig { cache_dir, ..EngineConfig::default() }).unwrap();
        assert_eq!(run(&here.prepare(&wasm).unwrap()), apart);
        assert_eq!(files(), before);
    }
    // What is wrong with a module is said in the same words.
    let functions = "(func) ".repeat(HEAVY);
    let bad = format!(r#"(module {functions} (func (export "_start") i64.const 1 drop drop))"#);
    let bad = wat::parse_str(bad).unwrap();
    let apart = engine(cache.path()).prepare_within(&bad, &Cancel::new()).unwrap_err();
    assert!(matches!(apart, PackError::Bad(_)), "{apart}");
    assert_eq!(apart.to_string(), own.prepare(&bad).unwrap_err().to_string());
    assert!(compilers().is_empty());
}

/// A process costs as much as a light module's whole compilation, so there is none for it.
#[test]
fn a_light_module_starts_no_process() {
    let cache = tempfile::tempdir().unwrap();
    let (cache_dir, compiler) = (Some(cache.path().to_owned()), Some("/nowhere".into()));
    let engine = Engine::new(EngineConfig { cache_dir, compiler }).unwrap();
    run(&engine.prepare_within(&program(LIGHT), &Cancel::new()).unwrap());
    run(&engine.prepare_within(LUCAS_LEHMER, &Cancel::new()).unwrap());
    let error = engine.prepare_within(&program(HEAVY), &Cancel::new()).unwrap_err();
    assert!(matches!(error, PackError::Missing { .. }), "never a vote: {error}");
    assert!(error.to_string().contains("no compiler could be started"), "{error}");
}

/// Prints what `worker/docs/wasm.md` says: each compiled here and apart, and taken from the cache.
#[test]
fn what_a_process_costs() {
    let _alone = alone();
    for functions in [100, LIGHT, HEAVY, 10_000] {
        let wasm = program(functions);
        let timed = |engine: Engine| {
            let began = Instant::now();
            run(&engine.prepare_within(&wasm, &Cancel::new()).unwrap());
            began.elapsed()
        };
        let (cache, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let cache_dir = Some(other.path().to_owned());
        let here = timed(Engine::new(EngineConfig { cache_dir, compiler: None }).unwrap());
        let apart = timed(engine(cache.path()));
        let again = timed(engine(cache.path()));
        println!(
            "{functions:6} functions: here {here:?}, apart {apart:?}, from the cache {again:?}"
        );
        assert!(again < PATIENCE, "{again:?}");
    }
}

#[test]
fn a_compile_bomb_ends_with_who_waits_for_it() {
    let _alone = alone();
    let cache = tempfile::tempdir().unwrap();
    let (engine, cancel, bomb) = (engine(cache.path()), Cancel::new(), bomb());
    thread::scope(|scope| {
        let compiling = scope.spawn(|| engine.prepare_within(&bomb, &cancel));
        let pid = until("a compiler at work", || compilers().first().copied());
        until("a bomb that burns", || stat(pid).filter(|(_, ticks)| *ticks > 20));
        assert!(!compiling.is_finished());
        let began = Instant::now();
        cancel.cancel();
        let error = compiling.join().unwrap().unwrap_err();
        assert!(matches!(error, PackError::Stopped), "never a vote: {error}");
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        assert!(stat(pid).is_none(), "it is gone, and was waited for");
    });
    // Nothing of it is in the cache, and the engine goes on.
    let names: Vec<_> =
        fs::read_dir(cache.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["key"]);
    engine.prepare_within(&program(HEAVY), &Cancel::new()).unwrap();
}

/// However a compiler ends that says nothing, it says nothing of the module.
#[test]
fn a_compiler_that_is_killed_is_no_result() {
    let _alone = alone();
    for (signal, late) in [("KILL", false), ("ABRT", false), ("XCPU", true)] {
        let cache = tempfile::tempdir().unwrap();
        let (engine, bomb) = (engine(cache.path()), bomb());
        thread::scope(|scope| {
            let compiling = scope.spawn(|| engine.prepare_within(&bomb, &Cancel::new()));
            let pid = until("a compiler at work", || compilers().first().copied());
            until("a bomb that burns", || stat(pid).filter(|(_, ticks)| *ticks > 20));
            let kill = Command::new("kill").args(["-s", signal, &pid.to_string()]).status();
            assert!(kill.unwrap().success());
            let error = compiling.join().unwrap().unwrap_err();
            let PackError::Bound { reason, is_late } = error else { panic!("{error}") };
            assert_eq!(is_late, late, "{signal}: {reason}");
        });
    }
}

/// Its three pipes, and nothing of what the process holds that started it.
#[test]
fn a_compiler_inherits_nothing() {
    let _alone = alone();
    let cache = tempfile::tempdir().unwrap();
    let open: Vec<_> = (0..20).map(|_| fs::File::open(PROGRAM).unwrap()).collect();
    let (engine, cancel, bomb) = (engine(cache.path()), Cancel::new(), bomb());
    thread::scope(|scope| {
        let compiling = scope.spawn(|| engine.prepare_within(&bomb, &cancel));
        let pid = until("a compiler at work", || compilers().first().copied());
        until("a bomb that burns", || stat(pid).filter(|(_, ticks)| *ticks > 20));
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        let targets = descriptors.map(|entry| fs::read_link(entry.path()).unwrap());
        let strange: Vec<_> = targets
            .map(|target| target.display().to_string())
            .filter(|name| !name.starts_with("pipe:") && name != "/dev/null")
            .collect();
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
        cancel.cancel();
        compiling.join().unwrap().unwrap_err();
        assert_eq!((strange, environment), (Vec::new(), Vec::new()));
    });
    drop(open);
}

#[test]
fn a_pause_holds_a_compiler_where_it_is() {
    let _alone = alone();
    let cache = tempfile::tempdir().unwrap();
    let (engine, brake, bomb) = (engine(cache.path()), Brake::new(), bomb());
    let cancel = Cancel::of(brake.aside());
    thread::scope(|scope| {
        let compiling = scope.spawn(|| engine.prepare_within(&bomb, &cancel));
        let pid = until("a compiler at work", || compilers().first().copied());
        until("some work", || stat(pid).filter(|(_, ticks)| *ticks > 5));
        brake.allow(0);
        let (_, before) = until("it to stand", || stat(pid).filter(|(state, _)| *state == 'T'));
        // A while in which nothing may happen.
        thread::park_timeout(Duration::from_millis(300));
        assert_eq!(stat(pid), Some(('T', before)), "held, it takes nothing");
        brake.allow(1);
        until("it to go on", || stat(pid).filter(|(_, ticks)| *ticks > before + 5));
        brake.allow(0);
        until("it to stand again", || stat(pid).filter(|(state, _)| *state == 'T'));
        // Whoever stands can be ended.
        cancel.cancel();
        compiling.join().unwrap().unwrap_err();
        assert!(stat(pid).is_none());
    });
}

/// A process that compiles for `parent`, with `most` MiB of memory if that is told.
fn compiler(parent: u32, most: Option<u32>) -> Child {
    let limit = most.map_or(String::new(), |most| format!("ulimit -v {}; ", most * 1_024));
    let script = format!("{limit}exec \"$0\" compile command {parent}");
    let mut command = Command::new("sh");
    command.args(["-c", &script, PROGRAM]).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.stderr(Stdio::null()).spawn().unwrap()
}

/// What it says of a module, and how it ends.
fn said(mut child: Child, wasm: &[u8]) -> (Vec<u8>, ExitStatus) {
    let (mut to, mut from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut bytes = Vec::new();
    thread::scope(|scope| {
        scope.spawn(move || drop(to.write_all(wasm)));
        from.read_to_end(&mut bytes).unwrap();
    });
    (bytes, child.wait().unwrap())
}

#[test]
fn a_compiler_without_memory_says_nothing_of_the_module() {
    let _alone = alone();
    let own = std::process::id();
    let (bytes, status) = said(compiler(own, Some(LITTLE_MIB)), &program(LIGHT));
    assert!(status.success() && bytes.first() == Some(&0), "{status}");
    let (bytes, status) = said(compiler(own, Some(LITTLE_MIB)), &bomb());
    assert!(!status.success() && bytes.is_empty(), "{status}, {} bytes", bytes.len());
}

#[test]
fn a_compiler_works_for_who_started_it_only() {
    let (bytes, status) = said(compiler(1, None), &program(LIGHT));
    assert!(!status.success() && bytes.is_empty(), "{status}");
}

/// The parent here is a shell, which is killed as a worker may be.
#[test]
fn a_compiler_dies_with_its_worker() {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("bomb.wasm");
    fs::write(&module, bomb()).unwrap();
    let script = "\"$0\" compile command $$ < \"$1\" > /dev/null & echo $!; wait";
    let mut command = Command::new("sh");
    command.args(["-c", script, PROGRAM]).arg(&module).stdout(Stdio::piped());
    let mut shell = command.spawn().unwrap();
    let mut line = std::io::BufReader::new(shell.stdout.take().unwrap());
    let mut pid = String::new();
    std::io::BufRead::read_line(&mut line, &mut pid).unwrap();
    let pid: u32 = pid.trim().parse().unwrap();
    until("a bomb that burns", || stat(pid).filter(|(_, ticks)| *ticks > 20));
    shell.kill().unwrap();
    shell.wait().unwrap();
    // Nobody may be there to wait for it; then it stays as a name.
    until("its end", || stat(pid).is_none_or(|(state, _)| state == 'Z').then_some(()));
}
