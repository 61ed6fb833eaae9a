//! One task: its receipt holds and is of this order, and its result is the one the receipt names,
//! file by file.

use super::{Fault, documents::Documents, tree::Tree};
use crate::directory;
use quorate_common::{
    B256,
    digest::Digest,
    exit::Failure,
    ids::PoolId,
    manifest::{Entry, MANIFEST_BYTES_MAX, Manifest},
    messages::Message as _,
};
use quorate_grid::{
    audit::{self, Anchor, Verified},
    evidence::{RECEIPT_BYTES_MAX, Receipt},
};

/// What checking a task came to.
#[derive(Debug, Default)]
pub(super) struct TaskCheck {
    /// Which.
    pub(super) idx: u32,
    /// The batch its receipt is of.
    pub(super) batch: Option<(u64, B256)>,
    /// What its receipt proves.
    pub(super) proven: Option<Proven>,
    /// There is nothing of it.
    pub(super) missing: bool,
    /// Result files checked.
    pub(super) files: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// What does not hold.
    pub(super) faults: Vec<Fault>,
}

/// What a receipt proves, in figures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proven {
    pub(super) pool: PoolId,
    pub(super) accepted: bool,
    pub(super) votes: u64,
    pub(super) dissents: u64,
}

/// Checks task `idx`.
pub(super) fn check(tree: &Tree, documents: &Documents, idx: u32) -> Result<TaskCheck, Failure> {
    let mut check = TaskCheck { idx, ..TaskCheck::default() };
    let path = directory::receipt(idx);
    let Some(bytes) = tree.get(&path, RECEIPT_BYTES_MAX as u64, &mut check.faults)? else {
        if check.faults.is_empty() {
            check.no_receipt(tree);
        }
        return Ok(check);
    };
    let winner = match check.receipt(documents, &path, &bytes) {
        Ok(winner) => winner,
        Err(fault) => {
            // The result is still held against what the broken receipt says, so that no file of it
            // looks like one nobody knows; the fault stands.
            check.faults.push(fault);
            Receipt::parse_canonical(&bytes).ok().and_then(|receipt| claimed(&receipt))
        }
    };
    check.result(tree, winner)?;
    Ok(check)
}

impl TaskCheck {
    fn no_receipt(&mut self, tree: &Tree) {
        let result = directory::result(self.idx);
        if tree.has(&result) {
            let text = format!(
                "{} is missing, so nothing proves this result",
                directory::receipt(self.idx)
            );
            self.faults.push(Fault::new(result, "receipt", text));
        } else {
            self.missing = true;
        }
    }

    /// The accepted result, if the receipt holds.
    fn receipt(
        &mut self,
        documents: &Documents,
        path: &str,
        bytes: &[u8],
    ) -> Result<Option<Digest>, Fault> {
        let receipt = Receipt::parse_canonical(bytes)
            .map_err(|error| Fault::new(path, "canonical form", error))?;
        let (index, hash) = (receipt.header.index, receipt.header.struct_hash());
        documents.check_root(index, hash).map_err(|text| Fault::new(path, "header hash", text))?;
        let anchor = Anchor { domain: documents.domain, header_hash: hash, signer: None };
        let verified = audit::verify(&receipt, &anchor)
            .map_err(|fault| Fault::new(path, fault.name(), fault.mismatch_text()))?;
        self.belongs(documents, &verified).map_err(|(name, text)| Fault::new(path, name, text))?;
        self.batch = Some((index, hash));
        self.proven = Some(Proven::of(&verified));
        Ok(verified.winner)
    }

