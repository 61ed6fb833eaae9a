//! The ways out of a pool that has left its duties, as a typed client: to end it, to be paid for standing
//! by, and to have its last tasks settled by the votes that are there. When each is open, and what it
//! pays, stands in `deploy/contracts/src/IEscape.sol`; what is there to be shown is found elsewhere.

use crate::abi::Escape as Abi;
use crate::court::{SignedSet, fixed};
use crate::error::SettleError;
use crate::outbox::Call;
use crate::settlement::Settlement;
use crate::transport::CallRequest;
use alloy::primitives::{Address, B256, U256};
use alloy::sol_types::{SolCall, SolEvent as _};
use quorate_common::accounts::{DealAccount, Vote, WorkerAccount};
use quorate_common::anchor::Anchor;
use quorate_common::frame::FrameProof;
use quorate_common::ids::{PoolId, WorkerIdx};
use quorate_common::merkle::SET_DEPTH;
use quorate_common::messages::{Assign, CommitAck};
use quorate_common::terms::DealTerms;
use std::collections::BTreeSet;

/// Blocks looked at together: what the stingiest common providers allow.
const SPAN_BLOCKS: u64 = 2_000;

/// The Escape of a contract. Clones share the connection.
#[derive(Clone, Debug)]
pub struct Escape {
    settlement: Settlement,
    address: Address,
}

/// A task that the newest final state does not know as settled.
#[derive(Clone, Debug)]
pub struct Unsettled<'a> {
    /// Its deal.
    pub terms: &'a DealTerms,
    /// Its place in the deal.
    pub task_idx: u32,
    /// Of the newest final batch; not looked at while there is none.
    pub anchor: Anchor,
    /// The deal's account in that state; `None`: no task of it is settled.
    pub account: Option<DealAccount>,
    /// From the deal's leaf to the state root.
    pub path: Vec<B256>,
    /// The word of the settled bitmap that the task's bit is in.
    pub word: U256,
    /// From the word to the deal's settled root.
    pub word_path: Vec<B256>,
}

/// A vote, and its commitment's place in the set it was revealed for.
#[derive(Clone, Debug)]
pub struct SetVote {
    /// The vote, with its worker's signature.
    pub vote: Vote,
    /// The place.
    pub place: u8,
    /// From there to the set's root.
    pub path: [B256; SET_DEPTH],
}

/// A voter's account in the newest final state with its path; `None`: the pool never touched it.
pub type Voter = (Option<WorkerAccount>, Vec<B256>);

/// A vote that was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ballot {
    /// The worker's owner.
    pub owner: Address,
    /// Whose vote.
    pub worker: WorkerIdx,
    /// What it is for.
    pub digest: B256,
}

impl Escape {
    /// The Escape that the contract obeys.
    ///
    /// # Errors
    /// The node's; [`SettleError::NoContract`] if nothing is there.
    pub async fn connect(settlement: &Settlement) -> Result<Self, SettleError> {
        let address = settlement.escape().await?;
        if settlement.chain().code(address).await?.is_empty() {
            return Err(SettleError::NoContract { address, what: "there is no escape" });
        }
        Ok(Self { settlement: settlement.clone(), address })
    }

    /// Ends a live pool that froze this set and never settled its task.
    pub fn neglect(&self, task: &Unsettled<'_>, signed: &SignedSet) -> Call {
        let what = format!("end {} for neglecting a task", signed.set.pool);
        self.tell(what, &Abi::neglectCall { task: task.into(), signed: signed.into() })
    }

    /// Pays a worker whose commit was acknowledged, for a task that was never settled.
    pub fn claim_abandoned(
        &self,
        task: &Unsettled<'_>,
        assign: (&Assign, &FrameProof),
        ack: (&CommitAck, &FrameProof),
    ) -> Call {
        let call = Abi::claimAbandonedCall {
            task: task.into(),
            assign: assign.0.into(),
            assignProof: assign.1.into(),
            ack: ack.0.into(),
            ackProof: ack.1.into(),
        };
        self.tell(format!("claim for {} standing by", ack.0.worker), &call)
    }

    /// Shows votes of a task of a dead pool, all of one set.
    pub fn show(
        &self,
        terms: &DealTerms,
        task_idx: u32,
        signed: &SignedSet,
        votes: &[SetVote],
    ) -> Call {
        let call = Abi::showCall {
            terms: terms.into(),
            taskIdx: task_idx,
            signed: signed.into(),
            votes: votes.iter().map(Into::into).collect(),
        };
        self.tell(format!("show {} votes of {} task {task_idx}", votes.len(), terms.pool), &call)
    }

    /// Settles a task of a dead pool by the votes that were shown. `voters` are in the order of
    /// [`Self::shown_for`].
    pub fn settle(&self, task: &Unsettled<'_>, voters: &[Voter]) -> Call {
        let voter = |(account, path): &Voter| Abi::Voter {
            account: account.as_ref().map_or_else(no_worker, Into::into),
            path: fixed(path),
        };
        let call =
            Abi::settleCall { task: task.into(), voters: voters.iter().map(voter).collect() };
        self.tell(format!("settle task {} of {}", task.task_idx, task.terms.pool), &call)
    }

