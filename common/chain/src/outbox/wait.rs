//! Waiting for a transaction: sent, mined, final, and every way a node can be wrong about it.

use crate::error::{Revert, SettleError};
use crate::outbox::{Finality, Inner, OutboxConfig, Prepared, Receipt, Standing};
use crate::transport::{BlockRef, CallRequest};
use alloy::primitives::{B256, Bytes, U256};
use alloy::rpc::types::TransactionReceipt;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The first wait between two looks; doubled up to the configured one. Development chains mine at
/// once, and a worker's claim should not sit out a public chain's interval there.
const FIRST_WAIT: Duration = Duration::from_millis(5);

/// How often a transaction that is not mined is handed to the nodes again, at most: nodes drop
/// what they have no room for, and say nothing. Where blocks are quicker, every eight looks.
const RESEND_EVERY: Duration = Duration::from_secs(15);
const RESEND_LOOKS: u32 = 8;

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
const WORDS: [(&str, Answer); 22] = [
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
    // The pool has no room, or none for us: it will.
    ("pool is full", Answer::Busy),
    ("pool full", Answer::Busy),
    ("pool overflow", Answer::Busy),
    ("already reserved", Answer::Busy),
    ("temporarily", Answer::Busy),
];

fn answer_of(message: &str) -> Answer {
    let message = message.to_ascii_lowercase();
    let found = WORDS.iter().find(|(words, _)| message.contains(words));
    found.map_or(Answer::Refused, |(_, answer)| *answer)
}

/// Which of two answers says more about a transaction that went to several nodes: one that has it
/// is enough, and all must refuse.
fn weight(answer: Answer) -> u8 {
    match answer {
        Answer::Held => 5,
        Answer::NonceUsed => 4,
        Answer::Busy => 3,
        Answer::TooCheap => 2,
        Answer::NoFunds => 1,
        Answer::Refused => 0,
    }
}

/// How a wait for being mined goes.
struct Wait {
    began: Instant,
    pause: Duration,
    /// When a node last said that it has it.
    held: Option<Instant>,
    looks_left: u32,
    /// The nonce is used, by whomever.
    used: bool,
    /// Why the last round found nothing out.
    trouble: Option<SettleError>,
}

impl Wait {
    fn begin() -> Self {
        let (began, pause) = (Instant::now(), FIRST_WAIT);
        let looks_left = LOOKS_BEFORE_TAKEN;
        Self { began, pause, held: None, looks_left, used: false, trouble: None }
    }

    fn is_due(&self, poll: Duration) -> bool {
        let every = RESEND_EVERY.min(poll * RESEND_LOOKS);
        self.held.is_none_or(|at| at.elapsed() >= every)
    }

    async fn pause(&mut self, longest: Duration) {
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(longest.max(FIRST_WAIT));
    }
}

impl Inner {
    /// Keeps it, sends it and waits until it is mined, whether it went through or failed.
    pub(super) async fn submit(
        &self,
        prepared: &Prepared,
    ) -> Result<TransactionReceipt, SettleError> {
        self.intents.save(prepared).await?;
        let _watched = self.intents.watch(prepared.nonce);
        self.tell_in_flight(prepared);
        let outcome = self.until_mined(prepared).await;
        match &outcome {
            // Whether it is stuck is for whoever could raise its price to say.
            Err(SettleError::TxStuck { .. }) => return outcome,
            Err(SettleError::NonceTaken { .. }) => self.intents.forget(prepared).await,
            // Refused by everybody from the first: it is nowhere, and must not be in the way.
            Err(_) if !self.intents.may_be_out(prepared.nonce) => {
                self.intents.forget(prepared).await;
            }
            Ok(_) | Err(_) => {}
        }
        self.tell_outcome(&outcome);
        outcome
    }

    async fn until_mined(&self, prepared: &Prepared) -> Result<TransactionReceipt, SettleError> {
        let mut wait = Wait::begin();
        loop {
            if let Some(receipt) = self.round(prepared, &mut wait).await? {
                return Ok(receipt);
            }
            if let Some(trouble) = &wait.trouble {
                self.tell_error(trouble);
            }
            // A nonce that is used is a matter of finality, not of price.
            let OutboxConfig { mined_within, final_within, .. } = self.config;
            let within = if wait.used { final_within } else { mined_within };
            let waited = wait.began.elapsed();
            if waited >= within {
                let used = wait.used;
                let why =
                    || if used { self.unexplained(prepared) } else { stuck(prepared, waited) };
                return Err(wait.trouble.unwrap_or_else(why));
            }
            wait.pause(self.config.poll).await;
        }
    }

    /// Sends if that is due, and looks for a receipt, even if nobody answered the first: a node
    /// may have taken the transaction before it fell silent. It may be on its way whatever reading
    /// says, so only the deadline ends the wait.
    async fn round(
        &self,
        prepared: &Prepared,
        wait: &mut Wait,
    ) -> Result<Option<TransactionReceipt>, SettleError> {
        wait.trouble = None;
        let mut answer = None;
        if wait.is_due(self.config.poll) {
            match self.hand_over(prepared).await {
                Ok(heard) => answer = Some(heard),
                Err(error @ SettleError::Unreachable { .. }) => wait.trouble = Some(error),
                Err(error) => return Err(error),
            }
        }
        match self.mined(prepared).await {
            Ok(None) => {}
            Ok(found) => return Ok(found),
            Err(error) => wait.trouble = Some(error),
        }
        self.weigh(prepared, answer, wait).await.map(|()| None)
    }

