//! Killed at every write of the journal, and failed at some: nothing that was acknowledged is lost,
//! nothing is said after a failure, and what runs is what a replay of the disk gives. `strace` counts
//! the calls on the journal's file and injects the ends.

use super::{
    dice::Dice,
    promises::Promises,
    script::{End, Script, TASKS},
    stage::{Program, Template, command, said, segment},
};
use quorate_scheduler::replay::Standing;
use serde_json::Value;
use std::{
    fs,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::ExitStatus,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
};
use tokio::runtime::Builder;

/// Workers that vote on each task: as many as it needs.
const WORKERS: u8 = 3;
/// Schedulers at a time: one waits for its disk and its workers most of the time.
const LANES: usize = 2;
/// Set to anything: every write, not a sample. Eight minutes.
const ALL: &str = "QUORATE_CRASH_ALL";
/// Kills without it. A guess at what a minute holds.
const SAMPLE: usize = 25;
/// Signal numbers: `kill -9`, and what a program sends itself that ends on purpose.
const KILLED: i32 = 9;
const ABORTED: i32 = 6;

/// What the journal does to its file, in the order it does it.
const CALLS: [&str; 2] = ["pwrite64", "fdatasync"];

/// A performance behind a tracer.
struct Traced {
    end: End,
    status: Option<ExitStatus>,
    script: Script,
}

#[tokio::test]
async fn killed_at_any_write_it_keeps_its_word() {
    let template = Template::make(WORKERS).await;
    let calls = count_calls(&template).await;
    let all: Vec<Place> = CALLS
        .into_iter()
        .zip(calls)
        .flat_map(|(call, count)| (1..=count).map(move |n| (call, n)))
        .collect();
    let places = all.len();
    let chosen = if std::env::var_os(ALL).is_some() { all } else { sample(all) };
    let survived = kill_at_each(&template, &chosen);
    let promised: usize = survived.iter().map(Promises::count).sum();
    let again: usize = survived.iter().map(|promises| promises.again).sum();
    let kills = survived.len();
    eprintln!(
        "{kills} kills at {} of {places} places; {promised} promises kept, {again} of them told again",
        chosen.len()
    );
    // Which worker is asked first is drawn anew each time, so the last writes may not be reached.
    assert!(kills * 10 >= chosen.len() * 9, "{kills} of {} places were reached", chosen.len());
}

/// A call, and which one of its kind.
type Place = (&'static str, usize);

/// What was promised before each kill that came; kept, all of it. Some lanes at a time.
fn kill_at_each(template: &Template, places: &[Place]) -> Vec<Promises> {
    let next = AtomicUsize::new(0);
    let lane = || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let mut survived = Vec::new();
        while let Some((call, n)) = places.get(next.fetch_add(1, Relaxed)) {
            let inject = format!("inject={call}:signal=SIGKILL:when={n}");
            survived.extend(runtime.block_on(survives(template, &inject)));
        }
        survived
    };
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(lane)).collect();
        lanes.into_iter().flat_map(|lane| lane.join().unwrap()).collect()
    })
}

/// Places from all over the script.
fn sample(all: Vec<Place>) -> Vec<Place> {
    let mut dice = Dice::new("places to be killed at");
    let part = all.len() as u64 / SAMPLE as u64;
    (0..SAMPLE as u64).map(|n| all[usize::try_from(n * part + dice.below(part)).unwrap()]).collect()
}

/// Kills it there, starts it again, and plays on to the end. Nothing if the script ends before.
async fn survives(template: &Template, inject: &str) -> Option<Promises> {
    let data = template.copy();
    let Traced { end, status, mut script } = perform(template, data.path(), inject).await;
    if end == End::Done {
        return None;
    }
    let signal = status.and_then(|status| status.signal());
    assert_eq!(signal, Some(KILLED), "{inject}: {}", said(data.path()));
    recovers(template, data.path(), &mut script, inject).await;
    Some(script.promises)
}

/// The scheduler starts again on what is there, keeps every promise, and is what its journal says.
async fn recovers(template: &Template, data: &Path, script: &mut Script, what: &str) {
    let program = Program::serve(data, &[], &[])
        .unwrap_or_else(|status| panic!("{what}: {status}: {}", said(data)));
    let end = script.play(&program, &template.cast).await;
    assert_eq!(end, End::Done, "{what}: it died again: {}", said(data));
    script.promises.are_kept(&program, &script.pool.unwrap(), TASKS).await;
    script.leave();
    assert!(program.end().success(), "{what}: {}", said(data));
    replay_is_what_ran(data);
}

