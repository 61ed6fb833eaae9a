//! The contract, as a worker's owner meets it.

use super::{config::Config, failure};
use quorate_chain::{Chain, Settlement};
use quorate_common::{
    exit::{Code, Failure},
    invite::Invite,
};

/// Connects to the invitation's contract.
pub(crate) async fn connect(config: &Config, invite: &Invite) -> Result<Settlement, Failure> {
    let nodes = config.nodes(invite)?;
    if nodes.is_empty() {
        let text = "neither the invitation nor `chain.url` names a JSON-RPC node";
        return Err(Failure::new(Code::Usage, text).hint(format!(
            "set chain.url to a node of chain {}, then repeat the command",
            invite.domain.chain_id
        )));
    }
    let chain = Chain::connect_all(&nodes).map_err(|error| failure::chain(&error))?;
    Settlement::connect(chain, invite.domain).await.map_err(|error| failure::chain(&error))
}
