//! The line to an engine: finding its socket, waiting for its answers, giving it images.
//!
//! Calls block, and come from any thread: what waits runs on a small runtime of its own, so that a worker's
//! other parts never do. Every call has an end, since an engine that hangs must not hang the worker.

use crate::{
    image::{Image, Segment, Span},
    profile::{Podman, Profile},
    seccomp,
};
use bollard::{
    ClientVersion, Docker,
    models::SystemInfo,
    query_parameters::{ImportImageOptions, RemoveImageOptionsBuilder},
};
use futures_util::{StreamExt as _, stream};
use std::{
    fmt,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::Duration,
};
use tokio::runtime::Runtime;

/// The oldest version of the engine's interface that has all we ask for: Docker 20.10 speaks it, Podman 4 too.
const OLDEST: ClientVersion = ClientVersion { major_version: 1, minor_version: 40 };
/// Longest answer to a simple question. A busy disk makes a daemon slow, not that slow.
pub(crate) const CALL: Duration = Duration::from_secs(60);
/// Longest time to unpack an image of two gigabytes onto a slow disk.
const LOAD: Duration = Duration::from_secs(900);
/// What the client itself waits at most; our own limits are shorter, but for a task's run.
const CLIENT: u64 = 30 * 24 * 3_600;
/// Bytes of an image sent at a time, and pieces that may wait.
const CHUNK: usize = 256 << 10;
const AHEAD: usize = 4;
/// Threads that wait: they do nothing else.
const THREADS: usize = 2;

/// Where engines listen, in order: the user's own before the system's, since what escapes from it is nobody.
const USER_SOCKETS: [&str; 2] = ["docker.sock", "podman/podman.sock"];
const SYSTEM_SOCKETS: [&str; 2] = ["/var/run/docker.sock", "/run/podman/podman.sock"];

/// Why an engine did not do what it was asked. Never anybody's vote. Reads after "the container engine: ".
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No engine was named, and none was found.
    #[error(
        "no engine listens on {0}; start one, or name its socket with `docker.socket` (DATA-DIR/quorate.toml)"
    )]
    NoSocket(String),
    /// It refused or failed.
    #[error("could not {what}")]
    Call {
        /// What was asked of it.
        what: &'static str,
        /// What it said.
        #[source]
        source: Box<bollard::errors::Error>,
    },
    /// It did not answer.
    #[error("could not {what}: no answer for {limit:?}")]
    Silent {
        /// What was asked of it.
        what: &'static str,
        /// How long it was waited for.
        limit: Duration,
    },
    /// It answered something else than what it should.
    #[error("{0}")]
    Strange(String),
    /// The worker's own threads are gone.
    #[error("the threads that wait for it could not be started or are gone")]
    Threads,
}

/// What an engine says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Its name and version, as `Docker 20.10.24`.
    pub name: String,
    /// Where it listens.
    pub socket: PathBuf,
    /// Version of the kernel's control groups, 1 or 2.
    pub cgroups: u8,
    /// Whether it runs without the rights of root.
    pub rootless: bool,
    /// The runtime that containers get: `runsc` where the engine has it.
    pub runtime: String,
    /// Whether it says that it filters system calls.
    pub seccomp: bool,
}

/// A line to an engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) docker: Docker,
    pub(crate) profile: Arc<Profile>,
    about: Arc<About>,
    runtime: Arc<Threads>,
}

/// The runtime, which must not be waited for where nothing may wait.
struct Threads(Option<Runtime>);

impl Engine {
    /// Finds an engine and learns what it is. `socket` names one, `worker` is whose everything will be.
    ///
    /// # Errors
    /// There is none, or it is too old or does not answer.
    pub fn connect(socket: Option<&Path>, worker: &str) -> Result<Self, EngineError> {
        let socket = find(socket)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("docker")
            .enable_all()
            .build()
            .map_err(|_| EngineError::Threads)?;
        let threads = Arc::new(Threads(Some(runtime)));
        let path = socket.display().to_string();
        let (docker, info) = block(&threads, async move {
            let docker = Docker::connect_with_unix(&path, CLIENT, bollard::API_DEFAULT_VERSION);
            let docker = docker.map_err(|error| failed("connect", error))?;
            let docker = within("learn its version", CALL, docker.negotiate_version()).await?;
            let info = within("learn what it is", CALL, docker.info()).await?;
            Ok::<_, EngineError>((docker, info))
        })??;
        check_version(docker.client_version())?;
        let about = about(&info, socket);
        let profile = Profile {
            worker: worker.to_owned(),
            runtime: (about.runtime == RUNSC).then(|| RUNSC.to_owned()),
            cgroup_v1: about.cgroups == 1,
            podman: about.name.starts_with(PODMAN).then(|| {
                let filter = seccomp::stricter().map(|file| Arc::new(file.into_temp_path()));
                Podman { filter }
            }),
        };
        let (profile, about) = (Arc::new(profile), Arc::new(about));
        Ok(Self { docker, profile, about, runtime: threads })
    }

