//! `join`: from an invitation to a worker the contract knows. Every step looks first whether it was
//! done before, so that the command can be repeated after every failure.

use super::{
    Global, JoinArgs, amount,
    config::Config,
    failure,
    joining::Joining,
    output::{Output, facts},
    owner, pools, questions, sponsored,
};
use crate::api;
use quorate_chain::{Address, Signer};
use quorate_common::{
    B256,
    api::PoolInfo,
    exit::{Code, Failure},
    ids::WorkerIdx,
    invite::Invite,
    keys::{self, NodeKey, VoteKey},
};
use serde_json::json;
use std::{fs, io::Write as _, path::Path};

/// Votes a slot has at stake at once. One runs, one waits for the slot; all others were cast and wait
/// for those who vote on the same tasks, and a worker without a free stake gets nothing new.
const STAKES_PER_SLOT: u128 = 16;

/// `join`.
pub(crate) async fn run(
    mut global: Global,
    mut args: JoinArgs,
    output: Output,
) -> Result<(), Failure> {
    let is_first = Config::load(&global, &[])?.layers.optional("invite").is_none();
    if args.invite.is_none() && is_first && questions::can_ask() {
        questions::ask()?.apply(&mut args, &mut global.set);
    }
    if args.donate {
        global.set.push(donate(&global, &args, output).await?);
    }
    let (config, invite) = match another(&global, &args)? {
        Some(invite) => {
            let config = Config::load(&global, &[])?;
            let other = pools::add(&config, &invite)?;
            output.note(format!(
                "this worker belongs to several pools now; this one is {}",
                other.name
            ));
            (config.for_pool(&invite, other.dir)?, invite)
        }
        None if global.pool.is_some() => {
            let config = Config::load(&global, &[])?;
            let invite = config.invite()?;
            (config, invite)
        }
        None => {
            let config = write_config(&global, &args)?;
            let invite = config.invite()?;
            (config, invite)
        }
    };
    let node_key = keys::node_key_at(&config.path("node.key"));
    let vote_key = keys::vote_key_at(&config.path("vote.key"));
    let me = Me {
        node_key: node_key.map_err(|error| failure::key(&error))?,
        vote_key: vote_key.map_err(|error| failure::key(&error))?,
        owner: owner::open(&config, output)?,
    };
    if let Some(payout) = args.payout.filter(|payout| *payout != me.owner.address()) {
        let text = format!("the owner is {}, --payout says {payout}", me.owner.address());
        return Err(Failure::new(Code::Conflict, text)
            .hint("earnings go to the owner: name its key with --owner or --owner-key-file"));
    }
    let joined = if args.offline {
        None
    } else if let Some(file) = &args.permit {
        Joining::begin(&config, &invite, &me, output).await?.permit(file).await?;
        None
    } else {
        let wanted = wanted_stake(&config, &invite, args.stake).await?;
        Some(Joining::begin(&config, &invite, &me, output).await?.finish(wanted).await?)
    };
    report(&config, &invite, &me, joined, output)
}

/// Earnings go where the pool's own key says that donations go.
async fn donate(global: &Global, args: &JoinArgs, output: Output) -> Result<String, Failure> {
    let config = Config::load(global, &[])?;
    let invite = args.invite.clone().map_or_else(|| config.invite(), Ok)?;
    let address = sponsored::donation(&config, &invite).await?;
    output.note(format!("earnings are given to {address}, which this pool's key has signed"));
    Ok(format!("payout={address}"))
}

/// Who joins.
pub(super) struct Me {
    pub(super) node_key: NodeKey,
    pub(super) vote_key: VoteKey,
    pub(super) owner: Signer,
}

/// What the contract knows afterwards.
#[derive(Clone, Copy)]
pub(super) struct Joined {
    pub(super) worker: WorkerIdx,
    pub(super) stake: u128,
}

/// What a stake has to cover.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    /// Of one vote; zero where that is not known.
    pub(super) vote: u128,
    /// In all.
    pub(super) all: u128,
}

