//! What the contract has said, as far as a watcher needs it. Kept on disk together with the cursor, so
//! that a restart goes on where it was.

use super::brief::Committed;
use quorate_chain::{
    B256, Cursor,
    events::{ChainEvent, Forced, Located},
};
use quorate_common::{Address, ids::DealId};
use quorate_grid::{deal::Opened, ledger::Identity};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Entries kept of a pool's inbox: a proof about one has room for some 6,000 of them.
const INBOX_MAX: usize = 16_384;

/// Everybody and every pool.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Known {
    /// How far it was read.
    pub(super) cursor: Option<Cursor>,
    /// Every worker's keys.
    pub(super) workers: BTreeMap<u32, Identity>,
    /// Workers that have asked to leave.
    pub(super) leaving: BTreeMap<u32, u64>,
    /// Every pool.
    pub(super) pools: BTreeMap<u32, PoolKnown>,
}

/// One pool.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PoolKnown {
    /// Who signs for it.
    pub(super) signer: Address,
    /// Its deals.
    pub(super) deals: BTreeMap<DealId, Opened>,
    /// Batches on chain, from the newest final one on.
    pub(super) batches: BTreeMap<u64, OnChain>,
    /// The newest final batch.
    pub(super) finalized: u64,
    /// The newest entries of its inbox, in order.
    pub(super) inbox: VecDeque<Forced>,
    /// Whether a fraud was proven.
    pub(super) convicted: bool,
}

/// A batch on chain.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct OnChain {
    /// Header and word.
    pub(super) batch: Committed,
    /// The transaction, which carries the header's signature.
    pub(super) tx: B256,
    /// Height of its block.
    pub(super) block: u64,
}

impl Known {
    /// Takes an event in.
    #[expect(clippy::wildcard_enum_match_arm, reason = "money is not the watcher's business")]
    pub(super) fn hear(&mut self, located: Located) {
        let Located { block, tx, event, .. } = located;
        match event {
            ChainEvent::WorkerRegistered { worker, owner, vote_key, .. } => {
                self.workers.insert(worker.0, Identity { owner, vote_key });
            }
            ChainEvent::ExitRequested { worker, exit_at } => {
                self.leaving.insert(worker.0, exit_at);
            }
            ChainEvent::ExitCancelled { worker } => drop(self.leaving.remove(&worker.0)),
            ChainEvent::PoolRegistered { pool, signer, .. } => {
                self.pools.insert(pool.0, PoolKnown::new(signer));
            }
            event => self.hear_of_pool((block, tx), event),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "money is not the watcher's business")]
    fn hear_of_pool(&mut self, at: (u64, B256), event: ChainEvent) {
        let id = match &event {
            ChainEvent::DealOpened(deal) => deal.terms.pool,
            ChainEvent::BatchCommitted { header, .. } => header.pool,
            ChainEvent::Finalized { pool, .. }
            | ChainEvent::Dropped { pool, .. }
            | ChainEvent::Convicted { pool, .. } => *pool,
            ChainEvent::Forced(forced) => forced.pool,
            _ => return,
        };
        if let Some(pool) = self.pools.get_mut(&id.0) {
            pool.hear(at, event);
        }
    }
}

impl PoolKnown {
    fn new(signer: Address) -> Self {
        Self {
            signer,
            deals: BTreeMap::new(),
            batches: BTreeMap::new(),
            finalized: 0,
            inbox: VecDeque::new(),
            convicted: false,
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "only what is passed here")]
    fn hear(&mut self, (block, tx): (u64, B256), event: ChainEvent) {
        match event {
            ChainEvent::DealOpened(deal) => {
                let opened = Opened { slot: deal.slot, terms: deal.terms };
                self.deals.insert(deal.deal, opened);
            }
            ChainEvent::BatchCommitted { header, opening } => {
                let batch = Committed { header, opening };
                self.batches.insert(batch.header.index, OnChain { batch, tx, block });
            }
            ChainEvent::Finalized { index, .. } => self.finalized = index,
            ChainEvent::Dropped { index, .. } => drop(self.batches.split_off(&index)),
            ChainEvent::Convicted { .. } => self.convicted = true,
            ChainEvent::Forced(forced) => {
                self.inbox.push_back(forced);
                let excess = self.inbox.len().saturating_sub(INBOX_MAX);
                self.inbox.drain(..excess);
            }
            _ => {}
        }
    }

    /// Forgets batches that nothing can be proven of any more: those before the last final one, once
    /// they were checked.
    pub(super) fn forget(&mut self, checked: u64) {
        let keep = self.finalized.min(checked);
        self.batches = self.batches.split_off(&keep);
    }

    /// The same without its deals, which may be many.
    pub(super) fn without_deals(&self) -> Self {
        let Self { signer, batches, finalized, inbox, convicted, .. } = self;
        Self {
            signer: *signer,
            deals: BTreeMap::new(),
            batches: batches.clone(),
            finalized: *finalized,
            inbox: inbox.clone(),
            convicted: *convicted,
        }
    }

    /// The newest batch; zero before the first.
    pub(super) fn head(&self) -> u64 {
        self.batches.keys().next_back().copied().unwrap_or(self.finalized)
    }

    /// Whether a batch can still be dropped.
    pub(super) fn is_pending(&self, index: u64) -> bool {
        index > self.finalized && self.batches.contains_key(&index)
    }

    /// What is pending, oldest first.
    pub(super) fn pending(&self) -> Vec<OnChain> {
        self.batches.range(self.finalized + 1..).map(|(_, batch)| batch.clone()).collect()
    }
}