    /// Brings the worker's own image, without which nothing runs.
    ///
    /// # Errors
    /// The engine does not take it.
    pub fn begin(&self) -> Result<(), EngineError> {
        let engine = self.clone();
        self.block(async move { crate::guest::load(&engine).await })
    }

    /// Brings a stranger's image.
    ///
    /// # Errors
    /// The engine does not take it.
    pub fn prepare(&self, image: &Image) -> Result<(), EngineError> {
        let (engine, image) = (self.clone(), image.clone());
        self.block(async move { engine.load(&image).await })
    }

    /// Takes a stranger's image away, unless something uses it.
    ///
    /// # Errors
    /// The engine does not.
    pub fn discard(&self, id: &str) -> Result<(), EngineError> {
        let (engine, id) = (self.clone(), id.to_owned());
        self.block(async move { engine.unload(&id).await })
    }

    /// What it said of itself.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Waits here for what happens there.
    pub(crate) fn block<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, EngineError>> + Send + 'static,
    ) -> Result<T, EngineError> {
        block(&self.runtime, work)?
    }

    /// Gives an image to the engine, and makes sure that it has just that.
    pub(crate) async fn load(&self, image: &Image) -> Result<(), EngineError> {
        self.load_segments(&image.id, image.heads()).await
    }

    pub(crate) async fn load_segments(
        &self,
        id: &str,
        segments: Vec<Segment>,
    ) -> Result<(), EngineError> {
        let loading = self.docker.import_image_stream(
            ImportImageOptions { quiet: true, ..Default::default() },
            pieces(segments).map(|piece| piece.map(Into::into)),
            None,
        );
        let drained = async {
            let mut loading = std::pin::pin!(loading);
            while let Some(said) = loading.next().await {
                said?;
            }
            Ok(())
        };
        within("load an image", LOAD, drained).await?;
        let found = within("find a loaded image", CALL, self.docker.inspect_image(id)).await?;
        // Podman leaves out what kind of digest it is.
        let found = found.id.unwrap_or_default();
        if found.trim_start_matches("sha256:") != id.trim_start_matches("sha256:") {
            let text = format!("an image was loaded as {found}; expected {id}");
            return Err(EngineError::Strange(text));
        }
        Ok(())
    }

    /// Takes an image away, unless something uses it.
    pub(crate) async fn unload(&self, id: &str) -> Result<(), EngineError> {
        let options = RemoveImageOptionsBuilder::default().force(true).build();
        away("remove an image", self.docker.remove_image(id, Some(options), None)).await
    }
}

/// What an engine is called that has no containerd.
const PODMAN: &str = "Podman";
/// The runtime that puts a kernel of its own between a container and the machine's.
const RUNSC: &str = "runsc";

fn find(named: Option<&Path>) -> Result<PathBuf, EngineError> {
    if let Some(named) = named {
        let is_there = named.exists();
        let missing = || EngineError::NoSocket(named.display().to_string());
        return is_there.then(|| named.to_owned()).ok_or_else(missing);
    }
    let host = std::env::var("DOCKER_HOST").ok();
    let host = host.and_then(|host| host.strip_prefix("unix://").map(PathBuf::from));
    let folder = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let own = folder.iter().flat_map(|folder| USER_SOCKETS.map(|name| folder.join(name)));
    let all: Vec<PathBuf> =
        host.into_iter().chain(own).chain(SYSTEM_SOCKETS.map(PathBuf::from)).collect();
    let names: Vec<String> = all.iter().map(|path| path.display().to_string()).collect();
    let found = all.into_iter().find(|path| path.exists());
    found.ok_or_else(|| EngineError::NoSocket(names.join(", ")))
}

fn check_version(found: ClientVersion) -> Result<(), EngineError> {
    let rank = |version: &ClientVersion| (version.major_version, version.minor_version);
    if rank(&found) >= rank(&OLDEST) {
        return Ok(());
    }
    Err(EngineError::Strange(format!(
        "it speaks version {found} of its interface; expected {OLDEST} or later (Docker 20.10, Podman 4)"
    )))
}

