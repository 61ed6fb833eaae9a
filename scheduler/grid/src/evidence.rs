//! The evidence of a batch: everything needed to repeat every step of it, knowing nothing else but
//! the state root before it. And a receipt: one task's share of that, in JSON.
//! Checking is `audit`'s.

use crate::{
    deal::Opened,
    ledger::{DealBook, Identity},
    task::SetRec,
};
use alloy_primitives::{Address, B256, U256};
use quorate_common::{
    accounts::{DealAccount, TaskRec, Vote, WorkerAccount},
    digest::Digest,
    frame::FrameProof,
    ids::{DealSlot, PoolId, WorkerIdx},
    keys::Signature,
    messages::{Domain, Header},
};
use serde::{Deserialize, Serialize};

/// Largest evidence file, in bytes: 65,536 tasks of 15 votes in frames of 256.
pub const BATCH_FILE_BYTES_MAX: usize = 1 << 30;

/// One settled task with its votes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskEvidence {
    /// Whose task.
    pub slot: DealSlot,
    /// Its leaf.
    pub rec: TaskRec,
    /// Its frozen sets.
    pub sets: Vec<SetRec>,
    /// Its votes, in the order of the last set.
    pub votes: Vec<Vote>,
    /// Who the voters are, in the same order.
    pub identities: Vec<Identity>,
}

/// A worker before the batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreWorker {
    /// Who.
    pub worker: WorkerIdx,
    /// `None`: no task yet.
    pub account: Option<WorkerAccount>,
    /// To the state root before the batch.
    pub path: Vec<B256>,
}

/// A deal before the batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreDeal {
    /// Which.
    pub slot: DealSlot,
    /// `None`: no task settled yet.
    pub book: Option<DealBook>,
    /// To the state root before the batch.
    pub path: Vec<B256>,
}

/// A batch's evidence file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchFile {
    /// Whose batch.
    pub pool: PoolId,
    /// Its index.
    pub index: u64,
    /// The header before it; `None` for the first batch.
    pub parent: Option<Header>,
    /// The state root it starts from.
    pub pre_state_root: B256,
    /// Deals of its tasks.
    pub terms: Vec<Opened>,
    /// Touched workers.
    pub workers: Vec<PreWorker>,
    /// Touched deals.
    pub deals: Vec<PreDeal>,
    /// Its tasks, in order.
    pub tasks: Vec<TaskEvidence>,
}

/// The scheduler's signatures on a closed batch: the header, and its commit sets once more, in frames
/// of up to 256 in the order of tasks and rounds, so that any of them can be shown alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// Over the header.
    pub header: Signature,
    /// Over each frame of commit sets.
    pub sets: Vec<Signature>,
}

/// One task's share of a batch: verifies offline against a finalized header hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// [`Receipt::SCHEMA`].
    pub schema: String,
    /// Chain and contract.
    pub domain: Domain,
    /// The batch.
    pub header: Header,
    /// Who signed header and commit sets.
    pub signer: Address,
    /// Its signature over the header.
    pub header_signature: Signature,
    /// The task's place in the batch.
    pub place: u32,
    /// The task.
    pub rec: TaskRec,
    /// From its leaf to `header.tasksRoot`.
    pub path: Vec<B256>,
    /// Where the step starts.
    pub before: Before,
    /// The deal.
    pub deal: Opened,
    /// The deal's account before the step; `None`: empty leaf.
    pub deal_account: Option<DealAccount>,
    /// From the deal's leaf to the state root before the step.
    pub deal_path: Vec<B256>,
    /// The bitmap word the task's bit is in, before the step.
    pub word: U256,
    /// From the word to the deal's settled root.
    pub word_path: Vec<B256>,
    /// The voters before the step, in the order of the votes.
    pub voters: Vec<Voter>,
    /// The frozen sets, each signed by the scheduler.
    pub sets: Vec<SignedSet>,
    /// The votes, each signed by its worker.
    pub votes: Vec<Vote>,
}

/// What the step starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Before {
    /// The first task of the first batch: the empty state.
    Nothing,
    /// The first task of a batch: the parent header's state root.
    Parent(Header),
    /// The task before it in the batch.
    Task {
        /// The task.
        rec: TaskRec,
        /// From its leaf to `header.tasksRoot`.
        path: Vec<B256>,
    },
}

/// A voter before the step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Voter {
    /// Who.
    pub worker: WorkerIdx,
    /// Its keys.
    pub identity: Identity,
    /// Its account; `None`: its first task.
    pub account: Option<WorkerAccount>,
    /// From its leaf to the state root before the step.
    pub path: Vec<B256>,
}

/// A frozen set with the scheduler's signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedSet {
    /// The set.
    pub set: SetRec,
    /// Its place in a signed frame.
    pub proof: FrameProof,
}

/// Largest receipt, in bytes: fifteen voters with their paths in JSON take 90 KiB.
pub const RECEIPT_BYTES_MAX: usize = 256 << 10;

/// The bytes are no receipt.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadReceipt {
    /// Far too large to be one.
    #[error("receipt of {0} bytes; expected at most {RECEIPT_BYTES_MAX}")]
    TooLarge(usize),
    /// Not JSON of this shape.
    #[error("receipt is not a `{schema}` document: {0}", schema = Receipt::SCHEMA)]
    Malformed(String),
    /// A second spelling of a receipt. There is one, so that its bytes can be compared and hashed.
    #[error("canonical form: receipt differs at byte {at} from the text it should have")]
    NotCanonical {
        /// The first byte that differs.
        at: usize,
    },
}

/// The bytes are no evidence file.
#[derive(Debug, thiserror::Error)]
#[error("evidence file of {bytes} bytes does not decode: {reason}")]
pub struct BadBatchFile {
    bytes: usize,
    reason: String,
}

impl Receipt {
    /// The only schema there is.
    pub const SCHEMA: &'static str = "quorate.receipt/v1";

    /// The receipt's one text: compact JSON, fields in the order of the struct, no line end.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a receipt holds nothing JSON cannot say")
    }

    /// Reads a receipt, and only in the form [`Receipt::to_json`] writes.
    ///
    /// # Errors
    /// [`BadReceipt`]; what it says is checked by [`crate::audit::verify`].
    pub fn parse_canonical(bytes: &[u8]) -> Result<Self, BadReceipt> {
        if bytes.len() > RECEIPT_BYTES_MAX {
            return Err(BadReceipt::TooLarge(bytes.len()));
        }
        let receipt: Self = serde_json::from_slice(bytes)
            .map_err(|error| BadReceipt::Malformed(error.to_string()))?;
        let text = receipt.to_json();
        if text.as_bytes() == bytes {
            return Ok(receipt);
        }
        let same = text.bytes().zip(bytes).take_while(|(one, other)| one == *other).count();
        Err(BadReceipt::NotCanonical { at: same })
    }
}

impl BatchFile {
    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        quorate_common::wire::to_bytes(self)
    }

    /// What the header says of it.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_bytes())
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`BadBatchFile`] with its size and the decoder's reason.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadBatchFile> {
        let bad = |reason: String| BadBatchFile { bytes: bytes.len(), reason };
        if bytes.len() > BATCH_FILE_BYTES_MAX {
            return Err(bad(format!("expected at most {BATCH_FILE_BYTES_MAX} bytes")));
        }
        quorate_common::wire::decode(bytes).map_err(|error| bad(error.to_string()))
    }
}
