//! From a method name and JSON to the chain and back.
//!
//! Parameters are a list of untrusted JSON values; each is parsed by the type it must be, and a
//! wrong one is an error that names its place. What alloy's types serialise is what a real node
//! answers, so nothing here writes JSON by hand.

use crate::embedded::chain::ChainState;
use crate::embedded::{BASE_FEE_WEI, RpcError, evm, gas, logs};
use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy::primitives::{Address, B256, Bytes, U64, U256};
use alloy::rpc::types::{FeeHistory, Filter, TransactionRequest};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Tip that gets a transaction mined: any. The suggestion is 1 wei so that fee arithmetic with a
/// tip is exercised.
const TIP_WEI: u64 = 1;

/// Blocks one `eth_feeHistory` answer covers at most: geth's limit. More is cut to it.
const FEE_HISTORY_BLOCKS_MAX: u64 = 1024;

/// Percentiles of one `eth_feeHistory` query at most: geth's limit. More is refused.
const FEE_PERCENTILES_MAX: usize = 100;

/// Answers one call.
pub(super) fn dispatch(
    chain: &mut ChainState,
    method: &str,
    params: Value,
) -> Result<Value, RpcError> {
    let mut params = Params::new(params)?;
    match method {
        "eth_chainId" => json(U64::from(chain.chain_id())),
        "net_version" => json(chain.chain_id().to_string()),
        "web3_clientVersion" => {
            json(concat!("quorate-embedded/", env!("CARGO_PKG_VERSION"), "/revm"))
        }
        "eth_blockNumber" => json(U64::from(chain.head().number())),
        "eth_getBalance" => {
            let who: Address = params.required(0)?;
            check_latest(chain, params.optional(1)?)?;
            json(chain.account(who).balance)
        }
        "eth_getTransactionCount" => {
            let who: Address = params.required(0)?;
            check_latest(chain, params.optional(1)?)?;
            json(U64::from(chain.account(who).nonce))
        }
        "eth_getCode" => {
            let who: Address = params.required(0)?;
            check_latest(chain, params.optional(1)?)?;
            json(chain.code(who))
        }
        "eth_getStorageAt" => {
            let (who, slot) = (params.required(0)?, params.required(1)?);
            check_latest(chain, params.optional(2)?)?;
            json(B256::from(chain.storage(who, slot)))
        }
        "eth_gasPrice" => json(U64::from(BASE_FEE_WEI + TIP_WEI)),
        "eth_maxPriorityFeePerGas" => json(U64::from(TIP_WEI)),
        "eth_feeHistory" => fee_history(chain, &mut params),
        "eth_estimateGas" => {
            let request: TransactionRequest = params.required(0)?;
            check_latest(chain, params.optional(1)?)?;
            json(U64::from(gas::estimate(chain, request)?))
        }
        "eth_call" => {
            let request: TransactionRequest = params.required(0)?;
            check_latest(chain, params.optional(1)?)?;
            let gas_limit = request.gas.unwrap_or(u64::MAX).min(chain.block_gas_limit());
            let ran = chain.simulate(evm::from_request(request, gas_limit))?;
            json(evm::output(ran.result)?)
        }
        "eth_sendRawTransaction" => {
            let raw: Bytes = params.required(0)?;
            json(chain.submit(&raw)?)
        }
        "eth_getTransactionReceipt" => {
            let block = chain.block_of_tx(params.required(0)?);
            json(block.and_then(|block| block.receipt()))
        }
        "eth_getTransactionByHash" => {
            let block = chain.block_of_tx(params.required(0)?);
            json(block.and_then(|block| block.rpc_transaction()))
        }
        "eth_getBlockByNumber" => {
            let number = number_of(chain, params.required(0)?);
            let full = params.optional(1)?.unwrap_or(false);
            json(chain.block(number).map(|block| block.rpc_block(full)))
        }
        "eth_getBlockByHash" => {
            let hash: B256 = params.required(0)?;
            let full = params.optional(1)?.unwrap_or(false);
            json(chain.block_by_hash(hash).map(|block| block.rpc_block(full)))
        }
        "eth_getLogs" => {
            let filter: Filter = params.required(0)?;
            json(logs::query(chain, &filter)?)
        }
        "evm_increaseTime" => {
            let seconds: Number = params.required(0)?;
            json(U64::from(chain.increase_time(seconds.0)?))
        }
        "evm_mine" => {
            let at: Option<Number> = params.optional(0)?;
            chain.mine_empty(at.map(|number| number.0))?;
            json("0x0")
        }
        "anvil_setBalance" => {
            chain.set_balance(params.required(0)?, params.required(1)?)?;
            Ok(Value::Null)
        }
        _ => Err(RpcError::new(
            -32_601,
            format!("the method {method} does not exist/is not available"),
        )),
    }
}