/// An invitation to another pool than the one it works for.
fn another(global: &Global, args: &JoinArgs) -> Result<Option<Invite>, Failure> {
    let before = Config::without_environment(global, &[], false)?;
    let (Some(new), Ok(old)) = (&args.invite, before.invite()) else { return Ok(None) };
    Ok(((new.pool, new.domain) != (old.pool, old.domain)).then(|| new.clone()))
}

/// Lays the invitation and flags over the file that is there, and writes it.
fn write_config(global: &Global, args: &JoinArgs) -> Result<Config, Failure> {
    let path = |path: &std::path::PathBuf| {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        absolute.display().to_string()
    };
    let flags = [
        ("INVITE", "invite", args.invite.as_ref().map(ToString::to_string)),
        ("--name", "name", args.name.clone()),
        ("--slots", "slots", args.slots.map(|slots| slots.to_string())),
        ("--owner", "owner", args.owner.clone()),
        ("--owner-key-file", "owner_key_file", args.owner_key_file.as_ref().map(path)),
        ("--chain-url", "chain.url", args.chain_url.clone()),
    ];
    let written = Config::without_environment(global, &flags, false)?;
    written.invite()?;
    let config = Config::load(global, &flags).or_else(|error| {
        // With `--config`, the file may be the one that is about to be written.
        if written.file.exists() { Err(error) } else { Ok(written.clone()) }
    })?;
    make_private(&config.data_dir)?;
    write_file(&written.file, &written.layers.commented_file())?;
    Ok(config)
}

pub(super) fn make_private(dir: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| failure::file(dir, &error))
}

/// Replaces the file as a whole.
pub(super) fn write_file(path: &Path, text: &str) -> Result<(), Failure> {
    let temporary = path.with_extension("toml.tmp");
    let write = || -> std::io::Result<()> {
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            fs::create_dir_all(dir)?;
        }
        let mut file = fs::File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|error| failure::file(path, &error))
}

/// Token units to have at stake: what was asked for, or enough for every slot.
async fn wanted_stake(
    config: &Config,
    invite: &Invite,
    asked: Option<u128>,
) -> Result<Wanted, Failure> {
    if let Some(all) = asked {
        return Ok(Wanted { vote: 0, all });
    }
    let Some(api) = config.api(invite) else {
        return Err(Failure::new(Code::Usage, "how much to stake is not known")
            .hint("name an amount with --stake; the pool's operator knows what a vote needs"));
    };
    let pool: PoolInfo = api::get(&api, "/v1/pool").await?;
    let vote = pool.unit_price.0.saturating_mul(pool.stake_ratio.into()) / 100;
    let all = vote.saturating_mul(u128::from(config.slots()?)).saturating_mul(STAKES_PER_SLOT);
    Ok(Wanted { vote, all })
}

fn report(
    config: &Config,
    invite: &Invite,
    me: &Me,
    joined: Option<Joined>,
    output: Output,
) -> Result<(), Failure> {
    let (node_key, vote_key): (B256, Address) = (me.node_key.public(), me.vote_key.address());
    let file = config.file.display().to_string();
    let document = json!({
        "schema": "quorate.join/v1",
        "pool": invite.pool,
        "worker": joined.map(|joined| joined.worker),
        "stake": joined.map(|joined| joined.stake.to_string()),
        "owner": me.owner.address(),
        "node_key": node_key,
        "vote_key": vote_key,
        "config": file,
    });
    output.either(&document, || {
        let (worker, stake) = match joined {
            Some(Joined { worker, stake }) => (worker.to_string(), amount::show(stake)),
            None => ("not registered yet".into(), "nothing yet".into()),
        };
        facts(&[
            ("pool", format!("{} at {}", invite.pool, invite.address)),
            ("worker", worker),
            ("stake", stake),
            ("owner", me.owner.address().to_string()),
            ("node key", hex::encode(node_key)),
            ("vote key", vote_key.to_string()),
            ("configuration", file.clone()),
        ])
    })?;
    output.note(match joined {
        Some(_) => "next: quorate-worker start",
        None => "next: quorate-worker join, with a chain node, to register and stake",
    });
    Ok(())
}
