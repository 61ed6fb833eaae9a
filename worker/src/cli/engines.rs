//! Which engines a worker offers: connecting, sweeping, proving. `engines` shows it without working.

use super::{Global, config::Config, output::Output};
use crate::{
    Containers, EngineRunner, Runner,
    engine::{Engine, EngineConfig},
};
use quorate_common::{
    digest::Digest,
    exit::{Code, Failure},
    keys,
    report::Chain,
};
use quorate_docker::{EngineError, Platform, Report};
use serde::Serialize;
use std::sync::Arc;

/// What the owner wants of containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// None.
    Off,
    /// If there is an engine and all its limits hold.
    Auto,
    /// Nothing without.
    Require,
}

/// `engines --json`.
#[derive(Debug, Serialize)]
struct Shown {
    schema: &'static str,
    modules: Digest,
    containers: Option<Digest>,
    engine: Option<String>,
    runtime: Option<String>,
    rootless: Option<bool>,
    socket: Option<String>,
    report: Option<Report>,
    problem: Option<String>,
}

/// An engine that was tried.
struct Tried {
    engine: quorate_docker::Engine,
    worker: String,
    report: Report,
}

/// The runner of everything this worker offers. Blocks while limits are proven.
pub(crate) fn runner(config: &Config, output: Output) -> Result<Arc<dyn Runner>, Failure> {
    let modules = modules(config)?;
    let wish = config.docker()?;
    if wish == Wish::Off {
        return Ok(modules);
    }
    match offer(config, modules.clone(), output) {
        Ok(runner) => Ok(runner),
        Err(failure) if wish == Wish::Require => Err(required(failure)),
        Err(failure) => {
            output.note(format!("no containers: {}", failure.message));
            Ok(modules)
        }
    }
}

/// Which key makes an engine's trouble the end.
fn required(failure: Failure) -> Failure {
    let message = format!("`docker.use` is `require`: {}", failure.message);
    let hint = failure.hint.map_or_else(String::new, |hint| format!("{hint}; "));
    let hint = Some(format!("{hint}with docker.use=auto it works without containers"));
    Failure { message, hint, ..failure }
}

fn modules(config: &Config) -> Result<Arc<dyn Runner>, Failure> {
    // This very program, also where another one has taken its file's place.
    let compiler = cfg!(target_os = "linux").then(|| "/proc/self/exe".into());
    let cache_dir = Some(config.path("modules"));
    let engine = Engine::new(EngineConfig { cache_dir, compiler });
    let engine = engine.map_err(|error| Failure::new(Code::Internal, Chain(&error)))?;
    let runner = EngineRunner::new(engine);
    Ok(Arc::new(if config.packs()? { runner } else { runner.without_packs() }))
}

fn offer(
    config: &Config,
    modules: Arc<dyn Runner>,
    output: Output,
) -> Result<Arc<dyn Runner>, Failure> {
    let platform = Platform::here().ok_or_else(|| {
        Failure::new(Code::Internal, "no containers run on this processor; expected amd64 or arm64")
    })?;
    let Tried { engine, worker, report } = try_engine(config)?;
    output.note(format!("{}\n{report}", about(&engine)));
    if let Some(broken) = report.broken().next() {
        let text = format!("{} does not keep its limits: {broken}", engine.about().name);
        return Err(Failure::new(Code::Internal, text)
            .hint("quorate-worker engines shows all of them; see worker/docs/docker.md"));
    }
    let registries = config.registries()?;
    Ok(Arc::new(Containers::new(modules, engine, worker, platform, registries)))
}

/// Connects, clears what a crash left, brings the probe and runs it.
fn try_engine(config: &Config) -> Result<Tried, Failure> {
    let key = keys::node_key_at(&config.path("node.key"));
    let key = key.map_err(|error| super::failure::key(&error))?;
    let worker = hex::encode(key.public());
    let socket = config.file_of("docker.socket");
    let tried = || -> Result<Tried, EngineError> {
        let engine = quorate_docker::Engine::connect(socket.as_deref(), &worker)?;
        let swept = engine.sweep()?;
        tracing::info!(?swept, "what an earlier life left on the container engine is gone");
        engine.begin()?;
        let report = engine.gate()?;
        Ok(Tried { engine, worker: worker.clone(), report })
    };
    tried().map_err(|error| {
        Failure::new(Code::Unreachable, format!("the container engine: {}", Chain(&error)))
            .hint("is it running, and may this user open its socket? see worker/docs/docker.md")
    })
}

fn about(engine: &quorate_docker::Engine) -> String {
    let about = engine.about();
    let rights = if about.rootless { "without root" } else { "as root" };
    let (name, runtime, socket) = (&about.name, &about.runtime, about.socket.display());
    format!("{name} {rights} with {runtime}, control groups v{}, at {socket}", about.cgroups)
}

/// `engines`.
pub(crate) fn show(global: &Global, output: Output) -> Result<(), Failure> {
    if crate::start::is_running(&Config::load(global, &[])?.data_dir) {
        let text = "this worker is running: trying its engine now would take its containers away";
        return Err(Failure::new(Code::Conflict, text).hint("stop it first"));
    }
    let config = Config::load(global, &[])?;
    let modules = modules(&config)?;
    let tried = try_engine(&config);
    let found = tried.as_ref().ok().map(|tried| tried.engine.about().clone());
    let report = tried.as_ref().ok().map(|tried| tried.report.clone());
    let holds = report.as_ref().is_some_and(Report::holds);
    let containers = match (&tried, Platform::here()) {
        (Ok(Tried { engine, worker, .. }), Some(platform)) if holds => {
            let (engine, worker) = (engine.clone(), worker.clone());
            let registries = config.registries()?;
            Containers::new(modules.clone(), engine, worker, platform, registries).containers()
        }
        _ => None,
    };
    let shown = Shown {
        schema: "quorate.engines/v1",
        modules: modules.engine_hash(),
        containers,
        engine: found.as_ref().map(|about| about.name.clone()),
        runtime: found.as_ref().map(|about| about.runtime.clone()),
        rootless: found.as_ref().map(|about| about.rootless),
        socket: found.map(|about| about.socket.display().to_string()),
        report,
        problem: tried.as_ref().err().map(|failure| failure.message.clone()),
    };
    let swept = tried.as_ref().map(|tried| tried.engine.sweep());
    drop(swept);
    output.either(&shown, || text(&shown, tried.as_ref().ok().map(|tried| about(&tried.engine))))
}

fn text(shown: &Shown, about: Option<String>) -> String {
    let mut text = format!("modules     {}\n", shown.modules);
    match (&shown.containers, &shown.problem) {
        (Some(hash), _) => text += &format!("containers  {hash}\n"),
        (None, Some(problem)) => text += &format!("containers  none: {problem}\n"),
        (None, None) => text += "containers  none: not all limits hold\n",
    }
    for line in about.into_iter().chain(shown.report.as_ref().map(ToString::to_string)) {
        text += &format!("\n{line}\n");
    }
    text.trim_end().to_owned()
}
