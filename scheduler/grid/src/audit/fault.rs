//! Everything a check can find, one variant per check.

use std::fmt::{self, Display};

/// What a check expected and what it found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// What the evidence, recomputed, comes to.
    pub expected: String,
    /// What is claimed.
    pub found: String,
}

macro_rules! faults {
    ($($(#[$doc:meta])* $variant:ident => $name:literal;)*) => {
        /// A check that failed.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Fault {
            /// In one task of a batch.
            Task {
                /// The task's place in the batch.
                place: u32,
                /// What is wrong with it.
                fault: Box<Fault>,
            },
            $($(#[$doc])* $variant(Mismatch),)*
        }

        impl Fault {
            /// The check's short name; never changes.
            pub fn name(&self) -> &'static str {
                match self {
                    Self::Task { fault, .. } => fault.name(),
                    $(Self::$variant(_) => $name,)*
                }
            }

            /// What was expected and found.
            pub fn mismatch(&self) -> &Mismatch {
                match self {
                    Self::Task { fault, .. } => fault.mismatch(),
                    $(Self::$variant(mismatch) => mismatch,)*
                }
            }
        }
    };
}

faults! {
    /// The receipt has another schema.
    Schema => "schema";
    /// The receipt is of another chain or contract.
    Domain => "domain";
    /// The receipt's header is not the finalized one.
    HeaderHash => "header hash";
    /// The header is not signed by the pool's signer.
    HeaderSignature => "header signature";
    /// A commit set is not signed by the pool's signer.
    SetSignature => "commit set signature";
    /// The batch is another pool's.
    Pool => "pool";
    /// The batch is not the next one.
    Index => "batch index";
    /// The header does not continue its parent.
    Parent => "parent header";
    /// The evidence file is not the one the header names.
    Evidence => "evidence digest";
    /// The batch does not start from the state its parent ended with.
    StateBefore => "state root before";
    /// The header miscounts its tasks, or there are none or too many.
    Count => "task count";
    /// The header's tasks are others.
    TasksRoot => "tasks root";
    /// The header's state is not its last task's.
    StateRoot => "state root";
    /// The header's payout is not its last task's.
    Payout => "header payout";
    /// The header's fees are not its last task's.
    Fees => "header fees";
    /// The header's royalties are not its last task's.
    Royalties => "header royalties";
    /// The header's fees so far are not its parent's and its own.
    CumFees => "header fees so far";
    /// The header's seized stakes are not its last task's.
    Slashed => "header slashed";
    /// A worker's account before the batch is missing, needless, out of order or not as it was.
    WorkerBefore => "worker before";
    /// A deal's account before the batch is missing, needless, out of order or not as it was.
    DealBefore => "deal before";
    /// A deal's terms are missing, out of range or another pool's.
    Terms => "deal terms";
    /// A deal stands at two places of the state tree, so its tasks could be settled twice.
    DealTwice => "deal twice";
    /// The task's place is outside the batch.
    Place => "place";
    /// The task is not in the batch.
    TaskPath => "task path";
    /// The task before it is not in the batch, or is not the one before it.
    Before => "task before";
    /// The deal's account is not in the state before.
    DealPath => "deal path";
    /// A voter's account is not in the state before.
    VoterPath => "voter path";
    /// The task is not of the deal its terms make.
    DealId => "deal id";
    /// The deal has no such task.
    TaskIdx => "task index";
    /// The bitmap word is not in the deal's bitmap.
    BitmapPath => "bitmap path";
    /// The task was settled before.
    BitmapBit => "bitmap bit";
    /// There are more votes than the order allows.
    VoteCount => "vote count";
    /// Votes and voters do not match one to one.
    Voters => "voters";
    /// No such worker can be.
    WorkerIdx => "worker index";
    /// A worker voted twice.
    WorkerTwice => "worker twice";
    /// Two voters have one owner.
    OwnerTwice => "owner twice";
    /// A voter's keys are not those of its account.
    Identity => "identity";
    /// A vote is of a round that has no set, or out of order.
    VoteAttempt => "vote attempt";
    /// A vote is not signed by its voter.
    VoteSignature => "vote signature";
    /// The task's last round is not that of its last set.
    Attempt => "attempt";
    /// A set counts other commitments than there are.
    SetSize => "commit set size";
    /// A set holds other commitments than the votes open.
    Set => "commit set";
    /// The task names another set than its last.
    SetRoot => "commit set root";
    /// There is no such outcome.
    Outcome => "outcome";
    /// The votes decide otherwise.
    Decision => "decision";
    /// The reward is another.
    Reward => "reward";
    /// The running payout is another.
    RunPayout => "running payout";
    /// The running fees are others.
    RunFees => "running fees";
    /// The running royalties are others.
    RunRoyalties => "running royalties";
    /// The running seized stakes are others.
    RunSlash => "running slash";
    /// An account would exceed its width.
    Overflow => "account overflow";
    /// The task names other votes.
    VotesHash => "votes hash";
    /// The accounts after the task are others.
    PostState => "post state root";
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Task { place, fault } = self {
            return write!(f, "task at place {place}: {fault}");
        }
        let Mismatch { expected, found } = self.mismatch();
        write!(f, "{} is {found}; expected {expected}", self.name())
    }
}

impl std::error::Error for Fault {}

/// A fault.
pub(super) fn fault(
    check: fn(Mismatch) -> Fault,
    expected: impl Display,
    found: impl Display,
) -> Fault {
    check(Mismatch { expected: expected.to_string(), found: found.to_string() })
}

/// A fault unless both are the same.
pub(super) fn same<T: PartialEq + Display>(
    check: fn(Mismatch) -> Fault,
    expected: T,
    found: T,
) -> Result<(), Fault> {
    if expected == found { Ok(()) } else { Err(fault(check, expected, found)) }
}

/// A fault unless `holds`.
pub(super) fn ensure(
    holds: bool,
    check: fn(Mismatch) -> Fault,
    expected: impl Display,
    found: impl Display,
) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(fault(check, expected, found)) }
}

/// An address or "nobody".
pub(super) fn who(address: Option<alloy_primitives::Address>) -> String {
    address.map_or_else(|| "nobody".into(), |address| address.to_string())
}
