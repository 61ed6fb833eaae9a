//! What a pool leaves when its scheduler is gone for good: its deals and batches as the chain has them, and
//! the books its final batches come to. From these follows that a task was never settled; what was
//! promised for it is in [`promises`], what can be done about it in [`acts`] and
//! `judge`.
//!
//! Nothing here asks the scheduler, and nothing believes anybody but the chain: evidence is known by its
//! digest. When each way out is open is the contract's to say.

pub mod acts;
mod evidence;
mod judge;
pub mod promises;
pub mod tell;

pub use evidence::Source;

use quorate_chain::{
    Address, Call, Finality, Follower, SettleError, Settlement, U256,
    escape::{Escape, Unsettled, Voter},
    events::ChainEvent,
    settlement::PoolView,
};
use quorate_common::{
    anchor::{Anchor, Opening},
    exit::{Code, Failure},
    ids::{DealId, PoolId, WorkerIdx},
    merkle::{BITMAP_DEPTH, zero},
    messages::Header,
};
use quorate_grid::{
    audit::{Books, Fault},
    deal::Opened,
    evidence::BadBatchFile,
    ledger,
};
use std::collections::BTreeMap;

/// See the module.
#[derive(Debug)]
pub struct Remains {
    settlement: Settlement,
    escape: Escape,
    pool: PoolId,
    view: PoolView,
    first_block: u64,
    deals: BTreeMap<DealId, Opened>,
    batches: BTreeMap<u64, (Header, Opening)>,
    books: Books,
}

/// Why nothing can be shown of a pool.
#[derive(Debug, thiserror::Error)]
pub enum RemainsError {
    /// The chain's node failed, or the contract refused.
    #[error(transparent)]
    Chain(#[from] SettleError),
    /// The event of a final batch was not found.
    #[error("the commit of final batch {0} is not among the events read")]
    NoHeader(u64),
    /// Nobody has a final batch's evidence.
    #[error("the evidence of final batch {index} cannot be had: {why}")]
    NoEvidence {
        /// Which batch.
        index: u64,
        /// What each source said.
        why: String,
    },
    /// It is no evidence although its digest is the header's.
    #[error("the evidence of final batch {index} cannot be read")]
    BadEvidence {
        /// Which batch.
        index: u64,
        /// Why.
        source: BadBatchFile,
    },
    /// It does not hold; nobody challenged it in time.
    #[error("final batch {index} does not follow from its evidence")]
    Wrong {
        /// Which batch.
        index: u64,
        /// Why.
        source: Box<Fault>,
    },
}

impl RemainsError {
    /// As the error that ends a program; `chain` says what the chain's own mean.
    pub fn failure(&self, chain: impl FnOnce(&SettleError) -> Failure) -> Failure {
        let text = quorate_common::report::Chain(self);
        match self {
            Self::Chain(error) => chain(error),
            Self::NoHeader(_) => Failure::new(Code::NotFound, text)
                .hint("--from-block must not be behind the block the contract was deployed in"),
            Self::NoEvidence { .. } => Failure::new(Code::NotFound, text).hint(
                "--evidence takes the URL of whoever serves it, or the folder of a `quorate watch` \
                 that has seen the pool",
            ),
            Self::BadEvidence { .. } | Self::Wrong { .. } => Failure::new(Code::Failed, text),
        }
    }
}

impl Remains {
    /// Everything there is of a pool: what is due is made final first, if somebody sends; then what the
    /// chain has said is read, and its final batches are repeated.
    ///
    /// # Errors
    /// [`RemainsError`].
    pub async fn open(
        settlement: &Settlement,
        pool: PoolId,
        first_block: u64,
        sources: &[Source],
        sender: &acts::Sender,
    ) -> Result<Self, RemainsError> {
        let mut remains = Self::read(settlement.clone(), pool, first_block).await?;
        while remains.finalize_due(sender).await? {
            remains.view = settlement.pool(pool).await?;
        }
        remains.replay(sources).await?;
        Ok(remains)
    }

    /// Reads what the chain has said of a pool, from the block its contract was deployed in.
    ///
    /// # Errors
    /// The node's; the contract's `UnknownPool`.
    pub async fn read(
        settlement: Settlement,
        pool: PoolId,
        first_block: u64,
    ) -> Result<Self, RemainsError> {
        let escape = Escape::connect(&settlement).await?;
        let view = settlement.pool(pool).await?;
        let (deals, batches, books) = (BTreeMap::new(), BTreeMap::new(), Books::new(pool));
        let mut remains =
            Self { settlement, escape, pool, view, first_block, deals, batches, books };
        remains.hear_all().await?;
        Ok(remains)
    }

