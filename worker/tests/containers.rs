//! Containers as the worker runs them, on a real engine (`QUORATE_TEST_DOCKER` names its socket): results are what
//! replicas can agree on, and applications written for iExec find what they expect.

#[path = "support/image.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod image;

use image::{IEXEC_APP, archive};
use quorate_common::{
    bag::AppKind,
    digest::Digest,
    ids::{DealSlot, TaskKey},
    manifest::{Ended, Manifest},
};
use quorate_docker::{Engine, Platform, iexec::Place};
use quorate_registry::Registries;
use quorate_worker::{
    Containers, EngineRunner, JobSpec, Program, Runner,
    engine::{self, Cancel, EngineConfig, Job, Run, RunError},
};
use std::{fs, path::Path, path::PathBuf, sync::Arc, time::Duration};

struct Stage {
    runner: Containers,
    engine: Engine,
    dir: tempfile::TempDir,
}

impl Stage {
    fn new(test: &str) -> Option<Self> {
        let Ok(socket) = std::env::var("QUORATE_TEST_DOCKER") else {
            assert!(std::env::var_os("CI").is_none(), "QUORATE_TEST_DOCKER names no engine");
            eprintln!("NOT TESTED: QUORATE_TEST_DOCKER names no engine; deploy/test starts one");
            return None;
        };
        let worker = format!("test-{test}-{}", std::process::id());
        let engine = Engine::connect(Some(Path::new(&socket)), &worker).expect("an engine");
        engine.begin().expect("our own image");
        let modules = engine::Engine::new(EngineConfig::default()).expect("an engine");
        let modules = Arc::new(EngineRunner::new(modules));
        let platform = Platform::here().expect("a processor for containers");
        let registries = Registries::listed(&[]).expect("an empty list");
        let runner = Containers::new(modules, engine.clone(), worker, platform, registries);
        Some(Self { runner, engine, dir: tempfile::tempdir().expect("a folder") })
    }

    fn image(&self, name: &str, command: &[&str]) -> (Digest, PathBuf) {
        let archive = archive(command);
        let path = self.dir.path().join(name);
        fs::write(&path, &archive).expect("written");
        (Digest::of(&archive), path)
    }

    fn run(
        &self,
        kind: AppKind,
        app: &(Digest, PathBuf),
        change: impl FnOnce(&mut JobSpec),
    ) -> Run {
        self.try_run(kind, app, change).expect("a result")
    }

    fn try_run(
        &self,
        kind: AppKind,
        (app, archive): &(Digest, PathBuf),
        change: impl FnOnce(&mut JobSpec),
    ) -> Result<Run, RunError> {
        let limits = engine::Limits {
            memory_bytes: 32 << 20,
            output_bytes: 1 << 20,
            wall: Duration::from_secs(60),
            ..Default::default()
        };
        let mut spec = JobSpec {
            task: TaskKey { deal: DealSlot(0), idx: 0 },
            attempt: 0,
            app: *app,
            code: Program::Archive,
            job: Job { limits, ..Job::default() },
            kind,
            archive: archive.clone(),
            place: Place { tasks: 7, index: 5, ..Place::default() },
            cancel: Cancel::new(),
        };
        change(&mut spec);
        self.runner.run(&spec)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(self.engine.sweep());
    }
}

fn file<'r>(run: &'r Run, path: &str) -> &'r str {
    let (_, entry) = run.manifest.files.iter().find(|(known, _)| known == path).expect(path);
    let (_, bytes) = run.blobs.iter().find(|(digest, _)| *digest == entry.digest).expect("a blob");
    std::str::from_utf8(bytes).expect("text")
}

fn paths(manifest: &Manifest) -> Vec<&str> {
    manifest.files.iter().map(|(path, _)| path.as_str()).collect()
}

