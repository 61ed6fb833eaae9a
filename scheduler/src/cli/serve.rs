//! `serve`: the pool, until somebody ends it.

use super::{
    chain::{connect, gas, keys, make_dir},
    output::Output,
};
use crate::{
    config::{ChainAt, Config},
    dev::{self, DevChain},
    failure,
    socket::Control,
    system::{self, Boot, Running},
};
use quorate_chain::SettleError;
use quorate_common::exit::{Code, Failure};
use sd_notify::NotifyState;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// `serve`.
pub(super) async fn run(config: Config, output: Output) -> Result<(), Failure> {
    // From here on a signal ends the program in good order, however early it comes.
    let mut signals = Signals::listen()?;
    let running = tokio::select! {
        running = open(config) => running?,
        () = signals.next() => return Ok(()),
    };
    announce(&running, output)?;
    tell_manager(&[NotifyState::Ready]);
    let control = Control::open(&running.shared.config.data)?;
    tokio::select! {
        () = signals.next() => tracing::info!("stopping"),
        () = control.serve(&running) => tracing::info!("drained: stopping"),
    }
    tell_manager(&[NotifyState::Stopping]);
    running.stop().await;
    Ok(())
}

/// Tells systemd, if it started this.
fn tell_manager(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager was not told");
    }
}

async fn open(config: Config) -> Result<Running, Failure> {
    system::start(boot(config).await?).await
}

async fn boot(config: Config) -> Result<Boot, Failure> {
    if matches!(config.chain, ChainAt::Url(_)) && config.pool.is_none() {
        return Err(Failure::new(Code::Usage, "`pool.id` is not set; expected a pool's number")
            .hint("run quorate-scheduler init first, or name its data folder with --data"));
    }
    make_dir(&config)?;
    let gas = gas(&config, None)?;
    let (settlement, node) = connect(&config).await?;
    let (node_key, signer) = keys(&config)?;
    let pool = match (config.pool, &node) {
        (Some(pool), _) => pool,
        (None, Some(node)) => {
            let (node, settlement) = (node.clone(), settlement.clone());
            let dev = DevChain { node, settlement, bank: dev::bank() };
            dev.pool(signer.address(), node_key.public()).await?
        }
        (None, None) => return Err(Failure::new(Code::Usage, "`pool.id` is not set")),
    };
    let place = config.layers.place("pool.id");
    let view = settlement.pool(pool).await.map_err(|error| unknown(&place, error))?;
    check(&place, "signer", &view.signer, &signer.address())?;
    check(&place, "node key", &view.node_key, &node_key.public())?;
    Ok(Boot { config, node_key, signer, gas, settlement, pool, node })
}

fn unknown(place: &str, error: SettleError) -> Failure {
    if error.revert_name() != Some("UnknownPool") {
        return failure::chain(error);
    }
    let text = format!("{place}; the contract has no such pool");
    Failure::new(Code::Conflict, text).hint("check chain.contract; init registers a pool")
}

/// A scheduler with other keys than the contract knows could not pay, and no worker would trust it.
fn check<T: PartialEq + std::fmt::Display>(
    place: &str,
    what: &str,
    known: &T,
    ours: &T,
) -> Result<(), Failure> {
    if known == ours {
        return Ok(());
    }
    let text = format!(
        "{place}; that pool is registered with {what} {known}; this data folder has {ours}"
    );
    Err(Failure::new(Code::Denied, text).hint("restore DATA/keys, or set pool.id"))
}

fn announce(running: &Running, output: Output) -> Result<(), Failure> {
    let (pool, invite, domain) = (running.shared.pool, &running.invite, running.shared.domain);
    let document = json!({
        "schema": "quorate.ready/v1", "pool": pool, "http": running.http, "ui": running.ui, "quic": running.quic,
        "contract": domain.contract, "chain_id": domain.chain_id, "invite": invite.to_string(),
    });
    output.either(&document, || {
        let pages = running.ui.map_or("off".into(), |ui| format!("http://{ui}/ui"));
        format!(
            "quorate-scheduler: {pool} is open\n  API      http://{}\n  pages    {pages}\n  workers  {}\n  \
             invite   {invite}",
            running.http, running.quic
        )
    })
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let failed = |error| Failure::new(Code::Internal, format!("no signals: {error}"));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
        })
    }

    async fn next(&mut self) {
        tokio::select! { _ = self.interrupt.recv() => {}, _ = self.terminate.recv() => {} }
    }
}
