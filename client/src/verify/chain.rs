//! Holding a report's anchors against the contract: the one part of a verification that needs a
//! network, and the part that makes it more than consistent.

use super::{Fault, Report};
use crate::{
    directory::{ANCHOR, BatchState},
    failure,
};
use quorate_chain::{Chain, ChainUrl, Settlement};
use quorate_common::exit::Failure;

/// Asks the contract for every batch of the report; adds a fault for each that differs or is unknown
/// to it, and says of the others how far they are.
///
/// # Errors
/// The node's.
pub async fn compare(report: &mut Report, rpc: &str) -> Result<(), Failure> {
    let (Some(domain), Some(pool)) = (report.domain, report.pool) else { return Ok(()) };
    let chain = ChainUrl::parse(rpc).and_then(|url| Chain::connect(&url));
    let chain = chain.map_err(|error| failure::chain(&error))?;
    let contract = Settlement::connect(chain, domain).await;
    let contract = contract.map_err(|error| failure::chain(&error))?;
    let finalized = contract.pool(pool).await.map_err(|error| failure::chain(&error))?.finalized;
    let mut faults = Vec::new();
    for batch in &mut report.batches {
        match contract.opening(pool, batch.index).await {
            Ok(Some(found)) if found.header_hash == batch.hash => {
                let is_final = batch.index <= finalized;
                batch.state = if is_final { BatchState::Final } else { BatchState::Committed };
            }
            Ok(Some(found)) => {
                let text = format!(
                    "batch {} has hash {}; the contract says {}",
                    batch.index, batch.hash, found.header_hash
                );
                faults.push(Fault::new(ANCHOR, "chain", text));
            }
            Ok(None) => {
                let text = format!("batch {}: the contract does not know it", batch.index);
                faults.push(Fault::new(ANCHOR, "chain", text));
            }
            Err(error) => return Err(failure::chain(&error)),
        }
    }
    report.faults_total += faults.len();
    report.faults.extend(faults);
    report.ok = report.faults_total == 0;
    Ok(())
}