    /// Whether the contract would take a call of `from` now, and the gas it would use.
    ///
    /// # Errors
    /// [`SettleError::Reverted`] with the rule that refuses, and the node's.
    pub async fn try_out(&self, from: Address, call: &Call) -> Result<u64, SettleError> {
        let Call { to, value, ref data, gas_max: gas, ref what } = *call;
        let request = CallRequest { from: Some(from), to, value, data: data.clone(), gas };
        self.settlement.chain().estimate_gas(what, request).await
    }

    /// What [`Self::claim_abandoned`] would pay now, in token units.
    ///
    /// # Errors
    /// As [`Self::try_out`].
    pub async fn would_pay(&self, call: &Call) -> Result<u128, SettleError> {
        let (to, data) = (call.to, call.data.clone());
        let request = CallRequest { to, data, ..CallRequest::default() };
        let answer = self.settlement.chain().call(&call.what, request).await?;
        let word: [u8; 32] = answer.as_ref().try_into().map_err(|_| self.odd(answer.len()))?;
        u128::try_from(U256::from_be_bytes(word)).map_err(|_| self.odd(answer.len()))
    }

    fn odd(&self, bytes: usize) -> SettleError {
        self.settlement.chain().nonsense("eth_call", format!("{bytes} bytes for an amount"))
    }

    /// The votes of a task that were shown, in their order.
    ///
    /// # Errors
    /// The node's.
    pub async fn shown_for(&self, task_id: B256) -> Result<Vec<Ballot>, SettleError> {
        let call = Abi::shownForCall { taskId: task_id };
        let shown = self.settlement.read_from(self.address, call).await?;
        let ballot = |ballot: Abi::Ballot| Ballot {
            owner: ballot.owner,
            worker: WorkerIdx(ballot.workerIdx),
            digest: ballot.digest,
        };
        Ok(shown.into_iter().map(ballot).collect())
    }

    /// Tasks of a pool of which votes were shown, from block `first` on.
    ///
    /// # Errors
    /// The node's.
    pub async fn shown_tasks(
        &self,
        pool: PoolId,
        first: u64,
    ) -> Result<BTreeSet<B256>, SettleError> {
        let chain = self.settlement.chain();
        let head = chain.head().await?.number;
        let mut tasks = BTreeSet::new();
        let mut from = first;
        while from <= head {
            let to = head.min(from.saturating_add(SPAN_BLOCKS - 1));
            let Some((_, logs)) = chain.logs_up_to(self.address, from, to).await? else { break };
            let shown = logs.iter().filter_map(|log| Abi::Shown::decode_log(&log.inner).ok());
            tasks.extend(shown.filter(|shown| shown.poolId == pool.0).map(|shown| shown.taskId));
            from = to + 1;
        }
        Ok(tasks)
    }

    /// What a task was settled for here, if it was.
    ///
    /// # Errors
    /// The node's.
    pub async fn winner_of(&self, task_id: B256) -> Result<Option<B256>, SettleError> {
        let call = Abi::winnerOfCall { taskId: task_id };
        let winner = self.settlement.read_from(self.address, call).await?;
        Ok((!winner.is_zero()).then_some(winner))
    }

    fn tell(&self, what: String, call: &impl SolCall) -> Call {
        let (to, data) = (Some(self.address), call.abi_encode().into());
        Call { what, to, value: U256::ZERO, data, gas_max: None }
    }
}

impl From<&Unsettled<'_>> for Abi::Unsettled {
    fn from(task: &Unsettled<'_>) -> Self {
        Self {
            terms: task.terms.into(),
            taskIdx: task.task_idx,
            anchor: (&task.anchor).into(),
            deal: Abi::DealBefore {
                account: task.account.as_ref().map_or_else(no_deal, Into::into),
                path: fixed(&task.path),
                word: task.word,
                wordPath: fixed(&task.word_path),
            },
        }
    }
}

impl From<&SetVote> for Abi::SetVote {
    fn from(shown: &SetVote) -> Self {
        Self { vote: (&shown.vote).into(), place: shown.place, path: fixed(&shown.path) }
    }
}

fn no_worker() -> Abi::WorkerAccount {
    Abi::WorkerAccount {
        owner: Address::ZERO,
        voteKey: Address::ZERO,
        cumEarned: 0,
        cumSlashed: 0,
        score: 0,
        lastTaskSeq: 0,
    }
}

fn no_deal() -> Abi::DealAccount {
    Abi::DealAccount {
        dealId: B256::ZERO,
        settledRoot: B256::ZERO,
        settledCount: 0,
        spent: 0,
        refunded: 0,
    }
}
