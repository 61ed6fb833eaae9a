//! The Court as a typed client: what proves a fraud, and how it is brought.
//!
//! A proof is a call of a bench, which is a view: [`Court::convinces`] asks it for free before anything
//! is announced. What is wrong with a batch, and where, is found elsewhere.
//!
//! `words` holds the proofs about what a scheduler has signed, `asks` those about what it does not
//! show, `events` what the Court said.

mod asks;
mod events;
mod words;

use crate::abi::{BookBench, Court as Abi, StepBench, WordBench};
use crate::error::SettleError;
use crate::outbox::Call;
use crate::settlement::Settlement;
use crate::transport::CallRequest;
use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::sol_types::{SolCall, SolValue as _};
use quorate_common::accounts::{DealAccount, TaskRec, WorkerAccount};
use quorate_common::anchor::Opening;
use quorate_common::ids::{DealSlot, PoolId, WORKERS_MAX, WorkerIdx};
use quorate_common::merkle::zero;
use quorate_common::messages::Header;
use quorate_common::terms::DealTerms;

pub use asks::{Ask, Shown, name_of};
pub use events::{CourtEvent, CourtLog};
pub use words::{Entry, SignedSet, Silent};

/// Seconds after a case's first proof in which others may join it; then shares are paid.
pub const JOIN_TIME_S: u64 = 6 * 3600;
/// Seconds a pool has to show a task it was asked for.
pub const ANSWER_TIME_S: u64 = 24 * 3600;
/// Seconds before the window's end from which on nothing can be asked for.
pub const ASK_END_S: u64 = 36 * 3600;

/// The Court of a contract. Clones share the connection.
#[derive(Clone, Debug)]
pub struct Court {
    settlement: Settlement,
    address: Address,
    step: Address,
    word: Address,
    book: Address,
}

/// A call of a bench that shows a fraud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// What it shows, in words.
    pub what: &'static str,
    /// Which bench.
    pub bench: Address,
    /// The call.
    pub data: Bytes,
}

/// A committed batch, opened in full.
#[derive(Clone, Copy, Debug)]
pub struct Filing<'a> {
    /// Its header.
    pub header: &'a Header,
    /// What the contract's word of it holds besides.
    pub opening: &'a Opening,
}

/// A task in its batch.
#[derive(Clone, Copy, Debug)]
pub struct Leaf<'a> {
    /// Its place.
    pub place: u32,
    /// The task.
    pub rec: &'a TaskRec,
    /// From its leaf to the header's tasks root: 16 hashes.
    pub path: &'a [B256],
}

/// A task and all that its step starts from; see `quorate_grid::audit::StepProof`.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The batch.
    pub filing: Filing<'a>,
    /// The task.
    pub leaf: Leaf<'a>,
    /// Its deal.
    pub terms: &'a DealTerms,
    /// The deal's account before; `None`: empty.
    pub deal: Option<&'a DealAccount>,
    /// From the deal's leaf, after the voters were changed.
    pub deal_path: &'a [B256],
    /// The bitmap word, before.
    pub word: U256,
    /// From the word to the deal's settled root.
    pub word_path: &'a [B256],
    /// The task before it in the batch.
    pub before: Option<&'a TaskRec>,
    /// From the task before up to where both paths meet; for the first task, the two halves of the
    /// word of the batch before.
    pub link: &'a [B256],
    /// The voters before, each path after the voters before it were changed.
    pub voters: &'a [(Option<WorkerAccount>, Vec<B256>)],
    /// The opened `votesHash`.
    pub votes: &'a [u8],
}

impl Court {
    /// The Court that the contract obeys.
    ///
    /// # Errors
    /// The node's; [`SettleError::NoContract`] if nothing is there.
    pub async fn connect(settlement: &Settlement) -> Result<Self, SettleError> {
        let address = settlement.court().await?;
        if settlement.chain().code(address).await?.is_empty() {
            return Err(SettleError::NoContract { address, what: "there is no court" });
        }
        let step = settlement.read_from(address, Abi::stepBenchCall {}).await?;
        let word = settlement.read_from(address, Abi::wordBenchCall {}).await?;
        let book = settlement.read_from(address, Abi::bookBenchCall {}).await?;
        Ok(Self { settlement: settlement.clone(), address, step, word, book })
    }

    /// Where it is.
    pub fn address(&self) -> Address {
        self.address
    }

    /// The contract that obeys it.
    pub fn settlement(&self) -> &Settlement {
        &self.settlement
    }

