//! `doctor`: everything a worker needs, tried one by one, with what to do about what is missing.

use super::{Global, config::Config, control, engines::Wish, output::Output};
use crate::{
    cgroup::JobGroup,
    engine::{Engine, EngineConfig},
    start,
    why::why,
};
use quorate_common::{
    exit::{Code, Failure},
    keys,
    report::Chain,
};
use quorate_policy::{Reason, prefs::MIB};
use quorate_senses::{Machine, Session, machine::Roots, session::Surroundings};
use serde::Serialize;
use serde_json::json;

/// One thing that was tried.
#[derive(Debug, Serialize)]
struct Check {
    what: &'static str,
    verdict: Verdict,
    words: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Good,
    Warning,
    Error,
}

/// `doctor`: exit code 0, 10 with warnings, 1 with errors.
pub(super) async fn run(global: Global, output: Output) -> Result<(), Failure> {
    let config = Config::load(&global, &[])?;
    let mut checks = vec![invite(&config), node_key(&config), engine(), containers(&config)?];
    checks.push(disk(&config)?);
    checks.push(desktop(&config).await);
    checks.push(shares());
    checks.push(worker(&config).await);
    let document = json!({ "schema": "quorate.doctor/v1", "checks": checks });
    output.either(&document, || checks.iter().map(line).collect::<Vec<_>>().join("\n"))?;
    let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    match (count(Verdict::Error), count(Verdict::Warning)) {
        (0, 0) => Ok(()),
        (0, warnings) => Err(Failure::new(Code::Failed, format!("{warnings} warnings"))),
        (errors, _) => Err(Failure::new(Code::Internal, format!("{errors} errors"))),
    }
}

fn line(check: &Check) -> String {
    let mark = match check.verdict {
        Verdict::Good => "ok     ",
        Verdict::Warning => "warning",
        Verdict::Error => "error  ",
    };
    format!("{mark}  {:10}  {}", check.what, check.words)
}

fn good(what: &'static str, words: impl Into<String>) -> Check {
    Check { what, verdict: Verdict::Good, words: words.into() }
}

fn warning(what: &'static str, words: impl Into<String>) -> Check {
    Check { what, verdict: Verdict::Warning, words: words.into() }
}

fn error(what: &'static str, words: impl Into<String>) -> Check {
    Check { what, verdict: Verdict::Error, words: words.into() }
}

fn invite(config: &Config) -> Check {
    match config.invite() {
        Ok(invite) => good("pool", format!("{} at {}", invite.pool, invite.address)),
        Err(failure) => error("pool", failure.to_string()),
    }
}

/// Looked at only where there is one: `join` makes it.
fn node_key(config: &Config) -> Check {
    let path = config.path("node.key");
    if !path.exists() {
        return error("keys", "there are none; `quorate-worker join` makes them");
    }
    match keys::node_key_at(&path) {
        Ok(key) => good("keys", format!("node key {}", hex::encode(key.public()))),
        Err(failed) => error("keys", Chain(&failed).to_string()),
    }
}

fn engine() -> Check {
    match Engine::new(EngineConfig::default()) {
        Ok(_) => good("modules", "the WASM engine runs here"),
        Err(failed) => error("modules", Chain(&failed).to_string()),
    }
}

fn containers(config: &Config) -> Result<Check, Failure> {
    let words = "offered; `quorate-worker engines` tries every limit";
    Ok(match config.docker()? {
        Wish::Off => good("containers", "not offered (`docker.use`)"),
        Wish::Auto | Wish::Require => good("containers", words),
    })
}

fn disk(config: &Config) -> Result<Check, Failure> {
    // Before it has joined, its folder is not there; the disk is.
    let folder = std::path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone());
    let there = folder.ancestors().find(|place| place.exists());
    let folder = there.unwrap_or(&folder).to_path_buf();
    let looked = Machine::new(Roots::default(), folder, &[]).look(0);
    let keep = config.preferences()?.disk_free_bytes;
    Ok(match looked.disk_free_bytes {
        Some(free) if free < keep => {
            let reason = Reason::Disk { keep_bytes: keep };
            warning("disk", format!("{}; {}", reason.words(), reason.hint()))
        }
        Some(free) => good("disk", format!("{} MiB free", free / MIB)),
        None => error("disk", format!("{} cannot be looked at", config.data_dir.display())),
    })
}

/// Whether anybody can tell if somebody is there.
async fn desktop(config: &Config) -> Check {
    if config.layers.flag_on("dedicated").is_ok_and(|on| on) {
        return good("desktop", "nobody is looked for (`dedicated`)");
    }
    if let Some((status, _)) = control::status(config).await {
        let senses = status.mood.map(|mood| mood.senses).unwrap_or_default();
        return match senses.is_empty() {
            false => good("desktop", format!("told of people by the {}", senses.join(", the "))),
            true => warning("desktop", untold()),
        };
    }
    let eyes = Session::open(&Surroundings::here()).await.sources();
    match eyes.is_empty() {
        false => good("desktop", format!("seen by {}", eyes.join(", "))),
        true => warning("desktop", untold()),
    }
}

fn untold() -> String {
    let reason = Reason::CannotTell;
    format!("{}, so it works as if you were; {}", reason.words(), reason.hint())
}

fn shares() -> Check {
    match JobGroup::open() {
        Some(group) => good("shares", group.describe()),
        None => good("shares", "no control group can be made; tasks keep their share by resting"),
    }
}

async fn worker(config: &Config) -> Check {
    let status = control::status(config).await.map(|(status, _)| status);
    let is_running = start::is_running(&config.data_dir);
    match why(status.as_ref(), is_running) {
        None => good("worker", "working"),
        Some(reason @ (Reason::NoWork | Reason::Paused)) => good("worker", reason.words()),
        Some(reason) => warning("worker", format!("{}; {}", reason.words(), reason.hint())),
    }
}