    /// What an answer means for a transaction without a receipt.
    async fn weigh(
        &self,
        prepared: &Prepared,
        answer: Option<Answer>,
        wait: &mut Wait,
    ) -> Result<(), SettleError> {
        match answer {
            Some(Answer::Held) => (wait.held, wait.used) = (Some(Instant::now()), false),
            Some(Answer::TooCheap) => return Err(stuck(prepared, wait.began.elapsed())),
            Some(Answer::NonceUsed) => {
                wait.used = true;
                wait.looks_left = wait.looks_left.saturating_sub(1);
                if wait.looks_left == 0 && self.is_taken(prepared).await {
                    return Err(self.nonce_taken(prepared));
                }
            }
            Some(Answer::Busy | Answer::NoFunds | Answer::Refused) | None => {}
        }
        Ok(())
    }

    /// Whether the nonce is used in a block that does not change any more, and not by ours. Only if
    /// this is certain: whoever is told so sends it again.
    async fn is_taken(&self, prepared: &Prepared) -> bool {
        let boundary = self.config.finality.boundary(&self.chain).await;
        let Ok(Some(boundary)) = boundary else { return false };
        let used = self.chain.nonce_at(self.signer.address(), boundary).await;
        if used.is_err() || used.is_ok_and(|used| used <= prepared.nonce) {
            return false;
        }
        // Read after the count: what was mined by then has a receipt by now.
        for version in &self.with_all_versions(prepared).versions {
            if !matches!(self.chain.is_nowhere(version.hash).await, Ok(true)) {
                return false;
            }
        }
        true
    }

    pub(super) async fn wait_final(&self, prepared: &Prepared) -> Result<Receipt, SettleError> {
        let _watched = self.intents.watch(prepared.nonce);
        let began = Instant::now();
        let (mut block, mut last) = (0, None);
        loop {
            let known = self.intents.of(prepared);
            if let Some(receipt) = known.and_then(|intent| intent.done) {
                return Ok(receipt);
            }
            let trouble = match self.look_whether_final(prepared, &mut block).await {
                Ok(Some(receipt)) => return self.conclude(prepared, &receipt).await,
                Ok(None) => None,
                Err(error @ SettleError::NonceTaken { .. }) => {
                    self.intents.forget(prepared).await;
                    return Err(error);
                }
                Err(error) => Some(error),
            };
            self.tell_progress(trouble.as_ref(), &mut last);
            let waited = began.elapsed();
            if waited >= self.config.final_within {
                let tx = prepared.latest().hash;
                return Err(trouble.unwrap_or(SettleError::NotFinal { tx, block, waited }));
            }
            sleep(self.config.poll).await;
        }
    }

    /// Tells of trouble while waiting, and takes it back when it is over.
    fn tell_progress(&self, trouble: Option<&SettleError>, last: &mut Option<Standing>) {
        let now = trouble.and_then(Standing::of);
        match (&now, last.take()) {
            (Some(standing), _) => self.tell(standing.clone()),
            (None, Some(told)) if *self.standing.borrow() == told => self.tell(Standing::Ready),
            (None, _) => {}
        }
        *last = now;
    }

    /// The receipt, if its block does not change any more.
    async fn look_whether_final(
        &self,
        prepared: &Prepared,
        block: &mut u64,
    ) -> Result<Option<TransactionReceipt>, SettleError> {
        let boundary = self.config.finality.boundary(&self.chain).await?;
        // Read after the boundary, so that a receipt below it stands in a final block.
        let Some(receipt) = self.mined(prepared).await? else {
            // A reorganisation lost it; it is still valid, so it goes out again.
            let answer = self.hand_over(prepared).await?;
            if answer == Answer::NonceUsed && self.is_taken(prepared).await {
                return Err(self.nonce_taken(prepared));
            }
            return Ok(None);
        };
        let (number, hash) = self.place(&receipt)?;
        *block = number;
        if self.config.finality == Finality::Latest {
            return Ok(Some(receipt));
        }
        if boundary.is_none_or(|boundary| number > boundary) {
            return Ok(None);
        }
        let there = self.chain.block(BlockRef::Number(number)).await?;
        Ok(there.is_some_and(|there| there.hash == hash).then_some(receipt))
    }

    /// What a final receipt means, and the end of the intent.
    async fn conclude(
        &self,
        prepared: &Prepared,
        receipt: &TransactionReceipt,
    ) -> Result<Receipt, SettleError> {
        if receipt.status() {
            let receipt = self.receipt_of(receipt)?;
            self.intents.finished(prepared, &receipt).await;
            return Ok(receipt);
        }
        let why = self.why_reverted(prepared, receipt.transaction_hash).await;
        self.intents.forget(prepared).await;
        self.tell_error(&why);
        Err(why)
    }