    /// F2: a task's step comes to something else.
    pub fn step(&self, step: &Step<'_>) -> Proof {
        let s = step_of(step);
        self.proof("a step", self.step, &StepBench::stepCall { s })
    }

    /// F8: the header's totals or state are not those of its last task.
    pub fn totals(&self, filing: &Filing<'_>, last: &Leaf<'_>) -> Proof {
        let call = BookBench::totalsCall { filing: filing.into(), leaf: last.into() };
        self.proof("the totals", self.book, &call)
    }

    /// F8: a place below the header's count is empty, or one from it on is not.
    pub fn count(&self, filing: &Filing<'_>, place: u32, leaf: B256, path: &[B256]) -> Proof {
        let path = fixed(path);
        let call = BookBench::countCall { filing: filing.into(), place, leaf, path };
        self.proof("the count", self.book, &call)
    }

    /// F8: the header does not continue the batch before it.
    pub fn parent(&self, filing: &Filing<'_>, before: Option<&Filing<'_>>) -> Proof {
        // For batch 1 the contract does not look at what is before it.
        let before = before.unwrap_or(filing);
        let call = BookBench::parentCall { filing: filing.into(), before: before.into() };
        self.proof("the parent", self.book, &call)
    }

    /// F2, without terms: the task is of no deal of the pool.
    pub fn unknown_deal(&self, filing: &Filing<'_>, leaf: &Leaf<'_>) -> Proof {
        let call = BookBench::unknownDealCall { filing: filing.into(), leaf: leaf.into() };
        self.proof("an unknown deal", self.book, &call)
    }

    /// The task was given up before its deal's end.
    pub fn expired_early(&self, filing: &Filing<'_>, leaf: &Leaf<'_>, terms: &DealTerms) -> Proof {
        let (filing, leaf, terms) = (filing.into(), leaf.into(), terms.into());
        let call = BookBench::expiredEarlyCall { filing, leaf, terms };
        self.proof("an early end", self.book, &call)
    }

    /// F5: the state after the batch holds a worker's account that is not the registry's.
    pub fn identity(
        &self,
        filing: &Filing<'_>,
        worker: WorkerIdx,
        account: &WorkerAccount,
        path: &[B256],
    ) -> Proof {
        let (filing, account, path) = (filing.into(), account.into(), fixed(path));
        let call = BookBench::identityCall { filing, position: worker.0, account, path };
        self.proof("an identity", self.book, &call)
    }

    /// F5: the state after the batch holds a deal's account that is not the pool's, or not there.
    pub fn deal_place(
        &self,
        filing: &Filing<'_>,
        slot: DealSlot,
        account: &DealAccount,
        path: &[B256],
    ) -> Proof {
        let position = WORKERS_MAX + slot.0;
        let (filing, account, path) = (filing.into(), account.into(), fixed(path));
        let call = BookBench::dealPlaceCall { filing, position, account, path };
        self.proof("a deal's place", self.book, &call)
    }

    /// Whether the bench would convict; why not, if it would not.
    ///
    /// # Errors
    /// The node's.
    pub async fn convinces(&self, proof: &Proof) -> Result<Result<(), String>, SettleError> {
        let to = Some(proof.bench);
        let request = CallRequest { to, data: proof.data.clone(), ..CallRequest::default() };
        match self.settlement.chain().call(proof.what, request).await {
            Ok(_) => Ok(Ok(())),
            Err(SettleError::Reverted(revert)) => Ok(Err(revert.text)),
            Err(error) => Err(error),
        }
    }

    /// Announces a proof that `challenger` will bring with `salt`, so that nobody who copies it earns
    /// by it.
    pub fn announce(&self, challenger: Address, salt: B256, proof: &Proof) -> Call {
        let challenge = challenge(challenger, salt, proof);
        self.tell("announce a proof", &Abi::commitChallengeCall { challenge })
    }

    /// Brings an announced proof.
    pub fn prove(&self, salt: B256, proof: &Proof) -> Call {
        let (bench, proof) = (proof.bench, proof.data.clone());
        self.tell("prove a fraud", &Abi::proveCall { bench, salt, proof })
    }

    /// Six hours after the first proof, pays a challenge's share.
    pub fn share(&self, challenge: B256) -> Call {
        self.tell("collect a share", &Abi::shareCall { challenge })
    }

