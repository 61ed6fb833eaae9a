//! One transaction through revm, and its refusals in geth's words.
//!
//! Runs read the state and return the changes; whoever mines commits them. So a call by a
//! stranger can never alter or even grow the state.

use crate::embedded::RpcError;
use alloy::consensus::{Transaction as _, TxEnvelope};
use alloy::primitives::{Address, Bytes, TxKind, U256};
use alloy::rpc::types::TransactionRequest;
use alloy::sol_types::{Revert, SolError, decode_revert_reason};
use revm::context::result::{EVMError, ExecutionResult, InvalidTransaction, ResultAndState};
use revm::context::{BlockEnv, CfgEnv, TxEnv};
use revm::database::{InMemoryDB, WrapDatabaseRef};
use revm::primitives::hardfork::SpecId;
use revm::{Context, ExecuteEvm, MainBuilder, MainContext};
use serde_json::Value;
use std::convert::Infallible;

/// Gas of one transaction at most: EIP-7825, in force since Fusaka. Arbitrum allows more; a batch
/// that fits here fits everywhere.
pub(crate) const TX_GAS_CAP: u64 = 16_777_216;

/// The rules in force: Osaka (Fusaka), the mainnet of 2026.
pub(super) fn rules(chain_id: u64) -> CfgEnv {
    let mut cfg = CfgEnv::default();
    cfg.set_spec_and_mainnet_gas_params(SpecId::OSAKA);
    cfg.chain_id = chain_id;
    cfg
}

/// Runs one transaction on top of `db`, without changing it.
pub(super) fn run(
    db: &InMemoryDB,
    cfg: &CfgEnv,
    block: &BlockEnv,
    tx: TxEnv,
) -> Result<ResultAndState, EVMError<Infallible>> {
    Context::mainnet()
        .with_db(WrapDatabaseRef(db))
        .with_cfg(cfg.clone())
        .with_block(block.clone())
        .build_mainnet()
        .transact(tx)
}

/// A signed transaction as revm takes it. `raw_tx` has let only the types 0, 1 and 2 through.
pub(super) fn from_envelope(tx: &TxEnvelope, sender: Address) -> TxEnv {
    TxEnv {
        tx_type: tx.tx_type() as u8,
        caller: sender,
        gas_limit: tx.gas_limit(),
        gas_price: tx.max_fee_per_gas(),
        gas_priority_fee: tx.max_priority_fee_per_gas(),
        kind: tx.kind(),
        value: tx.value(),
        data: tx.input().clone(),
        nonce: tx.nonce(),
        chain_id: tx.chain_id(),
        access_list: tx.access_list().cloned().unwrap_or_default(),
        ..TxEnv::default()
    }
}

/// An unsigned call as revm takes it: free of charge unless a price is named, as in geth.
pub(super) fn from_request(request: TransactionRequest, gas_limit: u64) -> TxEnv {
    let tip = request.max_priority_fee_per_gas;
    let price = request.max_fee_per_gas.or(request.gas_price);
    TxEnv {
        tx_type: if request.max_fee_per_gas.is_some() || tip.is_some() { 2 } else { 0 },
        caller: request.from.unwrap_or_default(),
        gas_limit,
        gas_price: price.unwrap_or_else(|| tip.unwrap_or_default()),
        gas_priority_fee: tip,
        kind: request.to.unwrap_or(TxKind::Create),
        value: request.value.unwrap_or(U256::ZERO),
        data: request.input.into_input().unwrap_or_default(),
        chain_id: request.chain_id,
        ..TxEnv::default()
    }
}

/// What a run returned, or how it failed, as `eth_call` answers it.
pub(super) fn output(result: ExecutionResult) -> Result<Bytes, RpcError> {
    match result {
        ExecutionResult::Success { output, .. } => Ok(output.into_data()),
        ExecutionResult::Revert { output, .. } => Err(reverted(&output)),
        ExecutionResult::Halt { reason, .. } => Err(RpcError::refused(reason.to_string())),
    }
}

/// Code 3 with the data, and the reason in the message when it is a `require` text.
pub(super) fn reverted(output: &Bytes) -> RpcError {
    let reason = Revert::abi_decode(output)
        .map(|revert| revert.reason)
        .ok()
        .or_else(|| panic_reason(output));
    let message = reason.map_or_else(
        || "execution reverted".to_owned(),
        |reason| format!("execution reverted: {reason}"),
    );
    RpcError { code: 3, message, data: Some(Value::String(output.to_string())) }
}

/// Solidity's `Panic(uint256)`, in words.
fn panic_reason(output: &Bytes) -> Option<String> {
    const PANIC: [u8; 4] = [0x4e, 0x48, 0x7b, 0x71];
    if output.starts_with(&PANIC) { decode_revert_reason(output) } else { None }
}

/// Why a transaction may not even run, in the words of geth that clients look for.
pub(super) fn refusal(error: &EVMError<Infallible>, tx: &TxEnv, block: &BlockEnv) -> RpcError {
    let EVMError::Transaction(invalid) = error else {
        return RpcError::new(-32_603, format!("internal error: {error}"));
    };
    RpcError::refused(invalid_text(invalid, tx, block))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the rest cannot happen to a transaction of type 0 to 2, and revm words it well"
)]
fn invalid_text(invalid: &InvalidTransaction, tx: &TxEnv, block: &BlockEnv) -> String {
    let who = tx.caller;
    match invalid {
        InvalidTransaction::NonceTooLow { tx, state } => {
            format!("nonce too low: address {who}, tx: {tx} state: {state}")
        }
        InvalidTransaction::NonceTooHigh { tx, state } => {
            format!("nonce too high: address {who}, tx: {tx} state: {state}")
        }
        InvalidTransaction::LackOfFundForMaxFee { fee, balance } => format!(
            "insufficient funds for gas * price + value: address {who} have {balance} want {fee}"
        ),
        InvalidTransaction::CallGasCostMoreThanGasLimit { initial_gas, gas_limit } => {
            format!("intrinsic gas too low: have {gas_limit}, want {initial_gas}")
        }
        InvalidTransaction::GasFloorMoreThanGasLimit { gas_floor, gas_limit } => {
            format!("insufficient gas for floor data gas cost: have {gas_limit}, want {gas_floor}")
        }
        InvalidTransaction::CallerGasLimitMoreThanBlock => {
            format!("exceeds block gas limit: have {}, limit {}", tx.gas_limit, block.gas_limit)
        }
        InvalidTransaction::TxGasLimitGreaterThanCap { gas_limit, cap } => {
            format!("transaction gas limit too high (cap: {cap}, tx: {gas_limit})")
        }
        InvalidTransaction::GasPriceLessThanBasefee => format!(
            "max fee per gas less than block base fee: address {who}, maxFeePerGas: {}, \
             baseFee: {}",
            tx.gas_price, block.basefee
        ),
        InvalidTransaction::PriorityFeeGreaterThanMaxFee => format!(
            "max priority fee per gas higher than max fee per gas: address {who}, \
             maxPriorityFeePerGas: {}, maxFeePerGas: {}",
            tx.gas_priority_fee.unwrap_or_default(),
            tx.gas_price
        ),
        InvalidTransaction::CreateInitCodeSizeLimit => {
            format!("max initcode size exceeded: code size {}", tx.data.len())
        }
        other => other.to_string(),
    }
}
