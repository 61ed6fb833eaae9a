//! `leave` and `uninstall`: out of the pool in good order, and off the machine.

use super::{Global, config::Config, control, earnings::Account, failure, output::Output, owner};
use crate::{gas, wish::WishFile};
use quorate_common::exit::{Code, Failure};
use quorate_policy::{Asked, Wish};
use quorate_senses::calendar;
use serde_json::json;
use std::fs;

/// `leave`: what runs is given back, what is sealed is shown, and the stake's timer starts. Nothing is lost by
/// repeating it.
pub(super) async fn leave(global: Global, output: Output) -> Result<(), Failure> {
    let config = Config::load(&global, &[])?;
    config.invite()?;
    rest(&config).await?;
    let account = Account::find(&global).await?;
    let exit_at = sign_off(&account, output).await?;
    let document = json!({
        "schema": "quorate.leave/v1", "worker": account.worker, "exit_at": exit_at,
        "stake": account.seat.stake.to_string(),
    });
    output.either(&document, || {
        let when = exit_at.map_or_else(|| "soon".into(), |at| calendar::clock(at * 1_000));
        format!("left {}; its stake is free from {when} on", account.invite.pool)
    })
}

/// Starts the timer of the stake, unless it runs; when it ends, in unix seconds.
pub(crate) async fn sign_off(account: &Account, output: Output) -> Result<Option<u64>, Failure> {
    let view = || async {
        let found = account.settlement.worker(account.worker).await;
        found.map_err(|error| failure::chain(&error))
    };
    if view().await?.exit_at.is_none() {
        let outbox = gas::outbox(&account.settlement, owner::open(&account.config, output)?);
        let call = account.settlement.request_exit(account.worker);
        output.note(format!("sending: {}", call.what));
        outbox.send(call).await.map_err(|error| failure::chain(&error))?;
    }
    Ok(view().await?.exit_at)
}

/// `uninstall`: the programs are the package's business, keys and money the owner's.
pub(super) async fn uninstall(global: Global, purge: bool, output: Output) -> Result<(), Failure> {
    let config = Config::load(&global, &[])?;
    rest(&config).await?;
    let dir = config.data_dir.display().to_string();
    if purge {
        fs::remove_dir_all(&config.data_dir)
            .map_err(|error| failure::file(&config.data_dir, &error))?;
    } else {
        // What can be fetched or made again goes; keys, votes and evidence stay.
        for name in ["blobs", "modules", "status.json", "month.json", "worker.log"] {
            let path = config.path(name);
            let gone =
                if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            if path.exists() {
                gone.map_err(|error| failure::file(&path, &error))?;
            }
        }
    }
    let document = json!({ "schema": "quorate.uninstall/v1", "data_dir": dir, "purged": purge });
    output.either(&document, || match purge {
        true => format!("{dir} is gone, keys and all"),
        false => format!("{dir} has the keys, the wallet and what was sealed, and nothing else"),
    })
}

/// Ended, and not to be started again by a service without its owner's word.
async fn rest(config: &Config) -> Result<(), Failure> {
    control::end(config).await?;
    if !config.data_dir.exists() {
        let text = format!("there is no worker in {}", config.data_dir.display());
        return Err(Failure::new(Code::NotFound, text));
    }
    let wish = Wish { asked: Asked::Pause, until_unix_ms: None };
    let written = WishFile::within(&config.data_dir).write(wish);
    written.map_err(|error| failure::file(&config.data_dir, &error))
}
