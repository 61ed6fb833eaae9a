//! Whether the code on the chain is this release's, byte for byte but for what its constructors filled in:
//! what an operator checks before a bond goes in, and after a deployment. Immutables must be values that the
//! contracts were made with. Who the token is, is not looked at here: that is the operator's choice.

use crate::abi::{BookBench, Court, Escape, Market, Settlement as Abi, StepBench, WordBench};
use crate::error::SettleError;
use crate::settlement::Settlement;
use alloy::primitives::{Address, B256, keccak256};

/// The opcode before an immutable's 32 bytes, zeros as compiled.
const PUSH1: u8 = 0x60;
const PUSH32: u8 = 0x7f;

/// One contract on the chain, compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeView {
    /// Its name in the sources.
    pub name: &'static str,
    /// Where it is.
    pub address: Address,
    /// keccak256 of the code there: what can be pinned.
    pub code_hash: B256,
    /// keccak256 of this release's code, immutables zero: the same for every chain.
    pub release_hash: B256,
    /// What differs; nothing if it is this release's.
    pub differs: Option<String>,
}

impl Settlement {
    /// Compares the code of the contract and of all that it rests on with this release's.
    ///
    /// # Errors
    /// The node's.
    pub async fn code_views(&self) -> Result<Vec<CodeView>, SettleError> {
        let court = self.court().await?;
        let benches = (
            self.read_from(court, Court::stepBenchCall {}).await?,
            self.read_from(court, Court::wordBenchCall {}).await?,
            self.read_from(court, Court::bookBenchCall {}).await?,
        );
        let contracts: [(&'static str, Address, &[u8]); 7] = [
            ("Settlement", self.address(), &Abi::DEPLOYED_BYTECODE),
            ("Market", self.market(), &Market::DEPLOYED_BYTECODE),
            ("Court", court, &Court::DEPLOYED_BYTECODE),
            ("StepBench", benches.0, &StepBench::DEPLOYED_BYTECODE),
            ("WordBench", benches.1, &WordBench::DEPLOYED_BYTECODE),
            ("BookBench", benches.2, &BookBench::DEPLOYED_BYTECODE),
            ("Escape", self.escape().await?, &Escape::DEPLOYED_BYTECODE),
        ];
        let addresses = contracts.map(|(_, address, _)| address.into_word());
        let known = [&addresses[..], &self.made_with()].concat();
        let mut views = Vec::with_capacity(contracts.len());
        for (name, address, compiled) in contracts {
            let code = self.chain().code(address).await?;
            let differs = difference(compiled, &code, &known);
            let (code_hash, release_hash) = (keccak256(&code), keccak256(compiled));
            views.push(CodeView { name, address, code_hash, release_hash, differs });
        }
        Ok(views)
    }

    fn made_with(&self) -> [B256; 4] {
        let number = |n: u64| B256::left_padding_from(&n.to_be_bytes());
        let domain = self.domain();
        [
            self.token().into_word(),
            number(self.window_s()),
            number(domain.chain_id),
            self.separator().0,
        ]
    }
}

/// The first way in which `found` is not `compiled` with `known` words in place of its immutables.
fn difference(compiled: &[u8], found: &[u8], known: &[B256]) -> Option<String> {
    if found.is_empty() {
        return Some("there is no code".into());
    }
    if found.len() != compiled.len() {
        let (is, expected) = (found.len(), compiled.len());
        return Some(format!("it has {is} bytes of code; expected {expected}"));
    }
    let mut at = 0;
    while at < compiled.len() {
        let end = (at + 1 + pushed(compiled[at])).min(compiled.len());
        let (ours, theirs) = (&compiled[at + 1..end], &found[at + 1..end]);
        let is_hole = compiled[at] == PUSH32 && ours.len() == 32 && ours.iter().all(|b| *b == 0);
        let fits = if is_hole {
            known.iter().any(|word| word.as_slice() == theirs)
        } else {
            ours == theirs
        };
        if found[at] != compiled[at] || !fits {
            let what = if is_hole { "an immutable that is none of its own" } else { "other code" };
            return Some(format!("{what} at byte {at}"));
        }
        at = end;
    }
    None
}

/// Bytes that an opcode takes from the code behind it.
fn pushed(opcode: u8) -> usize {
    if (PUSH1..=PUSH32).contains(&opcode) { usize::from(opcode - PUSH1) + 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_immutables_may_differ_and_only_by_known_words() {
        let word = B256::repeat_byte(7);
        let compiled = [&[PUSH32][..], &[0; 32], &[PUSH1, 0, 0]].concat();
        let made = [&[PUSH32][..], word.as_slice(), &[PUSH1, 0, 0]].concat();
        assert_eq!(difference(&compiled, &made, &[word]), None);
        let stranger = difference(&compiled, &made, &[]).expect("nobody's word");
        assert_eq!(stranger, "an immutable that is none of its own at byte 0");
        let mut changed = made.clone();
        changed[34] = 1;
        assert_eq!(difference(&compiled, &changed, &[word]), Some("other code at byte 33".into()));
        assert!(difference(&compiled, &made[1..], &[word]).is_some_and(|d| d.contains("35 bytes")));
        assert_eq!(difference(&compiled, &[], &[]), Some("there is no code".into()));
    }
}