    /// Sends the latest version to every node; an error only if that can never help, or nobody
    /// answered.
    async fn hand_over(&self, prepared: &Prepared) -> Result<Answer, SettleError> {
        let all = self.with_all_versions(prepared);
        let heard = self.chain.broadcast(&all.latest().raw, is_settled).await;
        let silent = heard.iter().filter(|one| weigh_one(one).is_none()).count();
        let best = heard.iter().filter_map(weigh_one).max_by_key(|answer| weight(*answer));
        let refused = matches!(best, Some(Answer::NoFunds | Answer::Refused));
        let spoke = heard.len() - silent;
        // One node's refusal is not everybody's while others are silent.
        let known = best.filter(|_| !refused || silent == 0 || spoke >= 2);
        if !refused || known.is_none() {
            self.intents.handed(prepared.nonce);
        }
        match known {
            Some(Answer::NoFunds | Answer::Refused) => Err(self.refusal(prepared, heard).await),
            Some(answer) => Ok(answer),
            None => Err(silence(heard)),
        }
    }

    /// Why everybody refuses it. The account's money is looked up rather than believed.
    async fn refusal(
        &self,
        prepared: &Prepared,
        heard: Vec<Result<B256, SettleError>>,
    ) -> SettleError {
        let funds = self.check_funds(prepared, prepared.latest().fees).await;
        if let Err(error @ SettleError::InsufficientGas { .. }) = funds {
            return error;
        }
        let mut errors = heard.into_iter().filter_map(Result::err);
        let refusal = errors.find(|error| matches!(error, SettleError::RpcError { .. }));
        refusal.unwrap_or_else(|| self.chain.nonsense("eth_sendRawTransaction", "no reason"))
    }

    /// With every version there is: the next sender may have raised the price of one that a
    /// reorganisation took back, while its caller still waits for it to be final.
    fn with_all_versions(&self, prepared: &Prepared) -> Prepared {
        self.intents.of(prepared).map_or_else(|| prepared.clone(), |intent| intent.prepared)
    }

    /// The receipt of whichever version was mined.
    async fn mined(&self, prepared: &Prepared) -> Result<Option<TransactionReceipt>, SettleError> {
        for version in self.with_all_versions(prepared).versions.iter().rev() {
            if let Some(receipt) = self.chain.receipt(version.hash).await? {
                return Ok(Some(receipt));
            }
        }
        Ok(None)
    }

    /// Height and name of a receipt's block.
    fn place(&self, receipt: &TransactionReceipt) -> Result<(u64, B256), SettleError> {
        let place = receipt.block_number.zip(receipt.block_hash);
        place.ok_or_else(|| self.chain.nonsense("eth_getTransactionReceipt", "no block"))
    }

    pub(super) fn receipt_of(&self, receipt: &TransactionReceipt) -> Result<Receipt, SettleError> {
        let (block_number, block_hash) = self.place(receipt)?;
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

    /// The nonce is used, and nobody can show by what: no price helps, and nothing may be sent anew.
    fn unexplained(&self, prepared: &Prepared) -> SettleError {
        let (tx, nonce) = (prepared.latest().hash, prepared.nonce);
        let what = format!("nothing for {tx}, though its nonce {nonce} is used");
        self.chain.nonsense("eth_getTransactionReceipt", what)
    }

    fn nonce_taken(&self, prepared: &Prepared) -> SettleError {
        SettleError::NonceTaken { account: self.signer.address(), nonce: prepared.nonce }
    }
}

/// Whether nothing the other nodes say would change what to do: one has it, or two say that it is
/// too late, and a receipt tells the rest.
fn is_settled(heard: &[Result<B256, SettleError>]) -> bool {
    let said = |answer| heard.iter().filter(|one| weigh_one(one) == Some(answer)).count();
    said(Answer::Held) >= 1 || said(Answer::NonceUsed) >= 2
}

/// What one node said; nothing if it did not answer.
fn weigh_one(heard: &Result<B256, SettleError>) -> Option<Answer> {
    match heard {
        Ok(_) => Some(Answer::Held),
        Err(SettleError::RpcError { message, .. }) => Some(answer_of(message)),
        Err(_) => None,
    }
}

/// Nobody answered: an error that says so, whatever kind of silence it was.
fn silence(heard: Vec<Result<B256, SettleError>>) -> SettleError {
    let error = heard.into_iter().find_map(Result::err);
    let (node, method) = (String::from("(all)"), "eth_sendRawTransaction");
    match error {
        Some(error @ SettleError::Unreachable { .. }) => error,
        Some(error) => SettleError::Unreachable { node, method, source: Box::new(error) },
        None => SettleError::Unreachable { node, method, source: "no answer".into() },
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
            ("txpool is full", Answer::Busy),
            ("intrinsic gas too low", Answer::Refused),
            ("", Answer::Refused),
        ] {
            assert_eq!(answer_of(message), answer, "{message}");
        }
    }
}
