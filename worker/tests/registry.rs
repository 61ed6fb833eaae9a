//! Images from a registry on a real worker: it asks whom its owner lists, gets what was signed, or gives the task back.
//! The registry is Debian's, the container engine a real one (`QUORATE_TEST_DOCKER` names its socket), the scheduler is
//! spoken by hand.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/image.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod image;
#[path = "../registry/tests/support/registry.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod real;
#[path = "support/scheduler.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod scheduler;

use quorate_common::{
    bag::{AppKind, Task},
    digest::Digest,
    image::ImageRef,
    keys::{NodeKey, VoteKey},
    wire::{GiveUpReason, ToScheduler},
};
use quorate_docker::Platform;
use quorate_registry::{Reference, Registries, resolve};
use quorate_worker::{
    Containers, EngineRunner, WorkerOptions,
    engine::{self, EngineConfig},
};
use real::Registry;
use scheduler::{Scheduler, Session, task};
use std::{
    path::Path,
    sync::Arc,
    sync::atomic::{AtomicU32, Ordering},
};
use tokio::net::TcpListener;

const HONEST: &str = r#"(module (func (export "_start")))"#;
const SCRIPT: [&str; 4] = ["/bin/busybox", "sh", "-c", "echo fine > /out/said"];

/// A container engine with the worker's own image on it. What it made goes with it.
struct Stage {
    engine: quorate_docker::Engine,
    worker: String,
}

impl Stage {
    fn new() -> Option<Self> {
        let Ok(socket) = std::env::var("QUORATE_TEST_DOCKER") else {
            assert!(std::env::var_os("CI").is_none(), "QUORATE_TEST_DOCKER names no engine");
            eprintln!("NOT TESTED: QUORATE_TEST_DOCKER names no engine; deploy/test starts one");
            return None;
        };
        let worker = format!("test-registry-{}", std::process::id());
        let engine = quorate_docker::Engine::connect(Some(Path::new(&socket)), &worker).unwrap();
        engine.begin().unwrap();
        Some(Self { engine, worker })
    }

