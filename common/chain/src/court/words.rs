//! F1, F3, F5 and F6: what a pool's signer has signed, against something else it has signed, against
//! what a batch shows, and against what workers have said on chain.

use super::{Court, Filing, Leaf, Proof, Step, step_of};
use crate::abi::{Court as Abi, Escape, Settlement, StepBench, WordBench};
use alloy::primitives::{B256, Bytes};
use alloy::sol_types::SolCall as _;
use quorate_common::frame::FrameProof;
use quorate_common::ids::WorkerIdx;
use quorate_common::keys::Signature;
use quorate_common::messages::{Assign, CommitAck, CommitSet, Header, RevealAck};
use quorate_common::terms::DealTerms;
use serde::{Deserialize, Serialize};

/// A commit set as its scheduler signed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedSet {
    /// The set.
    pub set: CommitSet,
    /// Its place in the signed frame.
    pub proof: FrameProof,
}

/// An entry of a pool's inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Unix seconds of its block.
    pub at: u64,
    /// 1 vote, 2 demand, 3 set.
    pub kind: u8,
    /// What it is.
    pub hash: B256,
}

/// A vote that a batch shows as never revealed.
#[derive(Clone, Copy, Debug)]
pub struct Silent<'a> {
    /// The batch.
    pub filing: &'a Filing<'a>,
    /// The task.
    pub leaf: &'a Leaf<'a>,
    /// The opened `votesHash`.
    pub votes: &'a [u8],
    /// A signed set of the vote's attempt.
    pub signed: &'a SignedSet,
    /// Whose vote.
    pub worker: WorkerIdx,
}

impl Court {
    /// F1: two headers of one batch, each with the signature over it.
    pub fn two_headers(&self, a: (&Header, &Signature), b: (&Header, &Signature)) -> Proof {
        let both = |(header, sig): (&Header, &Signature)| (header.into(), [sig.r, sig.vs]);
        let ((a, sig_a), (b, sig_b)) = (both(a), both(b));
        let call = WordBench::twoHeadersCall { a, sigA: sig_a, b, sigB: sig_b };
        self.proof("two headers", self.word, &call)
    }

    /// The signature over a committed header, from the data of the transaction that committed it; also
    /// where another contract made the call. Whose it is has to be checked.
    pub fn header_signature(data: &[u8], header: &Header) -> Option<Signature> {
        let selector = Settlement::commitBatchCall::SELECTOR;
        let calls = data.windows(4).enumerate().filter(|(_, four)| *four == selector);
        let read = |(at, _)| Settlement::commitBatchCall::abi_decode(&data[at..]).ok();
        let mut read = calls.filter_map(read);
        let call = read.find(|call| Header::from(call.header.clone()) == *header)?;
        Some(Signature { r: call.r, vs: call.vs })
    }

    /// F1: two commit sets of one attempt that differ in root or number.
    pub fn two_sets(&self, a: &SignedSet, b: &SignedSet) -> Proof {
        let call = WordBench::twoSetsCall { a: a.into(), b: b.into() };
        self.proof("two sets", self.word, &call)
    }

    /// F1: a commit set that ends before a worker of its attempt was promised.
    pub fn short_set(&self, assign: (&Assign, &FrameProof), signed: &SignedSet) -> Proof {
        let (assign, proof) = (assign.0.into(), assign.1.into());
        let call = WordBench::shortSetCall { assign, proof, signed: signed.into() };
        self.proof("a short set", self.word, &call)
    }

    /// F1: two assignments of one replica.
    pub fn two_assigns(&self, a: (&Assign, &FrameProof), b: (&Assign, &FrameProof)) -> Proof {
        let call = WordBench::twoAssignsCall {
            a: a.0.into(),
            proofA: a.1.into(),
            b: b.0.into(),
            proofB: b.1.into(),
        };
        self.proof("two assignments", self.word, &call)
    }

    /// F1: a signed set that the task's leaf denies.
    pub fn set_denied(
        &self,
        filing: &Filing<'_>,
        leaf: &Leaf<'_>,
        votes: &[u8],
        signed: &SignedSet,
    ) -> Proof {
        let (filing, leaf, votes) = (filing.into(), leaf.into(), bytes(votes));
        let call = WordBench::setDeniedCall { filing, leaf, votes, signed: signed.into() };
        self.proof("a denied set", self.word, &call)
    }

    /// F3: an acknowledged commit is not among the votes, or another is.
    pub fn commit_omitted(
        &self,
        filing: &Filing<'_>,
        leaf: &Leaf<'_>,
        votes: &[u8],
        ack: (&CommitAck, &FrameProof),
    ) -> Proof {
        let (filing, leaf, votes) = (filing.into(), leaf.into(), bytes(votes));
        let (ack, proof) = (ack.0.into(), ack.1.into());
        let call = WordBench::commitOmittedCall { filing, leaf, votes, ack, proof };
        self.proof("an omitted commit", self.word, &call)
    }

