//! What a scheduler's frame must prove before a rule looks at it, and every way it can fail.

use quorate_common::{
    Address,
    bug::{self, Bug},
    frame::{FrameProof, FrameTree},
    ids::{DealId, DealSlot, PoolId, TASKS_MAX, TaskKey, WorkerIdx},
    keys::{Signature, recover},
    messages::{Domain, Separator},
    wire::{AssignItem, CommitAckItem, CommitSetItem, Duties, FrameError, RevealAckItem},
};
use serde::{Deserialize, Serialize};

/// An item and the proof that the pool's signer said it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed<T> {
    /// What was said.
    pub item: T,
    /// That it was.
    pub proof: FrameProof,
}

/// How a scheduler broke the protocol. It ends the session, and nothing else.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// Nothing counts before `Welcome`.
    #[error("the scheduler sent `{0}` before `Welcome`")]
    NotWelcomed(&'static str),
    /// Another pool than the invitation's.
    #[error("the scheduler runs {got}, the invitation is for {expected}; ask for a new invitation")]
    WrongPool {
        /// What it says.
        got: PoolId,
        /// What the invitation says.
        expected: PoolId,
    },
    /// Another chain or contract than the invitation's.
    #[error(
        "the scheduler settles on chain {} with {}, the invitation says chain {} with {}; ask for a new invitation",
        got.chain_id, got.contract, expected.chain_id, expected.contract
    )]
    WrongDomain {
        /// What it says.
        got: Domain,
        /// What the invitation says.
        expected: Domain,
    },
    /// Signer or worker index changed within a session.
    #[error("the scheduler changed its mind about `{0}` within a session")]
    Changed(&'static str),
    /// A bound a decoder cannot express.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Duties for a worker that has no index yet.
    #[error(
        "the scheduler sent duties, but this worker is not registered with the pool's contract"
    )]
    NotRegistered,
    /// A task of a deal this session never described.
    #[error("the scheduler named {0}, which it never described")]
    UnknownDeal(DealSlot),
    /// One slot, two deals.
    #[error("the scheduler described {0} twice, differently")]
    DealChanged(DealSlot),
    /// More deals than a session may describe. A new session starts with none.
    #[error("the scheduler described more than {0} deals in one session")]
    TooManyDeals(usize),
    /// Not signed by the pool's signer.
    #[error("duties are signed by {}, expected {expected}", got.map_or("nobody".into(), |a| a.to_string()))]
    WrongSigner {
        /// Who signed.
        got: Option<Address>,
        /// Who should have.
        expected: Address,
    },
}

impl Breach {
    /// Whether another try can only fail the same way, until somebody changes a configuration.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::WrongPool { .. } | Self::WrongDomain { .. })
    }
}

/// A frame of duties that is what it says it is.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) assigns: Vec<Signed<AssignItem>>,
    pub(crate) commit_acks: Vec<Signed<CommitAckItem>>,
    pub(crate) sets: Vec<Signed<CommitSetItem>>,
    pub(crate) reveal_acks: Vec<Signed<RevealAckItem>>,
}

/// Who is spoken to, by whom, about what.
#[derive(Debug)]
pub(crate) struct Frame<'a, F> {
    pub(crate) separator: &'a Separator,
    pub(crate) pool: PoolId,
    pub(crate) worker: WorkerIdx,
    pub(crate) signer: Address,
    pub(crate) deal_id: F,
}

impl<F: Fn(DealSlot) -> Option<DealId>> Frame<'_, F> {
    /// Checks bounds, deals and signature, and proves each item that may be evidence one day.
    pub(crate) fn verify(&self, duties: Duties) -> Result<Verified, Breach> {
        duties.check()?;
        self.check_tasks(&duties)?;
        let deal_id = |task: TaskKey| (self.deal_id)(task.deal);
        let hashes = duties.hashes(self.pool, self.worker, deal_id).expect("every deal is known");
        let tree = FrameTree::new(&hashes);
        let got = recover(self.separator.digest(tree.struct_hash()), &duties.signature);
        if got != Some(self.signer) && !bug::is(Bug::AnySigner) {
            return Err(Breach::WrongSigner { got, expected: self.signer });
        }
        let Duties { assigns, commit_acks, sets, reveal_acks, signature } = duties;
        let first_ack = assigns.len();
        let first_set = first_ack + commit_acks.len();
        let first_reveal_ack = first_set + sets.len();
        Ok(Verified {
            assigns: prove(&tree, 0, assigns, signature),
            commit_acks: prove(&tree, first_ack, commit_acks, signature),
            sets: prove(&tree, first_set, sets, signature),
            reveal_acks: prove(&tree, first_reveal_ack, reveal_acks, signature),
        })
    }

    fn check_tasks(&self, duties: &Duties) -> Result<(), Breach> {
        let assigns = duties.assigns.iter().map(|item| item.task);
        let acks = duties.commit_acks.iter().map(|item| item.task);
        let sets = duties.sets.iter().map(|item| item.task);
        let reveal_acks = duties.reveal_acks.iter().map(|item| item.task);
        for task in assigns.chain(acks).chain(sets).chain(reveal_acks) {
            if (self.deal_id)(task.deal).is_none() {
                return Err(Breach::UnknownDeal(task.deal));
            }
            if task.idx >= TASKS_MAX {
                let (field, value) = ("duties.task", u64::from(task.idx));
                let expected = "a task index below 65536";
                return Err(Breach::Frame(FrameError::Field { field, value, expected }));
            }
        }
        Ok(())
    }
}

fn prove<T>(tree: &FrameTree, first: usize, items: Vec<T>, signature: Signature) -> Vec<Signed<T>> {
    let prove_one = |(at, item)| {
        let index = u32::try_from(first + at).expect("a frame has at most 256 messages");
        Signed { item, proof: tree.proof(index, signature) }
    };
    items.into_iter().enumerate().map(prove_one).collect()
}
