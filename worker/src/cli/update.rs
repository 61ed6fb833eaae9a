//! `update`: see, install, go back. What may be believed is decided in `quorate_update::rules`.

use super::{
    Global,
    config::Config,
    failure,
    output::{Output, facts},
};
use clap::Subcommand;
use quorate_common::{
    exit::{Code, Failure},
    keys::{self, NodeKey},
};
use quorate_update::{
    Folder, Source, UpdateError, Updater,
    rules::{Effect, Input, Me, Mode, Notice, Offer, State},
};
use semver::Version;
use serde_json::json;
use std::{env, os::unix::net::UnixDatagram, path::Path};

/// In the worker's folder.
pub(crate) const FOLDER: &str = "versions";
/// Where a running worker listens for the owner's word; who may write in the folder may knock.
pub(crate) const KNOCK: &str = "knock";

pub(crate) const HELP: &str = "\
A release counts if enough of the publisher's keys have signed it (update.root says which), if it is newer than
any seen before, and if it has not expired. A new version runs on trial: if it does not reach the scheduler
within update.patience_s, the one before runs again, and the new one is remembered as bad.";

#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum UpdateCommand {
    /// Ask the source whether there is a newer version
    Check {
        /// The clock was wrong before and is right now
        #[arg(long)]
        trust_clock: bool,
    },
    /// Fetch the newer version and have it run, when the work in hand is done
    Apply,
    /// Have the version run that ran before
    Rollback,
    /// Show what runs, what ran before, and what was given up
    Status,
}

/// `update`.
pub(crate) async fn run(
    global: Global,
    command: UpdateCommand,
    output: Output,
) -> Result<(), Failure> {
    let config = Config::load(&global, &[])?;
    match command {
        UpdateCommand::Check { trust_clock } => check(&config, trust_clock, output).await,
        UpdateCommand::Apply => apply(&config, output).await,
        UpdateCommand::Rollback => rollback(&config, output),
        UpdateCommand::Status => status(&config, output),
    }
}

/// An updater as the configuration wants it; `running` is what this program was started as.
pub(crate) fn updater(
    config: &Config,
    key: &NodeKey,
    running: &Option<Version>,
) -> Result<Updater, Failure> {
    let wish = config.update()?;
    let unset = |key: &str, what: &str| {
        Failure::new(Code::Usage, format!("`{key}` is not set")).hint(format!("set it to {what}"))
    };
    let url = wish.url.ok_or_else(|| unset("update.url", "where releases are shown"))?;
    let root = wish.root.ok_or_else(|| unset("update.root", "the publisher's root file"))?;
    let open = || {
        let folder = Folder::open(&config.path(FOLDER))?;
        let current = folder.load()?.and_then(|state| state.current);
        let me = Me {
            product: quorate_update::PROGRAM.into(),
            channel: wish.channel,
            platform: quorate_update::platform(),
            running: running.clone().or(current).unwrap_or_else(own_version),
            mode: if is_packaged() { wish.mode.min(Mode::Tell) } else { wish.mode },
            secret: Me::secret(key),
        };
        Updater::new(folder, Source::parse(&url)?, &root, me)
    };
    open().map_err(|error: UpdateError| failure::update(&error))
}

/// What an owner should know of a newer version.
pub(crate) fn words(state: &State, offer: &Offer, running: &Version) -> String {
    let Offer { version, notes, .. } = offer;
    let how = if is_packaged() {
        "the package manager installed this program, so it has to install that one".to_owned()
    } else if let Some(bad) = state.bad.get(version) {
        format!("it {} here; `update apply` tries it again", bad.fault.words())
    } else if offer.file.is_none() {
        format!("it has no program for {}", quorate_update::platform())
    } else if offer.from > *running {
        format!("it may follow {} or later only", offer.from)
    } else if !offer.is_my_turn {
        "its rollout has not come to this machine; `update apply` does not wait".to_owned()
    } else {
        "`quorate-worker update apply` installs it".to_owned()
    };
    let notes: String = notes.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let notes = if notes.is_empty() { notes } else { format!(" ({notes})") };
    format!("version {version} is there{notes}, {running} runs: {how}")
}

/// The version of this program file.
pub(crate) fn own_version() -> Version {
    let text = env!("CARGO_PKG_VERSION");
    text.parse().unwrap_or(Version::new(0, 0, 0))
}

/// Whether a package manager owns this program: in `/usr` nobody else may write (FHS 4).
pub(crate) fn is_packaged() -> bool {
    env::current_exe().is_ok_and(|program| belongs_to_packages(&program))
}

fn belongs_to_packages(program: &Path) -> bool {
    let of_system = ["/usr/", "/bin/", "/sbin/"].iter().any(|dir| program.starts_with(dir));
    of_system && !program.starts_with("/usr/local/")
}

async fn check(config: &Config, trust_clock: bool, output: Output) -> Result<(), Failure> {
    let updater = asking(config)?;
    if trust_clock {
        updater.trust_clock().map_err(|error| failure::update(&error))?;
    }
    let effects = updater.check().await.map_err(|error| failure::update(&error))?;
    for effect in &effects {
        if let Effect::Tell(Notice::Clock(refusal)) = effect {
            output.note(format!("warning: {refusal}"));
        }
    }
    let state = updater.state().map_err(|error| failure::update(&error))?;
    let running = &updater.me().running;
    output.either(&document(&state, running), || match &state.offer {
        Some(offer) => words(&state, offer, running),
        None => format!("version {running} runs; the source shows nothing newer"),
    })
}

