//! Making receipts: one task's share of a batch with all its Merkle paths.
//! Signatures of workers are not checked again here: who cuts receipts made the batch or replayed it.

use super::{
    fault::{Fault, ensure, fault, same, who},
    walk::Walk,
};
use crate::evidence::{BatchFile, Before, Receipt, Seal, SignedSet, TaskEvidence, Voter};
use alloy_primitives::{Address, B256};
use quorate_common::{
    frame::FrameProof,
    frame::{self, FRAME_MESSAGES_MAX, FrameTree},
    ids::WorkerIdx,
    keys::recover,
    merkle::{TASKS_DEPTH, Tree},
    messages::{CommitSet, Domain, Header, Message as _, Separator},
};

/// The struct hashes of a batch's commit sets, in the order of tasks and rounds, in frames of at most
/// 256: what the scheduler signs when it seals the batch.
pub fn seal_hashes(file: &BatchFile) -> Vec<Vec<B256>> {
    let sets = file.tasks.iter().flat_map(|task| set_hashes(file, task));
    let hashes: Vec<B256> = sets.collect();
    hashes.chunks(FRAME_MESSAGES_MAX).map(<[B256]>::to_vec).collect()
}

fn set_hashes(file: &BatchFile, task: &TaskEvidence) -> Vec<B256> {
    let (pool, task_id) = (file.pool, task.rec.deal_id.task_id(task.rec.task_idx));
    let hash = |(attempt, set): (u16, &crate::task::SetRec)| {
        let (root, n, reveal_deadline) = (set.root, set.n, set.reveal_deadline);
        CommitSet { pool, task_id, attempt, root, n, reveal_deadline }.struct_hash()
    };
    (0_u16..).zip(&task.sets).map(hash).collect()
}

/// Whether one signer, and the right one if it is known, signed header and sets. Returns it.
pub(super) fn check_seal(
    separator: &Separator,
    signer: Option<Address>,
    header: &Header,
    file: &BatchFile,
    seal: &Seal,
) -> Result<Address, Fault> {
    let found = recover(separator.digest(header.struct_hash()), &seal.header);
    let right = found.filter(|found| signer.is_none_or(|signer| signer == *found));
    let right = right.ok_or_else(|| {
        let expected = signer.map_or_else(|| "a signature".into(), |signer| signer.to_string());
        fault(Fault::HeaderSignature, expected, who(found))
    })?;
    let frames = seal_hashes(file);
    same(Fault::SetSignature, frames.len(), seal.sets.len())?;
    for (hashes, signature) in frames.iter().zip(&seal.sets) {
        let found = frame::signer(separator, hashes, signature);
        ensure(found == Some(right), Fault::SetSignature, right, who(found))?;
    }
    Ok(right)
}

/// The receipt of the task at `place`. Repeats the batch up to it.
///
/// # Errors
/// A [`Fault`] if the batch does not hold, or has no such place.
pub fn receipt(
    domain: &Domain,
    header: &Header,
    file: &BatchFile,
    seal: &Seal,
    place: u32,
) -> Result<Receipt, Fault> {
    let mut all = receipts(domain, header, file, seal)?;
    while all.walk.place() < place {
        all.walk.step(false)?;
    }
    all.next().ok_or_else(|| fault(Fault::Place, format_args!("below {}", header.count), place))?
}

/// The receipts of a whole batch, in order, in one pass.
///
/// # Errors
/// A [`Fault`] if file, seal and header do not belong together.
pub fn receipts<'a>(
    domain: &Domain,
    header: &Header,
    file: &'a BatchFile,
    seal: &'a Seal,
) -> Result<Receipts<'a>, Fault> {
    let separator = domain.separator();
    same(Fault::Evidence, file.digest().word(), header.evidence)?;
    let signer = check_seal(&separator, None, header, file, seal)?;
    let leaves = file.tasks.iter().map(|task| task.rec.leaf()).collect();
    Ok(Receipts {
        domain: *domain,
        header: header.clone(),
        signer,
        file,
        seal,
        walk: Walk::new(separator, file)?,
        tree: Tree::new(TASKS_DEPTH, leaves),
        sets: SealedSets::new(file, seal),
        failed: false,
    })
}

/// Whether a seal is the batch's: header and commit sets, signed by the pool's signer.
///
/// # Errors
/// The first signature that is not its.
pub fn check_signatures(
    separator: &Separator,
    signer: Address,
    header: &Header,
    file: &BatchFile,
    seal: &Seal,
) -> Result<(), Fault> {
    check_seal(separator, Some(signer), header, file, seal).map(drop)
}