    fn options(&self, scheduler: &Scheduler, dir: &Path, listed: &[String]) -> WorkerOptions {
        let modules = engine::Engine::new(EngineConfig::default()).unwrap();
        let modules = Arc::new(EngineRunner::new(modules));
        let (engine, worker) = (self.engine.clone(), self.worker.clone());
        let (platform, registries) =
            (Platform::here().unwrap(), Registries::listed(listed).unwrap());
        WorkerOptions {
            invite: scheduler.invite(),
            node_key: NodeKey::from_bytes(&[1; 32]),
            vote_key: VoteKey::from_bytes(&[2; 32]).unwrap(),
            data_dir: dir.to_owned(),
            slots: 2,
            ask: 0,
            memory_bytes: 1 << 30,
            cache_bytes: 64 << 20,
            name: String::new(),
            runner: Arc::new(Containers::new(modules, engine, worker, platform, registries)),
            hook: None,
            chain: Vec::new(),
            escape: None,
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(self.engine.sweep());
    }
}

/// Gives a task of `image` to the worker, which is one of containers.
async fn assign(session: &mut Session, scheduler: &Scheduler, deal: u32, image: &ImageRef) {
    // Another bag for each deal, so that nothing of an earlier one is at hand.
    let tasks = vec![Task { stdin: deal.to_string(), ..Task::default() }];
    let deal_info = scheduler.deal_of(AppKind::Docker, deal, &image.to_bytes(), tasks);
    session.describe(&deal_info).await;
    session.assign(&[task(deal, 0)]).await;
}

async fn gives_back(session: &mut Session, reason: GiveUpReason) {
    let ToScheduler::GaveUp(gave_up) = session.hear().await else { panic!("it voted") };
    assert_eq!(gave_up.reason, reason);
}

/// What a name stands for in a registry.
async fn signed(registry: &str, name: &str) -> ImageRef {
    let reference = Reference::parse(&format!("{registry}/{name}")).unwrap();
    let platform = Platform::here().unwrap().to_string();
    let registries = Registries::one(registry).unwrap();
    resolve(&registries, &reference, &platform).await.unwrap().image
}

#[test]
fn an_image_comes_from_a_registry_that_is_listed_as_it_was_signed() {
    let Some(stage) = Stage::new() else { return };
    actix::System::new().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let Some(registry) = Registry::start(dir.path()) else { return };
        let (config, layer) = image::parts(&SCRIPT);
        registry.push("team/app", "1", &config, std::slice::from_ref(&layer)).await;
        let image = signed(&registry.name, "team/app:1").await;
        // Between the signature and the work somebody moves the tag.
        registry.push("team/app", "1", b"something else", &[vec![1; 10]]).await;
        let (mut scheduler, data) = (Scheduler::start(), dir.path().join("worker"));
        let listed = [format!("http://{}", registry.name)];
        let options = stage.options(&scheduler, &data, &listed);
        let worker = quorate_worker::start(options).await.unwrap();
        let mut session = scheduler.session().await;
        session.welcome().await;
        assign(&mut session, &scheduler, 0, &image).await;
        let commit = session.one_commit().await;
        session.ack(&commit).await;
        session.freeze(&commit).await;
        let reveal = session.one_reveal().await;
        let inline = reveal.inline.unwrap();
        assert_eq!(inline.blobs.last().map(Vec::as_slice), Some(&b"fine\n"[..]), "it ran");
        // What came is kept by its digest: another order of it needs no registry.
        drop(registry);
        assign(&mut session, &scheduler, 1, &image).await;
        session.one_commit().await;
        // One whose layers are not here does, and it is gone: nobody's fault, and no vote.
        let gone = image.manifest.replace(&Digest::of(&layer).to_string(), &"ab".repeat(32));
        let gone = ImageRef::new(&image.registry, &image.repository, &gone).unwrap();
        assign(&mut session, &scheduler, 2, &gone).await;
        gives_back(&mut session, GiveUpReason::Input).await;
        worker.halt().await;
    });
}

/// Whoever is not listed does not even see a connection.
#[test]
fn a_registry_that_is_not_listed_is_not_asked() {
    let Some(stage) = Stage::new() else { return };
    actix::System::new().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let stranger = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let name = stranger.local_addr().unwrap().to_string();
        let visits = Arc::new(AtomicU32::new(0));
        let count = visits.clone();
        tokio::spawn(async move {
            while let Ok((line, _)) = stranger.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                drop(line);
            }
        });
        let (config, layer) = image::parts(&SCRIPT);
        let row = |bytes: &[u8]| {
            format!(r#"{{"digest":"sha256:{}","size":{}}}"#, Digest::of(bytes), bytes.len())
        };
        let rows = (row(&config), row(&layer));
        let manifest =
            format!(r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#, rows.0, rows.1);
        let image = ImageRef::new(&name, "app", &manifest).unwrap();
        for (number, listed, reason) in [
            ("1", vec!["registry.example".to_owned()], GiveUpReason::Registry),
            ("2", Vec::new(), GiveUpReason::Registry),
            ("3", vec![format!("http://{name}")], GiveUpReason::Input),
        ] {
            let mut scheduler = Scheduler::start();
            let data = dir.path().join(number);
            let options = stage.options(&scheduler, &data, &listed);
            let worker = quorate_worker::start(options).await.unwrap();
            let mut session = scheduler.session().await;
            session.welcome().await;
            let before = visits.load(Ordering::SeqCst);
            assign(&mut session, &scheduler, 0, &image).await;
            gives_back(&mut session, reason).await;
            let is_asked = visits.load(Ordering::SeqCst) > before;
            assert_eq!(is_asked, reason == GiveUpReason::Input, "{listed:?}");
            // What else there is goes on.
            let deal = scheduler.deal(1, &wat::parse_str(HONEST).unwrap(), vec![Task::default()]);
            session.describe(&deal).await;
            session.assign(&[task(1, 0)]).await;
            session.one_commit().await;
            worker.halt().await;
        }
    });
}
