//! Tasks that a pool has shown on chain, because it was asked there: `DATA/pool-N/000000000007.shown`. When
//! all of a batch were shown they are its evidence: what a pool shows nobody else is repeated from them.

use super::{files, known::OnChain, mirror::Mirror};
use crate::failure;
use quorate_chain::{
    Address, B256,
    court::{Court, CourtEvent, Shown, SignedSet},
};
use quorate_common::{
    exit::Failure,
    ids::{DealId, DealSlot, PoolId},
    messages::CommitSet,
};
use quorate_grid::{
    deal::Opened,
    evidence::{BatchFile, TaskEvidence},
    ledger::Identity,
    task::SetRec,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Blocks looked at together: what the stingiest common providers allow.
const SPAN_BLOCKS: u64 = 2_000;

/// What was shown of one batch.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Answers {
    /// Blocks up to this one were read.
    read_to: u64,
    /// By place.
    tasks: BTreeMap<u32, Shown>,
}

impl Answers {
    /// What is on disk of a batch.
    pub(super) fn open(mirror: &Mirror, index: u64) -> Result<Self, Failure> {
        Ok(files::get_encoded(&mirror.shown_path(index))?.unwrap_or_default())
    }

    /// Reads what was shown since the last look, whoever asked, and keeps it. How much was new.
    pub(super) async fn read(
        &mut self,
        court: &Court,
        mirror: &Mirror,
        batch: &OnChain,
    ) -> Result<usize, Failure> {
        let header = &batch.batch.header;
        let before = self.tasks.len();
        let chain = court.settlement().chain();
        let head = chain.head().await.map_err(|error| failure::chain(&error))?.number;
        let mut from = batch.block.max(self.read_to + 1);
        while from <= head {
            let to = head.min(from + SPAN_BLOCKS - 1);
            let said = court.events(from, to).await.map_err(|error| failure::chain(&error))?;
            said.into_iter().for_each(|log| self.hear(header.pool, header.index, log.event));
            (self.read_to, from) = (to, to + 1);
        }
        let new = self.tasks.len() - before;
        if new > 0 {
            files::put_encoded(&mirror.shown_path(header.index), self)?;
        }
        Ok(new)
    }

    fn hear(&mut self, pool: PoolId, index: u64, event: CourtEvent) {
        if let CourtEvent::Answered { pool: of, index: at, shown } = event
            && of == pool
            && u64::from(at) == index
        {
            self.tasks.insert(shown.place, *shown);
        }
    }

    /// How many tasks were shown.
    pub(super) fn count(&self) -> usize {
        self.tasks.len()
    }

    /// Whether this one was.
    pub(super) fn has(&self, place: u32) -> bool {
        self.tasks.contains_key(&place)
    }

    /// What was shown, in order.
    pub(super) fn tasks(&self) -> impl Iterator<Item = &Shown> {
        self.tasks.values()
    }

    /// The batch's evidence, if all of it was shown. It has no accounts: the books have their own.
    /// Deals and workers are the chain's; what it does not know is left empty, and found wrong.
    pub(super) fn evidence(
        &self,
        batch: &OnChain,
        deals: &BTreeMap<DealId, Opened>,
        workers: &BTreeMap<u32, Identity>,
    ) -> Option<BatchFile> {
        let header = &batch.batch.header;
        if self.tasks.len() != usize::try_from(header.count).ok()? {
            return None;
        }
        let slot = |deal: &DealId| deals.get(deal).map(|opened| opened.slot);
        let tasks = self.tasks.values();
        let tasks = tasks.map(|shown| task(shown, slot(&shown.rec.deal_id), workers)).collect();
        Some(BatchFile {
            pool: header.pool,
            index: header.index,
            parent: None,
            pre_state_root: B256::ZERO,
            terms: Vec::new(),
            workers: Vec::new(),
            deals: Vec::new(),
            tasks,
        })
    }
}

fn task(shown: &Shown, slot: Option<DealSlot>, workers: &BTreeMap<u32, Identity>) -> TaskEvidence {
    let nobody = Identity { owner: Address::ZERO, vote_key: Address::ZERO };
    let known = |worker: &u32| workers.get(worker).copied().unwrap_or(nobody);
    let set = |signed: &SignedSet| {
        let CommitSet { root, n, reveal_deadline, .. } = signed.set;
        SetRec { root, n, reveal_deadline }
    };
    TaskEvidence {
        slot: slot.unwrap_or_default(),
        rec: shown.rec.clone(),
        sets: shown.sets.iter().map(set).collect(),
        votes: shown.votes.clone(),
        identities: shown.votes.iter().map(|vote| known(&vote.worker)).collect(),
    }
}
