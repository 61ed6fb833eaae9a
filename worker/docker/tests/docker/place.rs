//! Where the tests run: an engine, an image on it, and a way to run scripts.

use quorate_docker::{
    Engine, Folders, Image, Limits, Outcome, Platform, RunError, Stop, Task,
    image::{self, ImageError},
    tar::{Item, Writer},
};
use sha2::{Digest as _, Sha256};
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

pub(crate) const FOLDERS: Folders = Folders { input: "/in", output: "/out" };

/// Small, so that what fills it up is done soon.
pub(crate) const LIMITS: Limits = Limits {
    memory_bytes: 64 << 20,
    output_bytes: 1 << 20,
    milli_cpus: 1_000,
    wall: Duration::from_secs(60),
};

/// The sockets of the engines that are there, with the variables that name them.
pub(crate) fn sockets() -> Vec<(&'static str, String)> {
    let names = ["QUORATE_TEST_DOCKER", "QUORATE_TEST_PODMAN"];
    // A process that is to be killed plays on one engine.
    if let Ok(name) = std::env::var("QUORATE_TEST_VICTIM") {
        let name = names.into_iter().find(|known| *known == name).expect("an engine's name");
        return vec![(name, std::env::var(name).expect("its socket"))];
    }
    let found: Vec<_> =
        names.into_iter().filter_map(|name| Some((name, std::env::var(name).ok()?))).collect();
    if found.len() < names.len() {
        let missing: Vec<_> =
            names.iter().filter(|name| found.iter().all(|(known, _)| known != *name)).collect();
        assert!(std::env::var_os("CI").is_none(), "{missing:?} name no engine: run deploy/test");
        eprintln!("NOT TESTED: {missing:?} name no engine; deploy/test starts some");
    }
    found
}

/// An engine with an image of busybox on it. What it made goes with it.
pub(crate) struct Place {
    pub(crate) engine: Engine,
    pub(crate) image: String,
    pub(crate) name: &'static str,
    pub(crate) worker: String,
}

impl Place {
    /// Every engine that is there, each with a label of the test's own.
    pub(crate) fn all(test: &str) -> Vec<Self> {
        sockets().into_iter().map(|(name, socket)| Self::new(name, &socket, test)).collect()
    }

    fn new(name: &'static str, socket: &str, test: &str) -> Self {
        let worker = label(test, std::process::id());
        let engine = Engine::connect(Some(Path::new(socket)), &worker).expect("an engine");
        engine.begin().expect("our own image loads");
        let image = read_as(&saved(&busybox(), "{}"), &worker).expect("an image");
        engine.prepare(&image).expect("it loads");
        Self { engine, image: image.id, name, worker }
    }

    /// Podman is tried for what it does; what its gate refuses gets no strangers' work.
    pub(crate) fn is_podman(&self) -> bool {
        self.name == "QUORATE_TEST_PODMAN"
    }

    pub(crate) fn task(&self, script: &str) -> Task {
        Task {
            image: self.image.clone(),
            args: ["/bin/busybox", "sh", "-c", script].map(str::to_owned).into(),
            env: vec!["PATH=/bin".to_owned()],
            stdin: Vec::new(),
            inputs: Vec::new(),
            folders: FOLDERS,
            hold: Default::default(),
            limits: LIMITS,
        }
    }

    pub(crate) fn run(&self, script: &str) -> Result<Outcome, RunError> {
        self.engine.run(self.task(script), Stop::default())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A failing test says more than what it left behind.
        if let Err(error) = self.engine.sweep() {
            eprintln!("the engine was not swept: {error}");
        }
    }
}

pub(crate) fn platform() -> Platform {
    Platform::here().expect("containers run on this processor")
}

/// Looks until it is so, which must be within a minute.
pub(crate) fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let latest = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < latest, "waited in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Whose everything of a test is.
pub(crate) fn label(test: &str, process: u32) -> String {
    format!("test-{test}-{process}")
}

pub(crate) fn read(archive: &[u8]) -> Result<Image, ImageError> {
    read_as(archive, "test")
}

/// Checks an archive as a worker does.
pub(crate) fn read_as(archive: &[u8], worker: &str) -> Result<Image, ImageError> {
    let path = tempfile::NamedTempFile::new().expect("a file").into_temp_path().keep();
    let path = path.expect("a file that stays");
    fs::write(&path, archive).expect("written");
    let digest = Sha256::digest(archive).into();
    let source = image::Source::Archive { path: &path, digest: &digest };
    image::read(source, platform(), &[("quorate.worker", worker)])
}

/// A layer with busybox under every name that scripts use, and the worker's own program.
pub(crate) fn busybox() -> Vec<u8> {
    let program = fs::read("/bin/busybox").expect("apt-get install busybox-static");
    let guest = format!("guest/guest-{}", std::env::consts::ARCH);
    let guest = fs::read(guest).expect("the guest is committed");
    let mut writer = Writer::default();
    writer.add(Item::Folder("bin"), &[]);
    writer.add(Item::Program("bin/busybox"), &program);
    writer.add(Item::Program("bin/guest"), &guest);
    let shell = "#!/bin/busybox sh\nexec /bin/busybox \"${0##*/}\" \"$@\"\n";
    for name in ["cat", "dd", "ls", "ln", "mkdir", "mkfifo", "mknod", "sleep", "truncate", "yes"] {
        writer.add(Item::Program(&format!("bin/{name}")), shell.as_bytes());
    }
    writer.finish()
}

/// An archive as `docker save` writes one; `config` is the image's own, as JSON.
pub(crate) fn saved(layer: &[u8], config: &str) -> Vec<u8> {
    let diff_id = format!("sha256:{}", hex::encode(Sha256::digest(layer)));
    let config = format!(
        "{{\"architecture\":\"{}\",\"os\":\"linux\",\"config\":{config},\
         \"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[\"{diff_id}\"]}}}}",
        platform().architecture()
    );
    let manifest =
        r#"[{"Config":"config.json","RepoTags":["busybox:latest"],"Layers":["a/layer.tar"]}]"#;
    let mut writer = Writer::default();
    writer.add(Item::File("manifest.json"), manifest.as_bytes());
    writer.add(Item::File("config.json"), config.as_bytes());
    writer.add(Item::File("a/layer.tar"), layer);
    writer.finish()
}