/// State of past blocks is not kept, so a read must be of the last one, under any of its names.
fn check_latest(chain: &ChainState, at: Option<BlockId>) -> Result<(), RpcError> {
    let head = chain.head();
    let is_head = match at.unwrap_or_default() {
        BlockId::Number(BlockNumberOrTag::Earliest) => head.number() == 0,
        BlockId::Number(BlockNumberOrTag::Number(number)) => number == head.number(),
        BlockId::Number(
            BlockNumberOrTag::Latest
            | BlockNumberOrTag::Pending
            | BlockNumberOrTag::Safe
            | BlockNumberOrTag::Finalized,
        ) => true,
        BlockId::Hash(hash) => hash.block_hash == head.hash(),
    };
    if is_head {
        return Ok(());
    }
    Err(RpcError::refused("historical state is not available: ask for the latest block"))
}

fn number_of(chain: &ChainState, tag: BlockNumberOrTag) -> u64 {
    match tag {
        BlockNumberOrTag::Number(number) => number,
        BlockNumberOrTag::Earliest => 0,
        BlockNumberOrTag::Latest
        | BlockNumberOrTag::Pending
        | BlockNumberOrTag::Safe
        | BlockNumberOrTag::Finalized => chain.head().number(),
    }
}

fn fee_history(chain: &ChainState, params: &mut Params) -> Result<Value, RpcError> {
    let blocks: Number = params.required(0)?;
    let newest = number_of(chain, params.required(1)?);
    let percentiles: Vec<f64> = params.optional(2)?.unwrap_or_default();
    if newest > chain.head().number() {
        return Err(RpcError::refused("request beyond head block"));
    }
    if percentiles.len() > FEE_PERCENTILES_MAX {
        return Err(RpcError::bad_params(format!(
            "over the query limit: {} percentiles, expected at most {FEE_PERCENTILES_MAX}",
            percentiles.len()
        )));
    }
    let count = blocks.0.min(FEE_HISTORY_BLOCKS_MAX).min(newest + 1);
    let oldest = newest + 1 - count;
    let covered = usize::try_from(count).expect("at most FEE_HISTORY_BLOCKS_MAX");
    let gas_used_ratio = (oldest..=newest)
        .take(covered)
        .filter_map(|number| chain.block(number))
        .map(|block| block.header().gas_used as f64 / block.header().gas_limit as f64)
        .collect();
    let reward = vec![u128::from(TIP_WEI); percentiles.len()];
    json(FeeHistory {
        base_fee_per_gas: vec![u128::from(BASE_FEE_WEI); covered + 1],
        gas_used_ratio,
        oldest_block: oldest,
        reward: (!percentiles.is_empty()).then(|| vec![reward; covered]),
        ..FeeHistory::default()
    })
}

fn json(answer: impl Serialize) -> Result<Value, RpcError> {
    serde_json::to_value(answer)
        .map_err(|error| RpcError::new(-32_603, format!("internal error: {error}")))
}

/// A number as a JSON number or as `0x` hex: tools send either to the `evm_` methods.
struct Number(u64);

impl<'de> serde::Deserialize<'de> for Number {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wide = U256::deserialize(deserializer)?;
        u64::try_from(wide).map(Self).map_err(serde::de::Error::custom)
    }
}

/// The parameters of one call, each taken once.
struct Params(Vec<Value>);

impl Params {
    fn new(params: Value) -> Result<Self, RpcError> {
        match params {
            Value::Null => Ok(Self(Vec::new())),
            Value::Array(list) => Ok(Self(list)),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                Err(RpcError::bad_params("non-array args"))
            }
        }
    }

    fn required<T: DeserializeOwned>(&mut self, at: usize) -> Result<T, RpcError> {
        self.optional(at)?.ok_or_else(|| {
            RpcError::bad_params(format!("missing value for required argument {at}"))
        })
    }

    fn optional<T: DeserializeOwned>(&mut self, at: usize) -> Result<Option<T>, RpcError> {
        match self.0.get_mut(at).map(Value::take) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => serde_json::from_value(value)
                .map(Some)
                .map_err(|error| RpcError::bad_params(format!("invalid argument {at}: {error}"))),
        }
    }
}
