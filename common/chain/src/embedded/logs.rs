//! `eth_getLogs`, bounded as public nodes bound it, so that our follower meets the same refusals.

use crate::embedded::RpcError;
use crate::embedded::block::Block;
use crate::embedded::chain::ChainState;
use alloy::eips::BlockNumberOrTag;
use alloy::rpc::types::{Filter, FilterBlockOption, Log};

/// Blocks one query may span: what the common providers allow. More is refused.
const RANGE_BLOCKS_MAX: u64 = 10_000;

/// Logs one query may return: what the common providers allow. More is refused.
const LOGS_MAX: usize = 10_000;

/// Logs that match, oldest first.
///
/// # Errors
/// A range that is reversed, too long, or beyond the last block; an unknown block hash; too many
/// results.
pub(super) fn query(chain: &ChainState, filter: &Filter) -> Result<Vec<Log>, RpcError> {
    let mut found = Vec::new();
    match filter.block_option {
        FilterBlockOption::AtBlockHash(hash) => {
            let block =
                chain.block_by_hash(hash).ok_or_else(|| RpcError::refused("unknown block"))?;
            collect(block, filter, &mut found)?;
        }
        FilterBlockOption::Range { from_block, to_block } => {
            for number in range(chain, from_block, to_block)? {
                let block = chain.block(number).expect("range() ends at the last block");
                collect(block, filter, &mut found)?;
            }
        }
    }
    Ok(found)
}

fn range(
    chain: &ChainState,
    from: Option<BlockNumberOrTag>,
    to: Option<BlockNumberOrTag>,
) -> Result<std::ops::RangeInclusive<u64>, RpcError> {
    let head = chain.head().number();
    let number = |tag: Option<BlockNumberOrTag>| match tag {
        Some(BlockNumberOrTag::Number(number)) => number,
        Some(BlockNumberOrTag::Earliest) => 0,
        Some(
            BlockNumberOrTag::Latest
            | BlockNumberOrTag::Safe
            | BlockNumberOrTag::Finalized
            | BlockNumberOrTag::Pending,
        )
        | None => head,
    };
    let (from, to) = (number(from), number(to));
    if from > to {
        return Err(RpcError::bad_params(format!(
            "invalid block range params: from {from}, to {to}"
        )));
    }
    if to > head {
        return Err(RpcError::bad_params(format!(
            "block range extends beyond current head block: to {to}, head {head}"
        )));
    }
    if to - from >= RANGE_BLOCKS_MAX {
        return Err(RpcError::new(
            -32_005,
            format!("query exceeds max block range {RANGE_BLOCKS_MAX}"),
        ));
    }
    Ok(from..=to)
}

fn collect(block: &Block, filter: &Filter, found: &mut Vec<Log>) -> Result<(), RpcError> {
    let matching = block.logs().iter().filter(|log| filter.matches(&log.inner));
    for log in matching {
        if found.len() == LOGS_MAX {
            return Err(RpcError::new(
                -32_005,
                format!("query returned more than {LOGS_MAX} results"),
            ));
        }
        found.push(log.clone());
    }
    Ok(())
}
