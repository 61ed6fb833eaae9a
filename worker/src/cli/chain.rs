//! The contract, as a worker's owner meets it.

use super::{config::Config, failure};
use quorate_chain::{Chain, ChainUrl, Settlement};
use quorate_common::{
    exit::{Code, Failure},
    invite::Invite,
};

/// Connects to the invitation's contract.
pub(crate) async fn connect(config: &Config, invite: &Invite) -> Result<Settlement, Failure> {
    let url = config.chain_url(invite).ok_or_else(|| {
        Failure::new(Code::Usage, "neither the invitation nor `chain.url` names a JSON-RPC node")
            .hint(format!(
                "set chain.url to a node of chain {}, then repeat the command",
                invite.domain.chain_id
            ))
    })?;
    let url = ChainUrl::parse(&url).map_err(|error| failure::chain(&error))?;
    let chain = Chain::connect(&url).map_err(|error| failure::chain(&error))?;
    Settlement::connect(chain, invite.domain).await.map_err(|error| failure::chain(&error))
}