fn about(info: &SystemInfo, socket: PathBuf) -> About {
    let options = info.security_options.as_deref().unwrap_or_default();
    let has = |word: &str| options.iter().any(|option| option.contains(word));
    let version = info.server_version.as_deref().unwrap_or("of unknown version");
    // Podman answers for Docker, but has no containerd.
    let commit = info.containerd_commit.as_ref().and_then(|commit| commit.id.as_deref());
    let is_podman = commit.is_none_or(str::is_empty);
    let runtime = info.runtimes.iter().flatten().find(|(name, _)| *name == RUNSC);
    // Podman names every runtime it has heard of, whether it is there or not.
    let is_there = |path: Option<&str>| path.is_some_and(|path| Path::new(path).exists());
    let runtime = runtime.filter(|(_, runtime)| !is_podman || is_there(runtime.path.as_deref()));
    let runtime = runtime.map(|(name, _)| name.clone());
    let name = if is_podman { PODMAN } else { "Docker" };
    About {
        name: format!("{name} {version}"),
        socket,
        cgroups: match info.cgroup_version.map(|version| version.to_string()).as_deref() {
            Some("2") => 2,
            _ => 1,
        },
        rootless: has("rootless"),
        runtime: runtime.or_else(|| info.default_runtime.clone()).unwrap_or_default(),
        seccomp: has("seccomp"),
    }
}

/// The image as it goes over the line, read by a thread so that no other one waits for a disk.
fn pieces(
    segments: Vec<Segment>,
) -> impl futures_util::Stream<Item = io::Result<Vec<u8>>> + Send + 'static {
    let (sender, receiver) = tokio::sync::mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        for segment in segments {
            let outcome = match segment {
                Segment::Bytes(bytes) => sender.blocking_send(Ok(bytes)).map_err(io::Error::other),
                Segment::Layer(span) => copy(&span, &sender),
            };
            if let Err(error) = outcome {
                // Nobody listens any more, if this fails too.
                drop(sender.blocking_send(Err(error)));
                return;
            }
        }
    });
    stream::unfold(receiver, async |mut receiver| {
        receiver.recv().await.map(|piece| (piece, receiver))
    })
}

fn copy(span: &Span, sender: &tokio::sync::mpsc::Sender<io::Result<Vec<u8>>>) -> io::Result<()> {
    let mut file = File::open(&span.file)?;
    file.seek(SeekFrom::Start(span.at))?;
    let mut left = file.take(span.size);
    loop {
        let mut piece = Vec::with_capacity(CHUNK);
        left.by_ref().take(CHUNK as u64).read_to_end(&mut piece)?;
        if piece.is_empty() {
            return Ok(());
        }
        sender.blocking_send(Ok(piece)).map_err(io::Error::other)?;
    }
}

/// Waits for an answer, but not for ever.
pub(crate) async fn within<T>(
    what: &'static str,
    limit: Duration,
    call: impl Future<Output = Result<T, bollard::errors::Error>>,
) -> Result<T, EngineError> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(|error| failed(what, error)),
        Err(_) => Err(EngineError::Silent { what, limit }),
    }
}

/// The same for what is to be taken away: gone is gone, whoever did it.
pub(crate) async fn away<T>(
    what: &'static str,
    call: impl Future<Output = Result<T, bollard::errors::Error>>,
) -> Result<(), EngineError> {
    const MISSING: u16 = 404;
    match within(what, CALL, call).await {
        Err(EngineError::Call { source, .. }) if status(&source) == Some(MISSING) => Ok(()),
        outcome => outcome.map(drop),
    }
}

/// What an engine's refusal has as its number.
pub(crate) fn status(error: &bollard::errors::Error) -> Option<u16> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "only one of the library's errors has one")]
    match error {
        bollard::errors::Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

pub(crate) fn failed(what: &'static str, source: bollard::errors::Error) -> EngineError {
    EngineError::Call { what, source: Box::new(source) }
}

fn block<T: Send + 'static>(
    threads: &Threads,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, EngineError> {
    let runtime = threads.0.as_ref().ok_or(EngineError::Threads)?;
    let (sender, receiver) = mpsc::channel();
    runtime.spawn(async move {
        // Who asked waits below for as long as this takes.
        drop(sender.send(work.await));
    });
    receiver.recv().map_err(|_| EngineError::Threads)
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("about", &self.about).finish_non_exhaustive()
    }
}
