//! Waiting for a transaction: sent, mined, final, and every way a node can be wrong about it.

use crate::error::SettleError;
use crate::outbox::{Finality, Inner, Prepared, Receipt};
use crate::transport::CallRequest;
use alloy::primitives::{B256, U256};
use alloy::rpc::types::TransactionReceipt;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The first wait between two looks; doubled up to the configured one. Development chains mine at
/// once, and a worker's claim should not sit out a public chain's interval there.
const FIRST_WAIT: Duration = Duration::from_millis(5);

/// How often a transaction that is not mined is handed to the node again: nodes drop what they
/// have no room for, and say nothing.
const RESEND_EVERY: Duration = Duration::from_secs(15);

/// Looks at a nonce that is used up before it counts as taken by another: behind one URL there
/// may be many nodes, and the one asked may not have seen our block yet.
const LOOKS_BEFORE_TAKEN: u32 = 5;

/// What a node's answer to a sent transaction means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// It has it, or has had it.
    Held,
    /// The nonce is used: by ours, which is then mined, or by another.
    NonceUsed,
    /// The account cannot pay.
    NoFunds,
    /// Something else.
    Refused,
}

/// Reads the words of geth, Nethermind, Erigon, Reth, Besu, anvil and Arbitrum's sequencer.
fn answer_of(message: &str) -> Answer {
    const HELD: [&str; 5] = [
        "already known",
        "alreadyknown",
        "known transaction",
        "already imported",
        // Another version with this nonce is there and pays nearly as much: ours from before.
        "replacement transaction underpriced",
    ];
    let message = message.to_ascii_lowercase();
    if HELD.iter().any(|words| message.contains(words)) {
        return Answer::Held;
    }
    if message.contains("nonce too low") || message.contains("nonce is too low") {
        return Answer::NonceUsed;
    }
    if message.contains("insufficient funds") || message.contains("insufficient balance") {
        return Answer::NoFunds;
    }
    Answer::Refused
}

impl Inner {
    pub(super) async fn submit(&self, prepared: &Prepared) -> Result<Receipt, SettleError> {
        let began = Instant::now();
        let mut wait = FIRST_WAIT;
        let mut sent = None::<Instant>;
        let mut looks_left = LOOKS_BEFORE_TAKEN;
        loop {
            let due = sent.is_none_or(|at| at.elapsed() >= RESEND_EVERY);
            let nonce_used = due && self.hand_over(prepared).await? == Answer::NonceUsed;
            if due && !nonce_used {
                sent = Some(Instant::now());
            }
            if let Some(receipt) = self.mined(prepared).await? {
                return self.went_through(prepared, &receipt).await;
            }
            if nonce_used {
                looks_left -= 1;
                if looks_left == 0 {
                    return Err(self.nonce_taken(prepared));
                }
            }
            let waited = began.elapsed();
            if waited >= self.config.mined_within {
                let tx = prepared.latest().hash;
                return Err(SettleError::TxStuck { tx, nonce: prepared.nonce, waited });
            }
            sleep(wait).await;
            wait = (wait * 2).min(self.config.poll.max(FIRST_WAIT));
        }
    }

    pub(super) async fn wait_final(
        &self,
        prepared: &Prepared,
        mut mined: Receipt,
    ) -> Result<Receipt, SettleError> {
        if self.config.finality == Finality::Latest {
            return Ok(mined);
        }
        let began = Instant::now();
        loop {
            let boundary = self.config.finality.boundary(&self.chain).await?;
            // The receipt is read after the boundary: it is final if it stands below it now.
            match self.mined(prepared).await? {
                Some(receipt) => mined = self.went_through(prepared, &receipt).await?,
                // A reorganisation lost it; it is still valid, so it goes out again.
                None => drop(self.hand_over(prepared).await?),
            }
            if boundary.is_some_and(|number| mined.block_number <= number) {
                return Ok(mined);
            }
            let waited = began.elapsed();
            if waited >= self.config.final_within {
                let Receipt { tx, block_number: block, .. } = mined;
                return Err(SettleError::NotFinal { tx, block, waited });
            }
            sleep(self.config.poll).await;
        }
    }

    /// Sends the latest version; errors only if that can never help.
    async fn hand_over(&self, prepared: &Prepared) -> Result<Answer, SettleError> {
        let error = match self.chain.send_raw(&prepared.latest().raw).await {
            Ok(_) => return Ok(Answer::Held),
            Err(error) => error,
        };
        let SettleError::RpcError { message, .. } = &error else { return Err(error) };
        match answer_of(message) {
            answer @ (Answer::Held | Answer::NonceUsed) => Ok(answer),
            Answer::NoFunds => {
                self.check_funds(prepared, prepared.latest().fees).await?;
                Err(error)
            }
            Answer::Refused => Err(error),
        }
    }

    /// The receipt of whichever version was mined.
    async fn mined(&self, prepared: &Prepared) -> Result<Option<TransactionReceipt>, SettleError> {
        for version in prepared.versions.iter().rev() {
            if let Some(receipt) = self.chain.receipt(version.hash).await? {
                return Ok(Some(receipt));
            }
        }
        Ok(None)
    }

    async fn went_through(
        &self,
        prepared: &Prepared,
        receipt: &TransactionReceipt,
    ) -> Result<Receipt, SettleError> {
        if receipt.status() {
            return self.receipt_of(receipt);
        }
        Err(self.why_reverted(prepared, receipt.transaction_hash).await)
    }

    fn receipt_of(&self, receipt: &TransactionReceipt) -> Result<Receipt, SettleError> {
        let (Some(block_number), Some(block_hash)) = (receipt.block_number, receipt.block_hash)
        else {
            return Err(self.chain.nonsense("eth_getTransactionReceipt", "no block"));
        };
        let fee =
            U256::from(receipt.gas_used).saturating_mul(U256::from(receipt.effective_gas_price));
        Ok(Receipt {
            tx: receipt.transaction_hash,
            block_number,
            block_hash,
            gas_used: receipt.gas_used,
            fee_wei: fee,
            contract: receipt.contract_address,
            logs: receipt.inner.logs().to_vec(),
        })
    }

    /// A receipt does not say why. The same call on the newest state most often does.
    async fn why_reverted(&self, prepared: &Prepared, tx: B256) -> SettleError {
        let call = &prepared.call;
        let request: CallRequest = call.request(self.signer.address());
        match self.chain.call(&call.what, request).await {
            Err(SettleError::Reverted { what, name, text, data, .. }) => {
                SettleError::Reverted { what, name, text, tx: Some(tx), data }
            }
            _ => SettleError::Reverted {
                what: call.what.clone(),
                name: String::new(),
                text: format!("transaction {tx} failed, and the same call would go through now"),
                tx: Some(tx),
                data: Default::default(),
            },
        }
    }

    fn nonce_taken(&self, prepared: &Prepared) -> SettleError {
        SettleError::NonceTaken { account: self.signer.address(), nonce: prepared.nonce }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_words_are_understood() {
        for (message, answer) in [
            ("already known", Answer::Held),
            ("AlreadyKnown", Answer::Held),
            ("Known transaction", Answer::Held),
            ("transaction already imported", Answer::Held),
            ("replacement transaction underpriced", Answer::Held),
            ("nonce too low: next nonce 5, tx nonce 4", Answer::NonceUsed),
            ("Nonce too low", Answer::NonceUsed),
            ("insufficient funds for gas * price + value", Answer::NoFunds),
            ("max fee per gas less than block base fee", Answer::Refused),
            ("", Answer::Refused),
        ] {
            assert_eq!(answer_of(message), answer, "{message}");
        }
    }
}