async fn apply(config: &Config, output: Output) -> Result<(), Failure> {
    if is_packaged() {
        let text = "the package manager owns this program";
        return Err(Failure::new(Code::Conflict, text).hint("update it with apt, dnf or zypper"));
    }
    let updater = asking(config)?;
    let outcome = async {
        updater.check().await?;
        let mut effects = updater.tell(Input::Apply)?;
        if let Some(Effect::Fetch(version, file)) =
            effects.pop_if(|effect| *effect != Effect::Switch)
        {
            output.note(format!("fetching version {version}, {} MB", file.bytes >> 20));
            updater.fetch(version, file).await?;
            updater.tell(Input::Apply)?;
        }
        updater.state()
    };
    let state = outcome.await.map_err(|error: UpdateError| failure::update(&error))?;
    let version = state.offer.as_ref().map_or_else(own_version, |offer| offer.version.clone());
    switch(config, &format!("version {version}"), output)
}

fn rollback(config: &Config, output: Output) -> Result<(), Failure> {
    let nothing = || Failure::new(Code::Conflict, "there is nothing to roll back to");
    let folder = config.path(FOLDER);
    if !Folder::is_in_use(&folder) {
        return Err(nothing());
    }
    let told = Folder::open(&folder).and_then(|folder| {
        folder.change(|state: &mut Option<State>| {
            state.as_mut().map(|state| state.handle(0, Input::RollBack)).transpose()
        })
    });
    told.map_err(|error| failure::update(&error))?.ok_or_else(nothing)?;
    switch(config, "the version before", output)
}

fn status(config: &Config, output: Output) -> Result<(), Failure> {
    let folder = config.path(FOLDER);
    let state = match Folder::is_in_use(&folder) {
        true => Folder::open(&folder).and_then(|folder| folder.load()),
        false => Ok(None),
    };
    let Some(state) = state.map_err(|error| failure::update(&error))? else {
        let running = own_version();
        let document = json!({ "schema": SCHEMA, "running": running, "packaged": is_packaged() });
        return output.either(&document, || format!("version {running}, as it was installed"));
    };
    let running = state.current.clone().unwrap_or_else(own_version);
    output.either(&document(&state, &running), || text(&state, &running))
}

const SCHEMA: &str = "quorate.update-status/v1";

fn document(state: &State, running: &Version) -> serde_json::Value {
    json!({
        "schema": SCHEMA,
        "running": running,
        "packaged": is_packaged(),
        "on_trial": state.trial.is_some(),
        "previous": state.previous,
        "wanted": state.wanted,
        "newer": state.offer,
        "bad": state.bad,
        "root": state.root.version,
        "fresh_unix": state.fresh_unix,
    })
}

fn text(state: &State, running: &Version) -> String {
    let previous = match (&state.previous, state.has_previous) {
        (Some(version), _) => version.to_string(),
        (None, true) => "the installed one".into(),
        (None, false) => "none is kept".into(),
    };
    let trial = if state.trial.is_some() { ", on trial" } else { "" };
    let mut rows = vec![("runs", format!("{running}{trial}")), ("before", previous)];
    rows.extend(
        state.wanted.iter().map(|_| ("next", "another one, when this one has finished".into())),
    );
    rows.extend(state.offer.iter().map(|offer| ("newer", words(state, offer, running))));
    for (version, bad) in &state.bad {
        rows.push(("given up", format!("{version} {}", bad.fault.words())));
    }
    facts(&rows)
}

/// For a command the mode does not count: the owner asks.
fn asking(config: &Config) -> Result<Updater, Failure> {
    let key = keys::node_key_at(&config.path("node.key"));
    updater(config, &key.map_err(|error| failure::key(&error))?, &None)
}

/// Tells a running worker; one that does not run does it when it starts.
fn switch(config: &Config, what: &str, output: Output) -> Result<(), Failure> {
    let knocked = UnixDatagram::unbound()
        .and_then(|socket| socket.send_to(b"now", config.path(FOLDER).join(KNOCK)));
    let when = match knocked {
        Ok(_) => "when the worker has finished what runs",
        Err(_) => "when the worker starts next",
    };
    let document = json!({ "schema": SCHEMA, "switch": true, "knocked": knocked.is_ok() });
    output.either(&document, || format!("{what} runs {when}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_managers_programs_are_told_from_an_owners() {
        for (path, expected) in [
            ("/usr/bin/quorate-worker", true),
            ("/usr/lib/quorate/quorate-worker", true),
            ("/bin/quorate-worker", true),
            ("/usr/local/bin/quorate-worker", false),
            ("/opt/quorate/quorate-worker", false),
            ("/srv/ann/bin/quorate-worker", false),
        ] {
            assert_eq!(belongs_to_packages(Path::new(path)), expected, "{path}");
        }
    }
}
