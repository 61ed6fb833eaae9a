//! Waiting for a transaction: sent, mined, final, and every way a node can be wrong about it.

use crate::error::{Revert, SettleError};
use crate::outbox::{Finality, Inner, Prepared, Receipt};
use crate::transport::CallRequest;
use alloy::primitives::{B256, Bytes, U256};
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
    /// It pays too little for now.
    TooCheap,
    /// The node has no time for us.
    Busy,
    /// The account cannot pay.
    NoFunds,
    /// Something else: it will never take it.
    Refused,
}

/// What nodes say, in the order it is looked for: geth, Nethermind, Erigon, Reth, Besu, anvil,
/// Arbitrum's sequencer and the common providers.
const WORDS: [(&str, Answer); 17] = [
    ("already known", Answer::Held),
    ("alreadyknown", Answer::Held),
    ("known transaction", Answer::Held),
    ("already imported", Answer::Held),
    // Another version with this nonce is there and pays nearly as much: ours from before.
    ("replacement transaction underpriced", Answer::Held),
    ("nonce too low", Answer::NonceUsed),
    ("nonce is too low", Answer::NonceUsed),
    ("underpriced", Answer::TooCheap),
    ("less than block base fee", Answer::TooCheap),
    ("fee too low", Answer::TooCheap),
    ("feetoolow", Answer::TooCheap),
    ("insufficient funds", Answer::NoFunds),
    ("insufficient balance", Answer::NoFunds),
    ("rate limit", Answer::Busy),
    ("limit exceeded", Answer::Busy),
    ("too many requests", Answer::Busy),
    ("timeout", Answer::Busy),
];

fn answer_of(message: &str) -> Answer {
    let message = message.to_ascii_lowercase();
    let found = WORDS.iter().find(|(words, _)| message.contains(words));
    found.map_or(Answer::Refused, |(_, answer)| *answer)
}

/// What one round of waiting found out.
enum Round {
    /// It is mined.
    Mined(Box<TransactionReceipt>),
    /// It is not mined yet, and this is what the node said if it was sent in this round.
    Waiting(Option<Answer>),
}

impl Inner {
    pub(super) async fn submit(&self, prepared: &Prepared) -> Result<Receipt, SettleError> {
        let began = Instant::now();
        let mut wait = FIRST_WAIT;
        let mut held = None::<Instant>;
        let mut looks_left = LOOKS_BEFORE_TAKEN;
        loop {
            let due = held.is_none_or(|at| at.elapsed() >= RESEND_EVERY);
            let mut trouble = None;
            match self.round(prepared, due).await {
                Ok(Round::Mined(receipt)) => return self.went_through(prepared, &receipt).await,
                Ok(Round::Waiting(Some(Answer::Held))) => held = Some(Instant::now()),
                Ok(Round::Waiting(Some(Answer::NonceUsed))) => {
                    looks_left -= 1;
                    if looks_left == 0 {
                        return Err(self.nonce_taken(prepared));
                    }
                }
                Ok(Round::Waiting(Some(Answer::TooCheap))) => {
                    return Err(stuck(prepared, began.elapsed()));
                }
                Ok(Round::Waiting(_)) => {}
                // It may be on its way all the same, so only the deadline ends the wait.
                Err(error @ SettleError::Unreachable { .. }) => trouble = Some(error),
                Err(error) => return Err(error),
            }
            let waited = began.elapsed();
            if waited >= self.config.mined_within {
                return Err(trouble.unwrap_or_else(|| stuck(prepared, waited)));
            }
            sleep(wait).await;
            wait = (wait * 2).min(self.config.poll.max(FIRST_WAIT));
        }
    }

    /// Sends if that is due, and looks for a receipt, even if the node did not answer the first:
    /// it may have taken the transaction before it fell silent.
    async fn round(&self, prepared: &Prepared, due: bool) -> Result<Round, SettleError> {
        let sent = if due { Some(self.hand_over(prepared).await) } else { None };
        let silent = matches!(sent, Some(Err(SettleError::Unreachable { .. })));
        if matches!(sent, Some(Err(_))) && !silent {
            return sent.transpose().map(Round::Waiting);
        }
        match self.mined(prepared).await? {
            Some(receipt) => Ok(Round::Mined(Box::new(receipt))),
            None => Ok(Round::Waiting(sent.transpose()?)),
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
            let mut trouble = None;
            match self.look_whether_final(prepared, &mut mined).await {
                Ok(true) => return Ok(mined),
                Ok(false) => {}
                Err(error @ SettleError::Unreachable { .. }) => trouble = Some(error),
                Err(error) => return Err(error),
            }
            let waited = began.elapsed();
            if waited >= self.config.final_within {
                let Receipt { tx, block_number: block, .. } = mined;
                return Err(trouble.unwrap_or(SettleError::NotFinal { tx, block, waited }));
            }
            sleep(self.config.poll).await;
        }
    }

    async fn look_whether_final(
        &self,
        prepared: &Prepared,
        mined: &mut Receipt,
    ) -> Result<bool, SettleError> {
        let boundary = self.config.finality.boundary(&self.chain).await?;
        // Read after the boundary, so that a receipt below it stands in a final block.
        let Some(receipt) = self.mined(prepared).await? else {
            // A reorganisation lost it; it is still valid, so it goes out again.
            self.hand_over(prepared).await?;
            return Ok(false);
        };
        *mined = self.went_through(prepared, &receipt).await?;
        Ok(boundary.is_some_and(|number| mined.block_number <= number))
    }

    /// Sends the latest version; an error only if that can never help, or nobody answered.
    async fn hand_over(&self, prepared: &Prepared) -> Result<Answer, SettleError> {
        let error = match self.chain.send_raw(&prepared.latest().raw).await {
            Ok(_) => return Ok(Answer::Held),
            Err(error) => error,
        };
        let SettleError::RpcError { message, .. } = &error else { return Err(error) };
        match answer_of(message) {
            Answer::NoFunds => {
                self.check_funds(prepared, prepared.latest().fees).await?;
                Err(error)
            }
            Answer::Refused => Err(error),
            answer @ (Answer::Held | Answer::NonceUsed | Answer::TooCheap | Answer::Busy) => {
                Ok(answer)
            }
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
        let unknown = || Revert {
            what: call.what.clone(),
            name: String::new(),
            text: format!("transaction {tx} failed, and the same call would go through now"),
            tx: None,
            data: Bytes::new(),
        };
        let revert = match self.chain.call(&call.what, request).await {
            Err(SettleError::Reverted(revert)) => *revert,
            Err(error @ SettleError::InsufficientToken { .. }) => return error,
            _ => unknown(),
        };
        SettleError::Reverted(Box::new(Revert { tx: Some(tx), ..revert }))
    }

    fn nonce_taken(&self, prepared: &Prepared) -> SettleError {
        SettleError::NonceTaken { account: self.signer.address(), nonce: prepared.nonce }
    }
}

fn stuck(prepared: &Prepared, waited: Duration) -> SettleError {
    SettleError::TxStuck { tx: prepared.latest().hash, nonce: prepared.nonce, waited }
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
            ("transaction underpriced", Answer::TooCheap),
            ("max fee per gas less than block base fee", Answer::TooCheap),
            ("daily request count exceeded, request rate limited", Answer::Busy),
            ("Too Many Requests", Answer::Busy),
            ("intrinsic gas too low", Answer::Refused),
            ("", Answer::Refused),
        ] {
            assert_eq!(answer_of(message), answer, "{message}");
        }
    }
}
