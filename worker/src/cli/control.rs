//! `start`, `pause`, `finish`, `resume`, `stop`: the owner's word to a running worker, or on disk for the next one.

use super::{Global, PauseArgs, config::Config, failure, output::Output, show};
use crate::{
    blobs::{BlobError, Blobs},
    control::{self, Ask, Told},
    start::is_running,
    status::Status,
    wish::WishFile,
};
use quorate_common::{
    clock::SystemClock,
    exit::{Code, Failure},
    report::Chain,
};
use quorate_policy::{Asked, Wish};
use serde_json::json;
use std::{
    fs::File,
    io,
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
    time::Duration,
};
use tokio::time::Instant;

/// How long a worker may take to be there: it opens its store and engine first, and proves container limits if it
/// offers them.
const COMING: Duration = Duration::from_secs(60);
/// How long it may take to go: it shows what is sealed, and waits for the answers.
const GOING: Duration = Duration::from_secs(20);
/// Pause between two looks for either.
const LOOK: Duration = Duration::from_millis(50);
/// The file a worker in the background writes to.
pub(crate) const LOG: &str = "worker.log";

/// `start`.
pub(super) async fn start(global: Global, output: Output) -> Result<(), Failure> {
    let config = Config::load(&global, &[])?;
    config.invite()?;
    wish(&config, Wish::default())?;
    if !is_running(&config.data_dir) {
        spawn(&global, &config)?;
        output.note(format!("started; it writes to {}", config.path(LOG).display()));
        come(&config).await?;
    }
    tell(&config, Wish::default(), output).await
}

/// `pause`.
pub(super) async fn pause(global: Global, args: PauseArgs, output: Output) -> Result<(), Failure> {
    let config = Config::load(&global, &[])?;
    let now_ms = SystemClock::start().now().unix_ms;
    let until_unix_ms = args.until.map(|until| until.unix_ms(now_ms));
    tell(&config, Wish { asked: Asked::Pause, until_unix_ms }, output).await
}

/// `resume`, `finish`.
pub(super) async fn say(global: Global, asked: Asked, output: Output) -> Result<(), Failure> {
    let config = Config::load(&global, &[])?;
    tell(&config, Wish { asked, until_unix_ms: None }, output).await
}

/// `stop`.
pub(super) async fn stop(global: Global, output: Output) -> Result<(), Failure> {
    let config = Config::load(&global, &[])?;
    end(&config).await?;
    show::status(&global, output).await
}

/// Ends the worker, if one runs.
pub(super) async fn end(config: &Config) -> Result<(), Failure> {
    if !is_running(&config.data_dir) {
        return Ok(());
    }
    ask(config, &Ask::Stop).await?;
    let until = Instant::now() + GOING;
    while is_running(&config.data_dir) {
        if Instant::now() > until {
            let text = format!("the worker still runs after {GOING:?}");
            return Err(Failure::new(Code::TimedOut, text).hint("its log says what it waits for"));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// The worker as it says it is; none where none runs.
pub(crate) async fn status(config: &Config) -> Option<(Status, u32)> {
    let told = control::ask(&config.data_dir, &Ask::Status).await.ok()?;
    match told {
        Told::Status { status, pid } => Some((*status, pid)),
        Told::Page { .. } | Told::Refused { .. } => None,
    }
}

/// Says it to whoever runs, or leaves word for whoever runs next.
async fn tell(config: &Config, wish: Wish, output: Output) -> Result<(), Failure> {
    if is_running(&config.data_dir) {
        let status = ask(config, &Ask::Wish { wish }).await?;
        return show::print(config, Some(&status), true, output);
    }
    self::wish(config, wish)?;
    let status = Status::read(&config.path(show::STATUS_FILE)).ok();
    output.note("written down for the next start");
    show::print(config, status.as_ref(), false, output)
}

fn wish(config: &Config, wish: Wish) -> Result<(), Failure> {
    if is_running(&config.data_dir) {
        return Ok(());
    }
    let failed = |error: io::Error| failure::file(&config.data_dir, &error);
    std::fs::create_dir_all(&config.data_dir).map_err(failed)?;
    WishFile::within(&config.data_dir).write(wish).map_err(failed)
}

/// Asks a running worker to do something, and insists on it.
pub(super) async fn ask(config: &Config, ask: &Ask) -> Result<Status, Failure> {
    match told(config, ask).await? {
        Told::Status { status, .. } => Ok(*status),
        Told::Page { .. } => {
            Err(Failure::new(Code::Internal, "the worker answered another question"))
        }
        Told::Refused { why } => Err(Failure::new(Code::Conflict, why)),
    }
}

async fn told(config: &Config, ask: &Ask) -> Result<Told, Failure> {
    control::ask(&config.data_dir, ask).await.map_err(|error| {
        let text = format!("the worker runs, but does not answer: {error}");
        Failure::new(Code::Unreachable, text)
            .hint("is it another user's, or just starting? try again in a moment")
    })
}

/// `clear`.
pub(super) async fn clear(global: Global, output: Output) -> Result<(), Failure> {
    let config = Config::load(&global, &[])?;
    if is_running(&config.data_dir) {
        ask(&config, &Ask::Clear).await?;
    } else {
        let failed = |error: BlobError| Failure::new(Code::Internal, Chain(&error));
        let blobs = Blobs::open(&config.path("blobs"), config.cache_bytes()?).map_err(failed)?;
        blobs.clear().map_err(failed)?;
    }
    output.either(&json!({ "schema": "quorate.clear/v1" }), || {
        "what can be fetched again is gone, but for what tasks need now".into()
    })
}

/// A URL that lets one browser in.
pub(crate) async fn page_url(config: &Config) -> Result<String, Failure> {
    match told(config, &Ask::Open).await? {
        Told::Page { url } => Ok(url),
        Told::Refused { why } => Err(Failure::new(Code::Conflict, why)
            .hint("`quorate-worker set page.listen=127.0.0.1:7430`, then start it again")),
        Told::Status { .. } => {
            Err(Failure::new(Code::Internal, "the worker answered another question"))
        }
    }
}

/// In the background, in a process group of its own, so that the terminal's end is not its own.
fn spawn(global: &Global, config: &Config) -> Result<(), Failure> {
    let log = config.path(LOG);
    let opened = File::options().create(true).append(true).open(&log);
    let file = opened.map_err(|error| failure::file(&log, &error))?;
    let failed =
        |error: io::Error| Failure::new(Code::Internal, format!("it cannot be started: {error}"));
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.arg("--data-dir").arg(&config.data_dir);
    if let Some(file) = &global.config {
        command.arg("--config").arg(file);
    }
    for pair in &global.set {
        command.arg("--set").arg(pair);
    }
    command.arg("run").process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
    command.spawn().map(drop).map_err(failed)
}

async fn come(config: &Config) -> Result<(), Failure> {
    let until = Instant::now() + COMING;
    while status(config).await.is_none() {
        if Instant::now() > until {
            let text = format!("the worker does not answer after {COMING:?}");
            let hint = format!("{} says why", config.path(LOG).display());
            return Err(Failure::new(Code::TimedOut, text).hint(hint));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}
