//! The books as of the newest final batch, and as of the newest sealed one: the same replay a watcher
//! does. The first gives claim proofs, the second checks our own batches before they are signed.

use crate::{actors::journal::die, sealed::Batches, shared::Shared};
use alloy_primitives::B256;
use quorate_common::{
    accounts::{DealAccount, WorkerAccount},
    anchor::Opening,
    ids::{DealSlot, WorkerIdx},
    messages::Header,
};
use quorate_grid::{
    audit::{Books, Fault},
    evidence::BatchFile,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Both books. Clones share them.
#[derive(Clone, Debug)]
pub struct Finals {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    last: Books,
    /// The last final batch as the contract has it.
    opening: Opening,
    sealed: Books,
}

/// An account in the newest final batch, with its path.
pub type Proof<Account> = (u64, Opening, Account, Vec<B256>);

impl Finals {
    /// Replays what is on disk: batches up to `finalized` into both, later ones into the second.
    pub fn open(shared: &Shared, batches: &Batches, finalized: u64) -> Self {
        let empty = || Books::new(shared.pool);
        let finals = Self {
            inner: Arc::new(Mutex::new(Inner {
                last: empty(),
                opening: Opening::default(),
                sealed: empty(),
            })),
        };
        for index in 1.. {
            let Ok(Some(sealed)) = batches.read(index) else { break };
            let Ok(file) = batches.evidence(&sealed.header) else { break };
            let mut inner = finals.lock();
            let opening = batches.opening(index).ok().flatten();
            let next = inner.last.head().0 + 1 == index && index <= finalized;
            if let (true, Some(opening)) = (next, opening) {
                replay(&mut inner.last, shared, &sealed.header, &file);
                inner.opening = opening;
            }
            replay(&mut inner.sealed, shared, &sealed.header, &file);
        }
        finals
    }

    /// Repeats a batch of ours as a watcher would; a second time is no fault.
    pub fn check(&self, shared: &Shared, header: &Header, file: &BatchFile) -> Result<(), Fault> {
        let mut inner = self.lock();
        if inner.sealed.head().0 >= header.index {
            return Ok(());
        }
        inner.sealed.replay(&shared.separator, None, header, file, None)
    }

    /// The batch to take into the final books next, if the chain is further.
    pub fn next(&self, finalized: u64) -> Option<u64> {
        let head = self.lock().last.head().0;
        (head < finalized).then_some(head + 1)
    }

    /// Takes a final batch into the final books. False if the chain's event of it was not heard yet.
    pub fn advance(&self, shared: &Shared, batches: &Batches, index: u64) -> bool {
        let opening = batches.opening(index).unwrap_or_else(|error| die("reading a batch", &error));
        let Some(opening) = opening else { return false };
        let sealed = batches.read(index).unwrap_or_else(|error| die("reading a batch", &error));
        let Some(sealed) = sealed else {
            let error =
                std::io::Error::other(format!("batch {index} is final and not on this disk"));
            die("the anti-rollback fence", &error)
        };
        let file = batches
            .evidence(&sealed.header)
            .unwrap_or_else(|error| die("reading evidence", &error));
        let mut inner = self.lock();
        replay(&mut inner.last, shared, &sealed.header, &file);
        inner.opening = opening;
        true
    }

    /// A worker's account in the newest final batch, or the proof that it has none; batch 0 is the one
    /// before the first.
    pub fn worker(&self, worker: WorkerIdx) -> Proof<Option<WorkerAccount>> {
        let inner = self.lock();
        let (account, path) = inner.last.worker_place(worker);
        (inner.last.head().0, inner.opening, account.cloned(), path)
    }

    /// A deal's account in the newest final batch.
    pub fn deal(&self, deal: DealSlot) -> Option<Proof<DealAccount>> {
        let inner = self.lock();
        let (account, path) = inner.last.deal_proof(deal)?;
        Some((inner.last.head().0, inner.opening, account, path))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn replay(books: &mut Books, shared: &Shared, header: &Header, file: &BatchFile) {
    if let Err(fault) = books.replay(&shared.separator, None, header, file, None) {
        die("the replay of a batch on this disk", &fault);
    }
}