    /// F3: an acknowledged reveal is not among the votes, or another is.
    pub fn reveal_omitted(
        &self,
        filing: &Filing<'_>,
        leaf: &Leaf<'_>,
        votes: &[u8],
        ack: (&RevealAck, &FrameProof),
    ) -> Proof {
        let (filing, leaf, votes) = (filing.into(), leaf.into(), bytes(votes));
        let (ack, proof) = (ack.0.into(), ack.1.into());
        let call = WordBench::revealOmittedCall { filing, leaf, votes, ack, proof };
        self.proof("an omitted reveal", self.word, &call)
    }

    /// F6: the task was given up although its votes decide for a result that was acknowledged as stored.
    pub fn expired_stored(&self, step: &Step<'_>, ack: (&RevealAck, &FrameProof)) -> Proof {
        let (s, ack, proof) = (step_of(step), ack.0.into(), ack.1.into());
        let call = StepBench::expiredStoredCall { s, ack, proof };
        self.proof("a stored result given up", self.step, &call)
    }

    /// F5: a voter was given the task after it had asked to leave.
    pub fn assigned_leaver(
        &self,
        filing: &Filing<'_>,
        leaf: &Leaf<'_>,
        votes: &[u8],
        terms: &DealTerms,
        assign: (&Assign, &FrameProof),
    ) -> Proof {
        let (filing, leaf, votes) = (filing.into(), leaf.into(), bytes(votes));
        let (terms, assign, proof) = (terms.into(), assign.0.into(), assign.1.into());
        let call = WordBench::assignedLeaverCall { filing, leaf, votes, terms, assign, proof };
        self.proof("an assigned leaver", self.word, &call)
    }

    /// F6: the batch came before the vote's time was over.
    pub fn closed_early(&self, silent: &Silent<'_>) -> Proof {
        let call = WordBench::closedEarlyCall {
            filing: silent.filing.into(),
            leaf: silent.leaf.into(),
            votes: bytes(silent.votes),
            signed: silent.signed.into(),
            workerIdx: silent.worker.0,
        };
        self.proof("an early close", self.word, &call)
    }

    /// F6: the vote was said on chain in time. `entries` are those from the vote's on, up to what the
    /// batch is bound to; `before` is the inbox before them.
    pub fn vote_ignored(
        &self,
        silent: &Silent<'_>,
        (digest, salt): (B256, B256),
        posted: &FrameProof,
        before: B256,
        entries: &[Entry],
    ) -> Proof {
        let call = WordBench::voteIgnoredCall {
            filing: silent.filing.into(),
            leaf: silent.leaf.into(),
            votes: bytes(silent.votes),
            signed: silent.signed.into(),
            workerIdx: silent.worker.0,
            digest,
            salt,
            proof: posted.into(),
            before,
            entries: entries.iter().map(Into::into).collect(),
        };
        self.proof("an ignored vote", self.word, &call)
    }
}

impl Court {
    /// F6: a worker asked on chain for its set, in time, and was not shown it. `entries` are those from
    /// the demand's on, up to what the batch is bound to; `answers` all sets among the later ones.
    pub fn demand_ignored(
        &self,
        filing: &Filing<'_>,
        leaf: &Leaf<'_>,
        votes: &[u8],
        assign: (&Assign, &FrameProof),
        before: B256,
        (entries, answers): (&[Entry], &[SignedSet]),
    ) -> Proof {
        let call = WordBench::demandIgnoredCall {
            filing: filing.into(),
            leaf: leaf.into(),
            votes: bytes(votes),
            assign: assign.0.into(),
            proof: assign.1.into(),
            before,
            entries: entries.iter().map(Into::into).collect(),
            answers: answers.iter().map(Into::into).collect(),
        };
        self.proof("an ignored demand", self.word, &call)
    }
}

fn bytes(votes: &[u8]) -> Bytes {
    votes.to_vec().into()
}

macro_rules! framed {
    ($module:ident) => {
        impl From<&FrameProof> for $module::FrameProof {
            fn from(proof: &FrameProof) -> Self {
                let FrameProof { index, count, path, signature } = proof;
                let (path, r, vs) = (path.clone(), signature.r, signature.vs);
                Self { index: *index, count: *count, path, r, vs }
            }
        }
    };
}

macro_rules! signed {
    ($module:ident) => {
        framed!($module);

        impl From<&SignedSet> for $module::SignedSet {
            fn from(signed: &SignedSet) -> Self {
                Self { set: (&signed.set).into(), proof: (&signed.proof).into() }
            }
        }
    };
}

framed!(StepBench);
signed!(WordBench);
signed!(Abi);
signed!(Escape);

impl From<&Entry> for WordBench::Entry {
    fn from(entry: &Entry) -> Self {
        Self { at: entry.at, kind: entry.kind, hash: entry.hash }
    }
}