#[test]
fn an_image_for_iexec_runs_unchanged_with_and_without_a_dataset() {
    let Some(place) = Stage::new("iexec") else { return };
    let app = place.image("app", &["/bin/busybox", "sh", "-c", IEXEC_APP, "app"]);
    let run = |with: bool| {
        place.run(AppKind::Iexec, &app, |spec| {
            spec.job.args = vec!["hello".into()];
            spec.job.inputs = vec![("a.txt".into(), b"one two".into())];
            if with {
                spec.job.inputs.push(("d/data".into(), b"three four five".into()));
                spec.place.dataset = Some("d/data".into());
            }
        })
    };
    let (without, with) = (run(false), run(true));
    assert_eq!(file(&without, "result.txt"), "task 5 of 7: 2 words, hello\n");
    assert_eq!(file(&with, "result.txt"), "task 5 of 7: 5 words, hello\n");
    assert_eq!(without.manifest.ended, Ended::Exit(0));
    // The log and the standard output have the time in them: no vote is on those.
    assert_eq!(paths(&with.manifest), ["result.txt"]);
    assert_eq!(with.manifest.stdout, None);
    assert_eq!(run(true).manifest, with.manifest);
}

#[test]
fn what_an_iexec_application_forgets_is_told_to_who_ordered_it() {
    let Some(place) = Stage::new("forgets") else { return };
    let shell = |script| ["/bin/busybox", "sh", "-c", script];
    let app = place.image("none", &shell("echo 1 > $IEXEC_OUT/a"));
    let run = place.run(AppKind::Iexec, &app, |_| {});
    assert_eq!(run.manifest.ended, Ended::Output);
    assert!(file(&run, "error.txt").starts_with("$IEXEC_OUT/computed.json is missing; expected"));
    let app = place.image("fails", &shell("echo 1 > $IEXEC_OUT/a; exit 4"));
    let run = place.run(AppKind::Iexec, &app, |_| {});
    assert_eq!((run.manifest.ended, run.manifest.files.len()), (Ended::Exit(4), 0));
    // The same image as an ordinary container has no such duty, nor such variables.
    let app = place.image("plain", &shell("echo $IEXEC_OUT; cat /in/x; echo 1 > /out/a"));
    let run = place.run(AppKind::Docker, &app, |spec| {
        spec.job.inputs = vec![("x".into(), b"in".into())];
    });
    assert_eq!((run.manifest.ended, paths(&run.manifest)), (Ended::Exit(0), vec!["a"]));
    assert_eq!(run.manifest.fuel, 0);
}

#[test]
fn what_is_the_images_fault_is_a_result_and_what_is_the_machines_is_none() {
    let Some(place) = Stage::new("faults") else { return };
    let broken = (Digest::of(b"no image"), place.dir.path().join("broken"));
    fs::write(&broken.1, b"no image").expect("written");
    let run = place.run(AppKind::Docker, &broken, |_| {});
    assert_eq!(run.manifest.ended, Ended::Module);
    assert!(file(&run, "error.txt").starts_with("the image cannot be run: "));
    let run = place.run(AppKind::Docker, &place.image("empty", &[]), |_| {});
    assert_eq!(run.manifest.ended, Ended::Module);
    assert!(file(&run, "error.txt").contains("names no command"));
    let damaged = (Digest::of(b"other"), broken.1.clone());
    let error = place.try_run(AppKind::Docker, &damaged, |_| {}).expect_err("not its bytes");
    assert!(matches!(error, RunError::Engine(_)), "{error}");
    let app = place.image("shell", &["/bin/busybox", "sh", "-c"]);
    let with = |script: &str| {
        place.try_run(AppKind::Docker, &app, |spec| spec.job.args = vec![script.to_owned()])
    };
    let link = with("busybox ln -s / /out/a").expect("a result");
    assert_eq!((link.manifest.ended, paths(&link.manifest)), (Ended::Output, vec!["error.txt"]));
    let flood = with("busybox yes").expect("a result");
    assert_eq!(flood.manifest.ended, Ended::Output);
    assert_eq!(flood.manifest, with("busybox yes").expect("a result").manifest, "to the byte");
    let error = with("a=xxxxxxxx; while :; do a=$a$a; done").expect_err("no memory left");
    assert!(matches!(error, RunError::Killed(_)), "{error}");
    let error = place.try_run(AppKind::Docker, &app, |spec| {
        spec.job.args = vec!["busybox sleep 100".to_owned()];
        spec.cancel.cancel();
    });
    assert!(matches!(error, Err(RunError::Cancelled)), "{error:?}");
}
