//! F7: a pool is asked to show a task, shows it, or does not.

use super::{Court, Filing, Leaf, SignedSet};
use crate::abi::Court as Abi;
use crate::error::SettleError;
use crate::outbox::Call;
use alloy::primitives::{Address, B256};
use alloy::sol_types::SolCall as _;
use quorate_common::accounts::Vote;
use quorate_common::ids::PoolId;

/// A question for a task's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Who asked, and has the share if there is no answer.
    pub asker: Address,
    /// Unix seconds, by the chain's clock.
    pub at: u64,
    /// Whether it was answered.
    pub answered: bool,
}

/// A task that was shown on chain, as the transaction carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its place in the batch.
    pub place: u32,
    /// Its frozen sets.
    pub sets: Vec<B256>,
    /// How many votes it has.
    pub votes: usize,
}

impl Court {
    /// Asks the pool to show a task of a pending batch.
    pub fn ask(&self, filing: &Filing<'_>, place: u32) -> Call {
        let call = Abi::askCall { filing: filing.into(), place };
        self.tell("ask for a task", &call)
    }

    /// Shows a task that was asked for: its frozen sets, its votes, and each set signed.
    pub fn answer(
        &self,
        filing: &Filing<'_>,
        leaf: &Leaf<'_>,
        sets: &[B256],
        votes: &[Vote],
        signed: &[SignedSet],
    ) -> Call {
        let call = Abi::answerCall {
            filing: filing.into(),
            leaf: leaf.into(),
            sets: sets.to_vec(),
            votes: votes.iter().map(Into::into).collect(),
            signed: signed.iter().map(Into::into).collect(),
        };
        self.tell("show a task", &call)
    }

    /// Proves that an ask was not answered in time.
    pub fn silence(&self, pool: PoolId, index: u32, place: u32) -> Call {
        let call = Abi::silenceCall { poolId: pool.0, index, place };
        self.tell("prove a silence", &call)
    }

    /// A question, if it was asked.
    ///
    /// # Errors
    /// The node's.
    pub async fn ask_of(
        &self,
        pool: PoolId,
        index: u32,
        place: u32,
    ) -> Result<Option<Ask>, SettleError> {
        let call = Abi::askOfCall { poolId: pool.0, index, place };
        let ask = self.settlement.read_from(self.address, call).await?;
        let Abi::Ask { asker, at, answered } = ask;
        Ok((!at.is_zero()).then(|| Ask { asker, at: at.to(), answered }))
    }

    /// The task that an `answer` shows, from its transaction's data.
    pub fn shown(data: &[u8]) -> Option<Shown> {
        let call = Abi::answerCall::abi_decode(data).ok()?;
        let Abi::answerCall { leaf, sets, votes, .. } = call;
        Some(Shown { place: leaf.place, sets, votes: votes.len() })
    }
}

/// The name of an ask, which is also its share's.
pub fn name_of(pool: PoolId, index: u32, place: u32) -> B256 {
    use alloy::primitives::{U256, keccak256};
    let word = |number: u32| U256::from(number).to_be_bytes::<32>();
    keccak256([word(pool.0), word(index), word(place)].as_flattened())
}