    /// When a fraud of the pool was first proven, if one was.
    ///
    /// # Errors
    /// The node's.
    pub async fn convicted_at(&self, pool: PoolId) -> Result<Option<u64>, SettleError> {
        let call = Abi::caseOfCall { poolId: pool.0 };
        let case = self.settlement.read_from(self.address, call).await?;
        Ok((!case.openedAt.is_zero()).then(|| case.openedAt.to()))
    }

    /// Whether a challenge has a share that was not paid yet.
    ///
    /// # Errors
    /// The node's.
    pub async fn has_share(&self, challenge: B256) -> Result<bool, SettleError> {
        let call = Abi::challengeOfCall { challenge };
        let found = self.settlement.read_from(self.address, call).await?;
        Ok(found.winner != Address::ZERO)
    }

    /// When a challenge was announced, by the chain's clock, if it was.
    ///
    /// # Errors
    /// The node's.
    pub async fn announced_at(&self, challenge: B256) -> Result<Option<u64>, SettleError> {
        let call = Abi::challengeOfCall { challenge };
        let found = self.settlement.read_from(self.address, call).await?;
        Ok((!found.at.is_zero()).then(|| found.at.to()))
    }

    fn proof(&self, what: &'static str, bench: Address, call: &impl SolCall) -> Proof {
        Proof { what, bench, data: call.abi_encode().into() }
    }

    fn tell(&self, what: &str, call: &impl SolCall) -> Call {
        let data = call.abi_encode().into();
        Call {
            what: what.to_owned(),
            to: Some(self.address),
            value: U256::ZERO,
            data,
            gas_max: None,
        }
    }
}

/// The name of an announced proof.
pub fn challenge(challenger: Address, salt: B256, proof: &Proof) -> B256 {
    keccak256((challenger, salt, keccak256(&proof.data)).abi_encode())
}

/// A path of fixed length, empty subtrees as zero. One of another length is proven to lead nowhere.
pub(crate) fn fixed<const N: usize>(path: &[B256]) -> [B256; N] {
    let sibling = |height| path.get(height).copied().filter(|node| *node != zero(height));
    std::array::from_fn(|height| sibling(height).unwrap_or_default())
}

fn loose(path: &[B256]) -> Vec<B256> {
    let sibling = |(height, node): (usize, &B256)| {
        if *node == zero(height) { B256::ZERO } else { *node }
    };
    path.iter().enumerate().map(sibling).collect()
}

macro_rules! of_bench {
    ($module:ident) => {
        impl From<&Filing<'_>> for $module::Filing {
            fn from(filing: &Filing<'_>) -> Self {
                Self {
                    header: filing.header.into(),
                    committedAt: filing.opening.committed_at,
                    inbox: filing.opening.inbox,
                }
            }
        }

        impl From<&Leaf<'_>> for $module::Leaf {
            fn from(leaf: &Leaf<'_>) -> Self {
                Self { place: leaf.place, rec: leaf.rec.into(), path: fixed(leaf.path) }
            }
        }
    };
}

of_bench!(Abi);
of_bench!(StepBench);
of_bench!(WordBench);
of_bench!(BookBench);

fn step_of(step: &Step<'_>) -> StepBench::Step {
    let first = step.leaf.place == 0;
    StepBench::Step {
        filing: (&step.filing).into(),
        leaf: (&step.leaf).into(),
        terms: step.terms.into(),
        deal: StepBench::DealBefore {
            account: step.deal.map_or_else(no_deal, Into::into),
            path: fixed(step.deal_path),
            word: step.word,
            wordPath: fixed(step.word_path),
        },
        before: step.before.map(Into::into).into_iter().collect(),
        // The halves of a word are no path.
        link: if first { step.link.to_vec() } else { loose(step.link) },
        voters: step.voters.iter().map(voter).collect(),
        votes: step.votes.to_vec().into(),
    }
}

fn voter((account, path): &(Option<WorkerAccount>, Vec<B256>)) -> StepBench::Voter {
    let account = account.as_ref().map_or_else(no_worker, Into::into);
    StepBench::Voter { account, path: fixed(path) }
}

fn no_worker() -> StepBench::WorkerAccount {
    StepBench::WorkerAccount {
        owner: Address::ZERO,
        voteKey: Address::ZERO,
        cumEarned: 0,
        cumSlashed: 0,
        score: 0,
        lastTaskSeq: 0,
    }
}

fn no_deal() -> StepBench::DealAccount {
    StepBench::DealAccount {
        dealId: B256::ZERO,
        settledRoot: B256::ZERO,
        settledCount: 0,
        spent: 0,
        refunded: 0,
    }
}