    /// The receipt is of this order and this task.
    fn belongs(
        &self,
        documents: &Documents,
        verified: &Verified,
    ) -> Result<(), (&'static str, String)> {
        let order = &documents.order;
        let terms = &verified.terms.terms;
        if terms.req_hash != order.order {
            let found = terms.req_hash;
            return Err(("order", format!("is of order {found}; expected {}", order.order)));
        }
        if !terms.keep(&order.req) {
            let text = "has other terms than the order asked for; expected these".to_owned();
            return Err(("deal terms", text));
        }
        let (before, tasks) = (terms.filled_before, terms.tasks);
        let after = before.checked_add(tasks).filter(|after| *after <= order.req.tasks);
        if after.is_none() {
            let most = order.req.tasks;
            let text = format!(
                "is of a deal of {tasks} tasks after {before}; expected a part of the order's {most}"
            );
            return Err(("deal", text));
        }
        // The deal's tasks are the bag's from there on.
        let found = before.saturating_add(verified.task_idx);
        if found != self.idx || verified.task_idx >= tasks {
            let text = format!("is of task {found}; expected {}", self.idx);
            return Err(("task index", text));
        }
        Ok(())
    }

    /// The result's files are those the winning digest stands for.
    fn result(&mut self, tree: &Tree, winner: Option<Digest>) -> Result<(), Failure> {
        let below = directory::result(self.idx);
        // Without a winner nothing asks for the files, and they are found to be too many.
        let Some(winner) = winner else { return Ok(()) };
        let path = format!("{below}/{}", directory::MANIFEST);
        let before = self.faults.len();
        let Some(bytes) = tree.get(&path, MANIFEST_BYTES_MAX as u64, &mut self.faults)? else {
            if self.faults.len() == before {
                self.faults.push(Fault::new(path, "complete", "is missing"));
            }
            return Ok(());
        };
        let found = Digest::of(&bytes);
        if found != winner {
            let text = format!("has sha256 {found}; expected {winner}, as voted");
            self.faults.push(Fault::new(&path, "result digest", text));
        }
        let manifest = match Manifest::parse(&bytes) {
            Ok(manifest) => manifest,
            Err(error) => {
                self.faults.push(Fault::new(path, "manifest", error));
                return Ok(());
            }
        };
        self.files += 1;
        self.bytes += bytes.len() as u64;
        for (name, entry) in directory::entries(&manifest) {
            self.file(tree, format!("{below}/{name}"), &entry)?;
        }
        Ok(())
    }

    fn file(&mut self, tree: &Tree, path: String, entry: &Entry) -> Result<(), Failure> {
        let Some((len, digest)) = tree.hash(&path)? else {
            self.faults.push(Fault::new(path, "complete", "is missing, and the manifest names it"));
            return Ok(());
        };
        self.files += 1;
        self.bytes += len;
        if len != entry.len {
            let text = format!("has {len} bytes; expected {}", entry.len);
            self.faults.push(Fault::new(path, "length", text));
        } else if digest != directory::digest_of(entry) {
            let text = format!("has sha256 {digest}; expected {}", directory::digest_of(entry));
            self.faults.push(Fault::new(path, "file digest", text));
        }
        Ok(())
    }
}

impl Proven {
    fn of(verified: &Verified) -> Self {
        let against = |vote: &&audit::VerifiedVote| {
            vote.digest.is_none() || (verified.winner.is_some() && vote.digest != verified.winner)
        };
        Self {
            pool: verified.pool,
            accepted: verified.winner.is_some(),
            votes: verified.voters.len() as u64,
            dissents: verified.voters.iter().filter(against).count() as u64,
        }
    }
}

/// The result a receipt speaks of, proven or not.
fn claimed(receipt: &Receipt) -> Option<Digest> {
    let digest = receipt.rec.winner_digest;
    (!digest.is_zero()).then(|| Digest::from(digest))
}

/// A fault's figures without its name, which is printed before them.
trait MismatchText {
    fn mismatch_text(&self) -> String;
}

impl MismatchText for audit::Fault {
    fn mismatch_text(&self) -> String {
        let mismatch = self.mismatch();
        format!("is {}; expected {}", mismatch.found, mismatch.expected)
    }
}
