//! Mistakes that can be made on purpose, one at a time, so that the simulator shows that it finds them.
//!
//! Without the feature `bugs`, which only the simulator asks for, [`is`] is a constant `false` and every
//! mistake is compiled away; `common/tests/tidy.rs` holds the shipped crates to that.

macro_rules! bugs {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// A mistake, and what it does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Bug { $($(#[doc = $doc])* $name,)* }

        impl Bug {
            /// All of them, in the order of the enum.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name, as the command line takes it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// What it does, in a sentence.
            pub fn sentence(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),*).trim_ascii_start(),)* }
            }
        }
    };
}

bugs! {
    // What is said before it is durable, and what is not durable at all: the journal.
    /// Effects leave before their records are on disk.
    AckBeforeFsync,
    /// The journal says "synced" and does not sync.
    SkipFsync,
    /// A new segment's name is not made durable.
    SkipDirSync,
    /// A failed sync is taken for a success.
    SwallowSyncError,
    // Arithmetic that everybody shares.
    /// Commitments have no salt.
    UnsaltedCommit,
    /// Commitments do not name their worker.
    UnboundCommit,
    /// A share of the pay is rounded up.
    RoundUp,
    /// Every winner is paid the whole reward.
    PayTwice,
    /// Who never reveals loses nothing.
    SparedSilence,
    /// A sole voter earns a point.
    LonePoint,
    /// Equality is enough for consensus.
    LooseQuorum,
    // What a scheduler accepts.
    /// A reveal need not be for the frozen set.
    SkipSetCheck,
    /// A reveal counts after its deadline.
    LateReveal,
    /// A commit counts after its deadline.
    LateCommit,
    /// A reveal need not open its commitment.
    SkipOpening,
    /// A lost replica joins a set that is frozen.
    LateJoin,
    /// Two acknowledgements have one number.
    SeqReused,
    /// A vote said on chain is not heard.
    ForcedIgnored,
    /// A demand said on chain is not answered.
    DemandIgnored,
    // How it gives out work and ends it.
    /// A lease ends although its worker came back.
    StaleLease,
    /// A session that ended is not forgotten.
    SessionKept,
    /// Two workers of one owner vote on one task.
    SameOwner,
    /// One stake is held for many replicas.
    StakeReused,
    /// Work is given to who asked to leave.
    LeaverAsked,
    /// Work is given to whom the operator keeps from it.
    KeptAsked,
    /// A set ends before its assignments said.
    ShortSet,
    /// Silence is taken for silence before the chain could tell.
    EarlySilence,
    /// Silence is judged by the clock alone, whatever the chain still has to tell.
    ClockAlone,
    /// A result is accepted whose bytes are not here.
    AcceptUnstored,
    /// A task of a program that is not proven is judged by its votes.
    CalibrationSlashes,
    /// What came of a task is said once, whether its workers were there or not.
    SaidOnce,
    // What a restart brings back.
    /// A replica given back is forgotten without a record.
    Unrecorded,
    /// After a restart, reveal deadlines are not watched.
    TimersForgotten,
    /// After a restart, closed batches are not sealed.
    SealForgotten,
    /// After a restart, orders are not opened.
    OpenForgotten,
    /// A batch's fees are not added to those before.
    FeesForgotten,
    // What a worker does.
    /// A result is committed to before it is written down.
    CommitUnsealed,
    /// A result is shown to a set that does not hold its commitment.
    AnySet,
    /// A result is shown to a second set.
    SecondSet,
    /// Duties need not be signed by the pool's signer.
    AnySigner,
    /// After a restart, who has seen what is forgotten.
    ShownForgotten,
    /// Votes are not said again on a new connection.
    NeverAgain,
}

#[cfg(feature = "bugs")]
mod switch {
    use super::Bug;
    use std::cell::Cell;

    thread_local! {
        static MADE: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Whether this mistake is being made, on this thread.
    pub fn is(bug: Bug) -> bool {
        MADE.get() == Some(bug)
    }

    /// From now on this mistake is made on this thread, and no other.
    pub fn make(bug: Option<Bug>) {
        MADE.set(bug);
    }
}

#[cfg(feature = "bugs")]
pub use switch::{is, make};

/// Whether this mistake is being made: never, in this build.
#[cfg(not(feature = "bugs"))]
pub const fn is(_: Bug) -> bool {
    false
}
