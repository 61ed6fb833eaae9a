//! The contract, as the configuration and the scheduler name it. Which chain and contract money goes
//! to is the requester's to insist on (`chain.id`, `chain.contract`); where it does not, the
//! scheduler's word is taken and said aloud.

use crate::{api::Api, config::Config, failure, place};
use quorate_chain::{Chain, ChainUrl, Outbox, OutboxConfig, Settlement, Signer, preset};
use quorate_common::{
    exit::{Code, Failure},
    messages::Domain,
};
use std::time::Duration;

/// How often to look for a receipt on a chain without preset: about one block of a quick chain.
const POLL: Duration = Duration::from_millis(500);
/// How long one version of a transaction may wait to be mined.
const MINED_WITHIN: Duration = Duration::from_secs(60);
/// How long a mined transaction may wait to be final.
const FINAL_WITHIN: Duration = Duration::from_secs(60 * 60);

/// Chain and contract: the configured ones, or else the scheduler's.
///
/// # Errors
/// The scheduler's; [`Code::Conflict`] if half is configured and the scheduler says otherwise.
pub async fn domain(config: &Config) -> Result<Domain, Failure> {
    if let (Some(chain_id), Some(contract)) = (config.chain_id()?, config.contract()?) {
        return Ok(Domain { chain_id, contract });
    }
    let domain = Api::new(&config.api()?)?.pool().await?.domain;
    place::pinned(config, &domain)?;
    Ok(domain)
}

/// The contract, through the configured node.
///
/// # Errors
/// [`Code::Usage`] without `chain.url`; the node's; no such contract there.
pub async fn connect(config: &Config, domain: Domain) -> Result<Settlement, Failure> {
    let nodes = config.nodes()?;
    if nodes.is_empty() {
        let text = "`chain.url` is not set; expected a JSON-RPC node's URL";
        return Err(Failure::new(Code::Usage, text)
            .hint("--chain-url http://127.0.0.1:8545, or a development scheduler's /rpc"));
    }
    let chain = ChainUrl::parse_all(&nodes).and_then(|nodes| Chain::connect_all(&nodes));
    let chain = chain.map_err(|error| failure::chain(&error))?;
    Settlement::connect(chain, domain).await.map_err(|error| failure::chain(&error))
}

/// An account's transactions.
///
/// # Errors
/// The configuration's.
pub fn outbox(config: &Config, contract: &Settlement, signer: Signer) -> Result<Outbox, Failure> {
    let chain_id = contract.domain().chain_id;
    let poll = preset(&chain_id.to_string()).map_or(POLL, |preset| preset.poll);
    let outbox = OutboxConfig {
        chain_id,
        finality: config.finality()?,
        poll,
        mined_within: MINED_WITHIN,
        final_within: FINAL_WITHIN,
    };
    Ok(Outbox::new(contract.chain().clone(), signer, outbox))
}
