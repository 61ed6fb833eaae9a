//! `pools`: the pools that this worker belongs to beside its first, and their shares. Each has a folder of its own
//! below the worker's, with what its agent must remember; keys, account, engine and preferences are the worker's.

use super::{Global, config::Config, failure, join::write_file, output::Output};
use crate::start;
use clap::Subcommand;
use quorate_common::{
    exit::{Code, Failure},
    invite::Invite,
};
use quorate_policy::shares::SHARE_MAX;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{fs, io, path::PathBuf};

/// The folder of them, in the worker's.
const FOLDER: &str = "pools";
/// What a pool's folder says of it.
const FILE: &str = "pool.json";
/// Pools beside the first at most: each takes a connection and a few megabytes.
const POOLS_MAX: usize = 7;
/// The share of a pool that nobody gave another.
const SHARE: u16 = 50;

/// `pools`.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum PoolsCommand {
    /// List them, with their shares of this machine
    Ls,
    /// Give a pool another share, against those of others; `home` is the first
    Share {
        /// Its name, as `pools ls` shows it
        #[arg(value_name = "POOL")]
        name: String,
        /// 0 to 100; with 0 it gets what nobody else wants
        #[arg(value_name = "N", value_parser = clap::value_parser!(u16).range(0..=100))]
        share: u16,
    },
    /// Work for a pool no more; its stake stays until the worker leaves altogether
    Leave {
        /// Its name, as `pools ls` shows it
        #[arg(value_name = "POOL")]
        name: String,
    },
}

/// A pool beside the first.
#[derive(Clone, Debug)]
pub(crate) struct Other {
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
    pub(crate) member: Membership,
}

/// What its folder says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Membership {
    pub(crate) schema: String,
    pub(crate) invite: Invite,
    pub(crate) share: u16,
    /// Whether it was left: the folder stays for what is to be claimed.
    pub(crate) left: bool,
}

/// `pools`.
pub(super) fn run(global: &Global, command: PoolsCommand, output: Output) -> Result<(), Failure> {
    let config = Config::load(global, &[])?;
    match command {
        PoolsCommand::Ls => {}
        PoolsCommand::Share { name, share } if name == HOME => share_home(global, share)?,
        PoolsCommand::Share { name, share } => change(&config, &name, |it| it.share = share)?,
        PoolsCommand::Leave { name } if name == HOME => {
            let text = "`home` is this worker's first pool";
            return Err(Failure::new(Code::Conflict, text).hint(
                "`quorate-worker leave` leaves it; `pools share home 0` gives it what is over",
            ));
        }
        PoolsCommand::Leave { name } => change(&config, &name, |it| it.left = true)?,
    }
    list(&Config::load(global, &[])?, output)
}

/// The name of the worker's first pool.
pub(crate) const HOME: &str = "home";

fn list(config: &Config, output: Output) -> Result<(), Failure> {
    let invite = config.invite()?;
    let others = all(config)?;
    let mut rows = vec![json!({
        "name": HOME, "pool": invite.pool, "scheduler": invite.address, "share": config.share()?,
        "left": false,
    })];
    rows.extend(others.iter().map(|Other { name, member, .. }| {
        let Membership { invite, share, left, .. } = member;
        json!({
            "name": name, "pool": invite.pool, "scheduler": invite.address, "share": share,
            "left": left,
        })
    }));
    let document = json!({ "schema": "quorate.worker-pools/v1", "pools": rows });
    output.either(&document, || {
        let line = |row: &serde_json::Value| {
            let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
            let left = if row["left"] == true { "  left" } else { "" };
            format!("{:28} {:>4}  {}{left}", text("name"), row["share"], text("scheduler"))
        };
        rows.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    if start::is_running(&config.data_dir) && !others.is_empty() {
        output.note("what has changed takes effect when the worker starts next");
    }
    Ok(())
}

/// Every pool beside the first, left ones too, in the order of their names.
pub(crate) fn all(config: &Config) -> Result<Vec<Other>, Failure> {
    let folder = config.path(FOLDER);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| failure::file(&folder, &error))?,
    };
    let mut others = Vec::new();
    for entry in entries {
        let dir = entry.map_err(|error| failure::file(&folder, &error))?.path();
        let name = dir.file_name().map(|name| name.to_string_lossy().into_owned());
        let file = dir.join(FILE);
        let (Some(name), true) = (name, file.exists()) else { continue };
        let text = fs::read(&file).map_err(|error| failure::file(&file, &error))?;
        let member = serde_json::from_slice(&text).map_err(|error| failure::file(&file, &error))?;
        others.push(Other { name, dir, member });
    }
    others.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(others)
}

/// Those that it works for.
pub(crate) fn active(config: &Config) -> Result<Vec<Other>, Failure> {
    Ok(all(config)?.into_iter().filter(|other| !other.member.left).collect())
}

/// One of them by its name.
pub(crate) fn find(config: &Config, name: &str) -> Result<Other, Failure> {
    let others = all(config)?;
    let names: Vec<String> = others.iter().map(|other| other.name.clone()).collect();
    others.into_iter().find(|other| other.name == name).ok_or_else(|| {
        let known = [&[HOME.to_owned()], &names[..]].concat().join(", ");
        Failure::new(Code::NotFound, format!("there is no pool `{name}`; there are {known}"))
    })
}

/// Adds the pool of an invitation, or takes its newer invitation, or comes back to it.
pub(super) fn add(config: &Config, invite: &Invite) -> Result<Other, Failure> {
    let (name, others) = (name_of(invite), all(config)?);
    let known = others.iter().find(|other| other.name == name);
    if known.is_none() && others.iter().filter(|other| !other.member.left).count() >= POOLS_MAX {
        let text = format!("this worker belongs to {POOLS_MAX} pools beside its first already");
        return Err(Failure::new(Code::Conflict, text).hint("quorate-worker pools leave POOL"));
    }
    let share = known.map_or(SHARE, |other| other.member.share);
    let schema = "quorate.membership/v1".into();
    let member = Membership { schema, invite: invite.clone(), share, left: false };
    let other = Other { dir: config.path(FOLDER).join(&name), name, member };
    write(&other)?;
    Ok(other)
}

/// Pool, chain and contract: what makes it another one.
fn name_of(invite: &Invite) -> String {
    let contract = hex::encode(&invite.domain.contract.as_slice()[..4]);
    format!("pool-{}-{}-{contract}", invite.pool.0, invite.domain.chain_id)
}

fn change(
    config: &Config,
    name: &str,
    change: impl FnOnce(&mut Membership),
) -> Result<(), Failure> {
    let mut other = find(config, name)?;
    change(&mut other.member);
    write(&other)
}

fn write(other: &Other) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(&other.member);
    let text = text.map_err(|error| Failure::new(Code::Internal, error))?;
    write_file(&other.dir.join(FILE), &format!("{text}\n"))
}

fn share_home(global: &Global, share: u16) -> Result<(), Failure> {
    let pair = format!("share={}", share.min(SHARE_MAX));
    let with = Global { set: global.set.iter().cloned().chain([pair]).collect(), ..global.clone() };
    let written = Config::without_environment(&with, &[], false)?;
    write_file(&written.file, &written.layers.commented_file())
}