/// Every commit set of a sealed batch with what shows alone that the scheduler signed it.
#[derive(Debug)]
pub struct SealedSets<'a> {
    file: &'a BatchFile,
    seal: &'a Seal,
    /// For each task, the place of its first set among all sets of the batch.
    first_sets: Vec<usize>,
    frames: Vec<FrameTree>,
}

impl<'a> SealedSets<'a> {
    /// Of a batch whose seal was checked.
    pub fn new(file: &'a BatchFile, seal: &'a Seal) -> Self {
        let frames = seal_hashes(file).iter().map(|hashes| FrameTree::new(hashes)).collect();
        let first_sets = file.tasks.iter().scan(0, |sum, task| {
            let first = *sum;
            *sum += task.sets.len();
            Some(first)
        });
        Self { file, seal, first_sets: first_sets.collect(), frames }
    }

    /// The sets of the task at `place`; none if there is no such task.
    pub fn of(&self, place: u32) -> Vec<SignedSet> {
        let place = place as usize;
        let (Some(task), Some(first)) = (self.file.tasks.get(place), self.first_sets.get(place))
        else {
            return Vec::new();
        };
        let signed = |(at, set): (usize, &crate::task::SetRec)| {
            let (frame, index) = (at / FRAME_MESSAGES_MAX, at % FRAME_MESSAGES_MAX);
            let index = u32::try_from(index).expect("below 256");
            let tree = &self.frames[frame];
            let (count, path) = (tree.count(), tree.path(index));
            let signature = self.seal.sets[frame];
            SignedSet { set: set.clone(), proof: FrameProof { index, count, path, signature } }
        };
        (*first..).zip(&task.sets).map(signed).collect()
    }
}

/// See [`receipts`].
#[derive(Debug)]
pub struct Receipts<'a> {
    domain: Domain,
    header: Header,
    signer: Address,
    file: &'a BatchFile,
    seal: &'a Seal,
    walk: Walk<'a>,
    tree: Tree,
    sets: SealedSets<'a>,
    failed: bool,
}

impl Iterator for Receipts<'_> {
    type Item = Result<Receipt, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let task = self.walk.task().filter(|_| !self.failed)?;
        let receipt = self.cut(task).and_then(|receipt| self.walk.step(false).map(|()| receipt));
        self.failed = receipt.is_err();
        Some(receipt)
    }
}

impl Receipts<'_> {
    fn cut(&self, task: &TaskEvidence) -> Result<Receipt, Fault> {
        let place = self.walk.place();
        let deal = self.walk.deal(task)?;
        let (word, word_path) = deal.word(task.rec.task_idx);
        let unknown = || fault(Fault::DealPath, "the deal's account", "an unknown one");
        Ok(Receipt {
            schema: Receipt::SCHEMA.into(),
            domain: self.domain,
            header: self.header.clone(),
            signer: self.signer,
            header_signature: self.seal.header,
            place,
            rec: task.rec.clone(),
            path: self.tree.path(place.into()),
            before: self.before(place),
            deal: deal.opened.clone(),
            deal_account: deal.account.clone(),
            deal_path: self.walk.deal_path(task).ok_or_else(unknown)?,
            word,
            word_path,
            voters: self.voters(task)?,
            sets: self.sets.of(place),
            votes: task.votes.clone(),
        })
    }

    fn before(&self, place: u32) -> Before {
        match (place.checked_sub(1), &self.file.parent) {
            (Some(before), _) => Before::Task {
                rec: self.file.tasks[before as usize].rec.clone(),
                path: self.tree.path(before.into()),
            },
            (None, Some(parent)) => Before::Parent(parent.clone()),
            (None, None) => Before::Nothing,
        }
    }

    fn voters(&self, task: &TaskEvidence) -> Result<Vec<Voter>, Fault> {
        let before = self.walk.voters(task)?;
        let voter = |(vote, voter): (&quorate_common::accounts::Vote, super::step::VoterBefore)| {
            let path = self.walk.worker_path(vote.worker);
            let unknown = || fault(Fault::VoterPath, "every voter's account", "an unknown one");
            Ok(Voter {
                worker: WorkerIdx(vote.worker),
                identity: voter.identity,
                account: voter.account,
                path: path.ok_or_else(unknown)?,
            })
        };
        task.votes.iter().zip(before).map(voter).collect()
    }
}
