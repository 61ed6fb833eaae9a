//! What a start finds on the disks, and the operator who copies them and puts a copy back.

use super::OPTIONS;
use crate::{
    law::{Law, Lawful, Violation, hold},
    world::World,
};
use quorate_common::{digest::Digest, wire};
use quorate_grid::{Grid, Record};
use quorate_journal::{Journal, JournalError, faulty::FaultyDisk, snapshot::Snapshots};
use std::{collections::BTreeSet, sync::Arc};

/// A copy of a machine's disks.
#[derive(Debug)]
pub(super) struct Copy {
    disk: FaultyDisk,
    vault: FaultyDisk,
    blobs: BTreeSet<Digest>,
    checked: (u64, Vec<u8>),
}

/// Why a start failed.
#[derive(Debug)]
pub(super) enum Trouble {
    Disk(JournalError),
    Law(Violation),
}

impl From<JournalError> for Trouble {
    fn from(error: JournalError) -> Self {
        Self::Disk(error)
    }
}

impl From<Violation> for Trouble {
    fn from(violation: Violation) -> Self {
        Self::Law(violation)
    }
}

impl World {
    /// As production does: the journal, the newest snapshot that is in it, the records after that.
    pub(super) fn open_memory(&mut self) -> Result<(Grid, Journal, u64), Trouble> {
        let disk = Arc::new(self.node.disk.clone());
        let (journal, opened) = Journal::open_on(disk.clone(), OPTIONS)?;
        if opened.cut.is_some() {
            self.tally.count("fault: record torn");
        }
        let latest = Snapshots::on(disk).latest();
        let latest =
            latest.map_err(|e| Violation { law: "snapshots list", what: e.to_string() })?;
        let node = &self.node;
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&(node.seed ^ node.life).to_be_bytes());
        let (mut grid, from) = match latest.snapshot {
            Some(snapshot) => {
                journal.check_head(snapshot.head)?;
                self.tally.count("act: snapshot read at a start");
                let durable = wire::decode(&snapshot.bytes)
                    .map_err(|e| Violation { law: "a snapshot decodes", what: e.to_string() })?;
                (Grid::with(durable, node.policy, seed), snapshot.head.seq)
            }
            None => (Grid::new(node.genesis, node.policy, seed), 0),
        };
        journal.replay(from + 1, |seq, bytes| {
            let known = node.history.get(seq as usize - 1).map(|(known, _)| known.as_slice());
            hold(known == Some(bytes), "the journal holds what was written", || {
                format!("record {seq} is another")
            })?;
            let record: Record = wire::decode(bytes)
                .map_err(|e| Violation { law: "a record decodes", what: e.to_string() })?;
            grid.apply(&record);
            Ok::<(), Trouble>(())
        })?;
        let seq = journal.head().seq;
        Ok((grid, journal, seq))
    }

    /// What the disk holds is at least what was promised, and comes to the same state.
    pub(super) fn remember(&mut self, grid: &Grid, seq: u64) -> Lawful {
        let node = &mut self.node;
        hold(seq >= node.synced, "what was durable is found again", || {
            format!("records to {seq}, promised {}", node.synced)
        })?;
        let from = node.synced;
        node.history.truncate(seq as usize);
        let records = node.judge(from, seq)?;
        node.synced = seq;
        for record in &records {
            self.tell_record(record)?;
        }
        let node = &mut self.node;
        let again = wire::to_bytes(node.replay(&node.checked, seq)?.durable());
        let found = wire::to_bytes(grid.durable());
        hold(again == found, "a restart brings back what the records say", || {
            format!("at record {seq}")
        })?;
        node.checked = (seq, found);
        Ok(())
    }

    /// Its operator copies the disks, or puts the copy back.
    pub(crate) fn tend_copy(&mut self) -> Lawful {
        if self.node.copy_at.is_some_and(|at| at <= self.t) && self.node.up.is_some() {
            self.node.copy_at = None;
            let node = &self.node;
            let (disk, vault) = (node.disk.copy(), node.vault.copy());
            let (blobs, checked) = (node.blobs.clone(), node.checked.clone());
            self.node.copy = Some(Box::new(Copy { disk, vault, blobs, checked }));
            self.say(|| "the operator copies the scheduler's disk".into());
        }
        if self.node.restore_at.is_some_and(|at| at <= self.t)
            && let Some(copy) = self.node.copy.take()
        {
            self.node.restore_at = None;
            self.restore(*copy)?;
        }
        Ok(())
    }

    fn restore(&mut self, copy: Copy) -> Lawful {
        self.tally.count("fault: old disk restored");
        self.say(|| "the operator restores the copy of the disk".into());
        self.die(false);
        let node = &mut self.node;
        (node.disk, node.vault, node.blobs) = (copy.disk, copy.vault, copy.blobs);
        (node.checked, node.rolled_back) = (copy.checked, true);
        let (_, opened) = Journal::open_on(Arc::new(node.disk.clone()), OPTIONS)
            .map_err(|e| Violation { law: "a copied disk opens", what: e.to_string() })?;
        node.law = Law::new(node.genesis.separator(), node.policy.hear_s);
        node.history.truncate(opened.head.seq as usize);
        node.judge(0, opened.head.seq)?;
        node.synced = opened.head.seq;
        Ok(())
    }
}