    async fn hear_all(&mut self) -> Result<(), SettleError> {
        let (chain, contract) = (self.settlement.chain().clone(), self.settlement.address());
        // What is not final yet may be shown in vain; a second try costs the same.
        let first = self.first_block.max(1);
        let mut follower = Follower::start(chain, contract, Finality::Latest, first).await?;
        while let Some(batch) = follower.next_batch().await? {
            batch.events.into_iter().for_each(|located| self.hear(located.event));
        }
        Ok(())
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "nothing else is needed")]
    fn hear(&mut self, event: ChainEvent) {
        match event {
            ChainEvent::DealOpened(deal) if deal.terms.pool == self.pool => {
                self.deals.insert(deal.deal, Opened { slot: deal.slot, terms: deal.terms });
            }
            ChainEvent::BatchCommitted { header, opening } if header.pool == self.pool => {
                self.batches.insert(header.index, (header, opening));
            }
            ChainEvent::Dropped { pool, index } if pool == self.pool => {
                drop(self.batches.split_off(&index));
            }
            _ => {}
        }
    }

    /// Repeats the final batches from their evidence, wherever it can be had. A pool without one has empty
    /// books, and needs none.
    ///
    /// # Errors
    /// [`RemainsError`] for the first that cannot be repeated.
    pub async fn replay(&mut self, sources: &[Source]) -> Result<(), RemainsError> {
        let separator = self.settlement.separator();
        for index in 1..=self.view.finalized {
            let (header, _) = self.batches.get(&index).ok_or(RemainsError::NoHeader(index))?;
            let found = evidence::file(sources, self.settlement.domain(), header).await;
            let file = found.map_err(|why| RemainsError::NoEvidence { index, why })?;
            let file = quorate_grid::evidence::BatchFile::parse(&file)
                .map_err(|source| RemainsError::BadEvidence { index, source })?;
            self.books
                .replay(&separator, None, header, &file, None)
                .map_err(|fault| RemainsError::Wrong { index, source: Box::new(fault) })?;
        }
        Ok(())
    }

    /// The pool, as the contract had it when this was read.
    pub fn view(&self) -> &PoolView {
        &self.view
    }

    /// Who signed for the pool.
    pub fn signer(&self) -> Address {
        self.view.signer
    }

    /// Which pool.
    pub fn pool(&self) -> PoolId {
        self.pool
    }

    /// The contract.
    pub fn settlement(&self) -> &Settlement {
        &self.settlement
    }

    /// A deal of the pool.
    pub fn deal(&self, deal: DealId) -> Option<&Opened> {
        self.deals.get(&deal)
    }

    /// Makes the oldest pending batch final, if its window is over by this time: while one is pending,
    /// nothing can be shown.
    fn finalize_next(&self, now_s: u64) -> Option<Call> {
        if self.view.head == self.view.finalized {
            return None;
        }
        let (header, opening) = self.batches.get(&(self.view.finalized + 1))?;
        let due = opening.committed_at + self.settlement.window_s();
        (due <= now_s).then(|| self.settlement.finalize(header, opening))
    }

    /// What shows that a task was never settled; nothing if it was, or if there is no such task.
    pub fn unsettled(&self, deal: DealId, task_idx: u32) -> Option<Unsettled<'_>> {
        let Opened { slot, terms } = self.deals.get(&deal)?;
        if task_idx >= terms.tasks {
            return None;
        }
        let (book, path) = self.books.deal_place(*slot);
        let (at, bit) = ledger::place(task_idx);
        let word = book.and_then(|book| book.words.get(&at)).copied().unwrap_or_default();
        if word.bit(bit) {
            return None;
        }
        let word_path = book.map_or_else(
            || (0..BITMAP_DEPTH).map(zero).collect(),
            |book| book.bitmap().path(at.into()),
        );
        let account = book.map(|book| book.account.clone());
        let anchor = self.anchor();
        let word = U256::from_be_bytes(word.to_be_bytes::<32>());
        Some(Unsettled { terms, task_idx, anchor, account, path, word, word_path })
    }

    /// A worker's account in the newest final state.
    fn voter(&self, worker: WorkerIdx) -> Voter {
        let (account, path) = self.books.worker_place(worker);
        (account.cloned(), path)
    }

    fn anchor(&self) -> Anchor {
        let newest = self.batches.get(&self.view.finalized);
        newest.map(|(_, opening)| opening.anchor()).unwrap_or_default()
    }
}
