//! Permits: what a worker's owner has signed, or what needs no signature, for anybody with coins to carry to the
//! chain. The contract pays out to owners only and checks every signature itself, so a carrier can delay, but not
//! take or change anything. A permit is good for one act, once, until its deadline.

use crate::{
    accounts::WorkerAccount,
    api::WorkerProof,
    ids::{PoolId, WorkerIdx},
    keys::{Signature, recover},
    messages::{BindWorker, Domain, Message as _, WorkerOp},
};
use alloy_primitives::Address;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The schema of a permit's document.
pub const SCHEMA: &str = "quorate.permit/v1";
/// Bytes of a permit's document at most: a claim with its twenty hashes has 3 KB.
pub const PERMIT_BYTES_MAX: usize = 16 << 10;

/// Something to carry to one contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permit {
    /// [`SCHEMA`].
    pub schema: String,
    /// Chain and contract.
    pub domain: Domain,
    /// What is to be done there.
    pub act: Act,
}

/// What can be carried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Act {
    /// `registerWorkerFor`: a worker begins.
    Register {
        /// Owner, node and vote key.
        binding: BindWorker,
        /// Of `binding`, by the vote key.
        vote_signature: Signature,
        /// Of `binding`, by the owner.
        owner_signature: Signature,
    },
    /// `operateWorker`: leave, stay, leave earnings as stake, have them paid out.
    Operate {
        /// Whose worker it is.
        owner: Address,
        /// Which of the four.
        op: WorkerOp,
        /// Of `op`, by the owner.
        signature: Signature,
    },
    /// `claim`: pays the owner, by a proof instead of a signature.
    Claim {
        /// Where it was earned.
        pool: PoolId,
        /// The worker's account in a final batch.
        proof: WorkerProof,
    },
}

/// The four acts of [`WorkerOp::op`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Op {
    /// Starts the exit's timer.
    Exit = 1,
    /// Stops it.
    Stay = 2,
    /// Leaves earnings as stake.
    Restake = 3,
    /// Has them paid out.
    PayOut = 4,
}

/// Why a permit is no good wherever it is carried.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PermitError {
    /// Another document.
    #[error("the document is `{0}`; expected {SCHEMA}")]
    Schema(String),
    /// For another contract.
    #[error(
        "the permit is for {} on chain {}; expected {} on chain {}",
        .found.contract, .found.chain_id, .expected.contract, .expected.chain_id
    )]
    Domain {
        /// What it names.
        found: Domain,
        /// What was to be.
        expected: Domain,
    },
    /// Not signed by who it says.
    #[error("`{field}` is not {by}'s signature")]
    Signature {
        /// Which.
        field: &'static str,
        /// Whose it should be.
        by: Address,
    },
    /// No such act.
    #[error("`op` is {0}; expected 1 (exit), 2 (stay), 3 (restake) or 4 (pay out)")]
    Op(u8),
    /// A claim for nobody.
    #[error("the proof shows no account of {0}: nothing can be claimed with it")]
    NoAccount(WorkerIdx),
}

impl Permit {
    /// A permit for a contract.
    pub fn new(domain: Domain, act: Act) -> Self {
        Self { schema: SCHEMA.into(), domain, act }
    }

    /// Checks what can be checked without asking the chain.
    ///
    /// # Errors
    /// [`PermitError`], the first that is found.
    pub fn check(&self, domain: Domain) -> Result<(), PermitError> {
        if self.schema != SCHEMA {
            return Err(PermitError::Schema(self.schema.chars().take(40).collect()));
        }
        if self.domain != domain {
            return Err(PermitError::Domain { found: self.domain, expected: domain });
        }
        match &self.act {
            Act::Register { binding, vote_signature, owner_signature } => {
                let hash = binding.struct_hash();
                self.signed("vote_signature", hash, vote_signature, binding.vote_key)?;
                self.signed("owner_signature", hash, owner_signature, binding.owner)
            }
            Act::Operate { op, .. } if !(1..=4).contains(&op.op) => Err(PermitError::Op(op.op)),
            Act::Operate { owner, op, signature } => {
                self.signed("signature", op.struct_hash(), signature, *owner)
            }
            Act::Claim { proof, .. } if proof.account.is_none() => {
                Err(PermitError::NoAccount(proof.worker))
            }
            Act::Claim { .. } => Ok(()),
        }
    }

