//! Putting the contracts on a chain, from the committed bytecode. For development chains and for
//! the one deployment of a version; there is nothing to upgrade afterwards.

use crate::abi::{
    BookBench, Court, Escape, Market, Settlement as Abi, StepBench, TestToken, WordBench,
};
use crate::error::SettleError;
use crate::outbox::{Call, Outbox, Receipt};
use crate::settlement::Settlement;
use alloy::primitives::{Address, U256};
use alloy::sol_types::SolConstructor;
use quorate_common::messages::Domain;

/// Deploys the worthless development token; its whole supply goes to `holder`.
///
/// # Errors
/// As [`Outbox::send`].
pub async fn deploy_token(outbox: &Outbox, holder: Address) -> Result<Address, SettleError> {
    let arguments = TestToken::constructorCall { holder };
    let receipt = create(outbox, "deploy TestToken", &TestToken::BYTECODE, &arguments).await?;
    created(outbox, &receipt)
}

/// Deploys the contract for `token` with a challenge window of `window_s` seconds, 48 hours to 10
/// days.
///
/// # Errors
/// As [`Outbox::send`]; [`SettleError::Reverted`] for a window out of range.
pub async fn deploy_settlement(
    outbox: &Outbox,
    token: Address,
    window_s: u64,
) -> Result<Settlement, SettleError> {
    let deployer = outbox.account();
    let nonce = outbox.chain().nonce(deployer).await?;
    // Each is told at birth where the others will be.
    let at = |n: u64| deployer.create(nonce + n);
    let contract = at(6);
    let market = Market::constructorCall { settlement_: contract };
    create(outbox, "deploy Market", &Market::BYTECODE, &market).await?;
    let step = StepBench::constructorCall { settlement: contract };
    create(outbox, "deploy StepBench", &StepBench::BYTECODE, &step).await?;
    let word = WordBench::constructorCall { settlement: contract };
    create(outbox, "deploy WordBench", &WordBench::BYTECODE, &word).await?;
    let book = BookBench::constructorCall { settlement: contract };
    create(outbox, "deploy BookBench", &BookBench::BYTECODE, &book).await?;
    let court = Court::constructorCall {
        settlement: contract,
        stepBench_: at(1),
        wordBench_: at(2),
        bookBench_: at(3),
    };
    create(outbox, "deploy Court", &Court::BYTECODE, &court).await?;
    let escape = Escape::constructorCall { settlement: contract };
    create(outbox, "deploy Escape", &Escape::BYTECODE, &escape).await?;
    let arguments = Abi::constructorCall {
        token_: token,
        window_: window_s,
        market_: at(0),
        court_: at(4),
        escape_: at(5),
    };
    create(outbox, "deploy Settlement", &Abi::BYTECODE, &arguments).await?;
    let chain_id = outbox.chain().chain_id().await?;
    Settlement::connect(outbox.chain().clone(), Domain { chain_id, contract }).await
}

async fn create(
    outbox: &Outbox,
    what: &str,
    code: &[u8],
    arguments: &impl SolConstructor,
) -> Result<Receipt, SettleError> {
    let data = [code, &arguments.abi_encode()].concat().into();
    outbox
        .send(Call { what: what.to_owned(), to: None, value: U256::ZERO, data, gas_max: None })
        .await
}

fn created(outbox: &Outbox, receipt: &Receipt) -> Result<Address, SettleError> {
    let nonsense = || outbox.chain().nonsense("eth_getTransactionReceipt", "no contract address");
    receipt.contract.ok_or_else(nonsense)
}