/// Compares what the scheduler held when it stopped with what its journal gives.
pub(crate) fn replay_is_what_ran(data: &Path) -> Standing {
    let text = said(data);
    let lines = text.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut stops = lines.filter(|line| line["fields"]["message"] == "stopped");
    let stopped = stops.next().unwrap_or_else(|| panic!("it did not say how it stopped: {text}"));
    let replayed: Standing = serde_json::from_value(command(data, &[], "replay").unwrap()).unwrap();
    let held = |field: &str| stopped["fields"][field].clone();
    assert_eq!(held("seq"), replayed.seq, "{replayed:?}: {stopped}");
    assert_eq!(held("state"), replayed.state.to_string(), "{replayed:?}: {stopped}");
    replayed
}

/// How often each of [`CALLS`] happens in an undisturbed performance.
async fn count_calls(template: &Template) -> [usize; 2] {
    let data = template.copy();
    let began: Standing =
        serde_json::from_value(command(data.path(), &[], "replay").unwrap()).unwrap();
    let Traced { end, .. } = perform(template, data.path(), "trace=pwrite64,fdatasync").await;
    assert_eq!(end, End::Done, "{}", said(data.path()));
    let ended = replay_is_what_ran(data.path());
    let trace = fs::read_to_string(data.path().join("trace")).unwrap();
    let calls = CALLS.map(|call| trace.lines().filter(|line| line.contains(call)).count());
    let events = ended.seq - began.seq;
    eprintln!("{events} records in {} writes and {} syncs", calls[0], calls[1]);
    assert!(events >= 200, "the script has {events} records");
    assert!(calls[0] >= 80 && calls[1] >= 80, "{calls:?}");
    calls
}

/// Plays the script with `strace` between the journal and its file. (With `--seccomp-bpf` it would be
/// quicker, and strace 6.1 would not deliver the signals.)
async fn perform(template: &Template, data: &Path, expression: &str) -> Traced {
    let (file, trace) = (segment(data), data.join("trace"));
    let strace = [
        "strace",
        "-D",
        "-f",
        "-qq",
        "-o",
        trace.to_str().unwrap(),
        "-e",
        "trace=pwrite64,fdatasync",
        "-P",
        file.to_str().unwrap(),
        "-e",
        expression,
    ];
    let mut script = Script::new(&template.cast);
    // It may end before its doors are open, if the first write is the one.
    let program = match Program::serve(data, &strace, &[]) {
        Ok(program) => program,
        Err(status) => return Traced { end: End::Died, status: Some(status), script },
    };
    let end = script.play(&program, &template.cast).await;
    script.leave();
    let status = match end {
        End::Done => program.end(),
        End::Died => program.ended(),
    };
    // The write that was chosen may be its last one, while it stops.
    let end = if status.success() { end } else { End::Died };
    Traced { end, status: Some(status), script }
}

#[tokio::test]
async fn a_disk_that_fails_once_is_not_asked_again() {
    let template = Template::make(WORKERS).await;
    let mut dice = Dice::new("writes that fail");
    let faults = [
        ("fdatasync", "EIO", "Input/output error"),
        ("pwrite64", "EIO", "Input/output error"),
        ("pwrite64", "ENOSPC", "No space left on device"),
    ];
    for (call, error, text) in faults {
        for n in [1, 10 + dice.below(20), 40 + dice.below(30)] {
            let inject = format!("inject={call}:error={error}:when={n}");
            fails_and_stops(&template, &inject, text).await;
        }
    }
}

async fn fails_and_stops(template: &Template, inject: &str, text: &str) {
    let data = template.copy();
    let Traced { end, status, mut script } = perform(template, data.path(), inject).await;
    assert_eq!(end, End::Died, "{inject}: it went on");
    // At the start it ends with an exit code, later it ends itself: nothing runs on beside the writer.
    let status = status.unwrap();
    assert!(status.code() == Some(1) || status.signal() == Some(ABORTED), "{inject}: {status}");
    let (said, name) = (said(data.path()), segment(data.path()));
    let name = name.file_name().unwrap().to_str().unwrap();
    for word in ["journal", name, text, "check the disk's space", "start again"] {
        assert!(said.contains(word), "{inject}: it does not say `{word}`: {said}");
    }
    // A lie would be a promise that the disk does not have.
    recovers(template, data.path(), &mut script, inject).await;
}
