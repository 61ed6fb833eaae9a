//! `eth_estimateGas`: the least gas limit under which a call goes through, within 1.5 %.
//!
//! geth's method: run once with plenty, guess from what was used, then halve the interval. The
//! least limit exceeds the gas used, because refunds come at the end and a call forwards at most
//! 63/64 of what is left.

use crate::embedded::RpcError;
use crate::embedded::chain::ChainState;
use crate::embedded::evm::{self, TX_GAS_CAP};
use alloy::rpc::types::TransactionRequest;
use revm::context::TxEnv;
use revm::context::result::ExecutionResult;

/// Gas a plain transfer needs: no estimate is lower.
const TX_GAS_MIN: u64 = 21_000;

/// What a value-bearing inner call is lent on top; part of the first guess, as in geth.
const CALL_STIPEND: u64 = 2_300;

/// The estimate for `request`.
///
/// # Errors
/// The revert, with its data, if it fails even with all the gas there is.
pub(super) fn estimate(chain: &ChainState, request: TransactionRequest) -> Result<u64, RpcError> {
    let cap = chain.block_gas_limit().min(TX_GAS_CAP);
    let most = request.gas.unwrap_or(cap).min(cap);
    let call = evm::from_request(request, most);
    let first = chain.simulate(call.clone())?.result;
    let gas = *first.gas();
    evm::output(first)?;

    let mut lo = gas.tx_gas_used().max(TX_GAS_MIN) - 1;
    let mut hi = most;
    let guess = (gas.tx_gas_used() + gas.inner_refunded() + CALL_STIPEND) * 64 / 63;
    if guess < hi {
        if succeeds(chain, &call, guess) {
            hi = guess;
        } else {
            lo = lo.max(guess);
        }
    }
    while lo + 1 < hi && (hi - lo) * 1000 > hi * 15 {
        // Most calls need little; so never guess above twice the proven lower bound.
        let middle = lo.midpoint(hi).min(lo.saturating_mul(2));
        if succeeds(chain, &call, middle) {
            hi = middle;
        } else {
            lo = middle;
        }
    }
    Ok(hi)
}

fn succeeds(chain: &ChainState, call: &TxEnv, gas_limit: u64) -> bool {
    let call = TxEnv { gas_limit, ..call.clone() };
    chain.simulate(call).is_ok_and(|ran| matches!(ran.result, ExecutionResult::Success { .. }))
}
