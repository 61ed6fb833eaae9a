//! The keys of a data folder and the chain they are for.

use crate::{
    config::{ChainAt, Config},
    dev::{self, DevChain},
    failure,
    system::key_paths,
};
use quorate_chain::{
    SettleError,
    embedded::EmbeddedNode,
    keystore::{KeystoreError, Signer},
    outbox::OutboxConfig,
    settlement::Settlement,
    transport::{Chain, ChainUrl},
};
use quorate_common::{
    exit::{Code, Failure},
    keys::{KeyError, NodeKey, VoteKey, node_key_at, vote_key_at},
    messages::Domain,
    report::Chain as Report,
};
use rustix::process::geteuid;
use std::{
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::Path,
    time::Duration,
};
use zeroize::Zeroizing;

/// Where the gas account's key is kept, in the data folder.
pub(super) const GAS_KEY: &str = "keys/gas.key";

/// Node and vote key of a data folder; made if they are missing.
pub(super) fn keys(config: &Config) -> Result<(NodeKey, VoteKey), Failure> {
    let (node, signer) = key_paths(&config.data);
    let node = node_key_at(&node).map_err(key_failure)?;
    Ok((node, vote_key_at(&signer).map_err(key_failure)?))
}

/// The account that pays for gas: in `file`, or the development chain's.
pub(crate) fn gas(config: &Config, file: Option<&Path>) -> Result<Signer, Failure> {
    match (file, &config.chain) {
        (Some(path), _) => gas_key(path),
        (None, ChainAt::Embedded) => Ok(dev::gas()),
        (None, ChainAt::Url(_)) => {
            let path = config.data.join(GAS_KEY);
            not_exposed(&path)?;
            gas_key(&path)
        }
    }
}

/// A kept key that others may read is theirs too.
fn not_exposed(path: &Path) -> Result<(), Failure> {
    let Ok(found) = std::fs::metadata(path) else { return Ok(()) };
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let text = format!("gas key {}: mode {mode:o} lets others read it", path.display());
    Err(Failure::new(Code::Denied, text).hint(format!("chmod 600 {}", path.display())))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the system has forty kinds of error")]
pub(super) fn gas_key(path: &Path) -> Result<Signer, Failure> {
    let text = std::fs::read(path).map(Zeroizing::new).map_err(|error| {
        let code = match error.kind() {
            io::ErrorKind::NotFound => Code::NotFound,
            io::ErrorKind::PermissionDenied => Code::Denied,
            _ => Code::Internal,
        };
        Failure::new(code, format!("gas key {}: {error}", path.display()))
            .hint("quorate-scheduler init --gas-key FILE, with a file of 64 hex digits")
    })?;
    let text = Zeroizing::new(String::from_utf8_lossy(&text).into_owned());
    Signer::from_hex(text.trim()).map_err(|error| {
        let code = match error {
            KeystoreError::BadKey => Code::Usage,
            _ => Code::Denied,
        };
        Failure::new(code, format!("gas key {}: {}", path.display(), Report(&error)))
    })
}

/// The contract, and the embedded node if there is one.
pub(super) async fn connect(
    config: &Config,
) -> Result<(Settlement, Option<EmbeddedNode>), Failure> {
    let ChainAt::Url(_) = &config.chain else {
        let dev = DevChain::start(Some(&config.data.join("chain.log"))).await?;
        return Ok((dev.settlement, Some(dev.node)));
    };
    let contract = config.contract.ok_or_else(|| {
        Failure::new(Code::Usage, "`chain.contract` is not set").hint(
            "set it to the settlement contract's address, or, on a development chain, \
             run quorate-scheduler init --deploy",
        )
    })?;
    let domain = Domain { chain_id: config.chain_id, contract };
    let settlement = Settlement::connect(chain(config)?, domain).await;
    Ok((settlement.map_err(|error| placed(config, error))?, None))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "whatever else a chain says is its nodes'")]
/// The chain's refusal, with the key that it may be about: what is set and where.
fn placed(config: &Config, error: SettleError) -> Failure {
    let key = match error {
        SettleError::NoContract { .. } => "chain.contract",
        _ => "chain.url",
    };
    let is_wrong = matches!(
        error,
        SettleError::NoContract { .. }
            | SettleError::InvalidChainId { .. }
            | SettleError::BadUrl { .. }
    );
    let mut failure = failure::chain(error);
    if is_wrong {
        // No node will ever answer otherwise.
        failure = Failure { hint: failure.hint, ..Failure::new(Code::Usage, failure.message) };
    }
    failure.message = format!("{}; {}", config.layers.place(key), failure.message);
    failure
}

/// The chain, through its nodes.
pub(super) fn chain(config: &Config) -> Result<Chain, Failure> {
    let ChainAt::Url(first) = &config.chain else {
        return Err(Failure::new(Code::Usage, "the embedded chain has no URL"));
    };
    let nodes = std::iter::once(first).chain(&config.more_nodes);
    let nodes = nodes.map(|node| ChainUrl::parse(node)).collect::<Result<Vec<_>, _>>();
    nodes.and_then(|nodes| Chain::connect_all(&nodes)).map_err(|error| placed(config, error))
}

/// How transactions are sent.
pub(crate) fn outbox_config(config: &Config) -> OutboxConfig {
    OutboxConfig {
        chain_id: config.chain_id,
        finality: config.finality,
        poll: config.poll,
        mined_within: Duration::from_secs(60),
        final_within: Duration::from_secs(3600),
    }
}

/// Makes the data folder.
pub(super) fn make_dir(config: &Config) -> Result<(), Failure> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.data);
    made.map_err(|error| {
        let text = format!("{}: cannot be made: {error}", config.layers.place("data"));
        Failure::new(Code::Internal, text).hint("run this as the user that serves the pool")
    })?;
    not_anothers(config)
}

/// Files that root makes in a service's folder are files that the service cannot read.
fn not_anothers(config: &Config) -> Result<(), Failure> {
    let Ok(found) = std::fs::metadata(&config.data) else { return Ok(()) };
    let (owner, us) = (found.uid(), geteuid().as_raw());
    if owner == us {
        return Ok(());
    }
    let text = format!(
        "{}: that folder is user {owner}'s, this is user {us}",
        config.layers.place("data")
    );
    Err(Failure::new(Code::Denied, text).hint(
        "run this as its user, as in: runuser -u quorate-scheduler -- quorate-scheduler …; or name a folder of your \
         own with --data",
    ))
}

fn key_failure(error: KeyError) -> Failure {
    Failure::new(Code::Denied, Report(&error))
}