    /// Whom it is for: the owner that signed it, or that is paid.
    pub fn owner(&self) -> Address {
        match &self.act {
            Act::Register { binding, .. } => binding.owner,
            Act::Operate { owner, .. } => *owner,
            Act::Claim { proof, .. } => proof.account.as_ref().map_or(Address::ZERO, owner_of),
        }
    }

    fn signed(
        &self,
        field: &'static str,
        hash: alloy_primitives::B256,
        signature: &Signature,
        by: Address,
    ) -> Result<(), PermitError> {
        let signer = recover(self.domain.separator().digest(hash), signature);
        if signer == Some(by) { Ok(()) } else { Err(PermitError::Signature { field, by }) }
    }
}

fn owner_of(account: &WorkerAccount) -> Address {
    account.owner
}

impl fmt::Display for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.act {
            Act::Register { binding, .. } => write!(f, "register a worker of {}", binding.owner),
            Act::Operate { op, .. } => {
                let word = match op.op {
                    1 => "exit",
                    2 => "stay",
                    3 => "leave earnings as stake",
                    _ => "have earnings paid out",
                };
                write!(f, "{}: {word}", op.worker)
            }
            Act::Claim { pool, proof } => write!(f, "claim for {} from {pool}", proof.worker),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::{B256, anchor::Opening, keys::VoteKey};

    fn key(byte: u8) -> VoteKey {
        VoteKey::from_bytes(&[byte; 32]).unwrap()
    }

    fn domain() -> Domain {
        Domain { chain_id: 31_337, contract: Address::repeat_byte(5) }
    }

    fn registration(owner: &VoteKey, vote: &VoteKey) -> Permit {
        let binding = BindWorker {
            owner: owner.address(),
            node_key: B256::repeat_byte(7),
            vote_key: vote.address(),
            deadline: 9,
        };
        let digest = domain().separator().digest(binding.struct_hash());
        let (vote_signature, owner_signature) = (vote.sign(digest), owner.sign(digest));
        Permit::new(domain(), Act::Register { binding, vote_signature, owner_signature })
    }

    #[test]
    fn a_permit_is_whole_or_refused_by_field() {
        let permit = registration(&key(1), &key(2));
        assert_eq!(permit.check(domain()), Ok(()));
        assert_eq!(permit.owner(), key(1).address());
        let text = serde_json::to_string(&permit).unwrap();
        assert!(text.len() < PERMIT_BYTES_MAX);
        assert_eq!(serde_json::from_str::<Permit>(&text).unwrap(), permit);

        let elsewhere = Domain { chain_id: 1, ..domain() };
        assert!(permit.check(elsewhere).unwrap_err().to_string().contains("expected"));
        let mut forged = permit.clone();
        let Act::Register { binding, .. } = &mut forged.act else { unreachable!() };
        binding.owner = key(3).address();
        let error = forged.check(domain()).unwrap_err();
        assert!(matches!(error, PermitError::Signature { field: "vote_signature", .. }));
        let mut stolen = permit;
        let Act::Register { owner_signature, vote_signature, .. } = &mut stolen.act else {
            unreachable!()
        };
        *owner_signature = *vote_signature;
        let error = stolen.check(domain()).unwrap_err();
        assert!(matches!(error, PermitError::Signature { field: "owner_signature", .. }));
    }

    #[test]
    fn there_are_four_operations_and_claims_need_an_account() {
        let owner = key(1);
        for op in 0..7 {
            let op = WorkerOp { worker: WorkerIdx(3), op, nonce: 0, deadline: 9 };
            let signature = owner.sign(domain().separator().digest(op.struct_hash()));
            let known = (1..=4).contains(&op.op);
            let act = Act::Operate { owner: owner.address(), op, signature };
            assert_eq!(Permit::new(domain(), act).check(domain()).is_ok(), known);
        }
        let proof = WorkerProof {
            schema: "quorate.proof/v1".into(),
            worker: WorkerIdx(3),
            index: 1,
            opening: Opening::default(),
            account: None,
            path: Vec::new(),
        };
        let claim = Permit::new(domain(), Act::Claim { pool: PoolId(1), proof });
        assert_eq!(claim.check(domain()), Err(PermitError::NoAccount(WorkerIdx(3))));
    }
}
