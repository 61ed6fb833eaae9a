//! What a journal comes to, read from its first record (or from the oldest state it can be read from),
//! without a network and without touching the index or the blobs: for who wants to know whether a
//! running scheduler's state is what its disk says, and for the post-mortem of one that died.

use crate::{
    config::{ChainAt, Config},
    dev, format,
    journal::{Journal, JournalError, Options, snapshot::Snapshots},
};
use quorate_common::{
    digest::Digest,
    exit::{Code, Failure},
    messages::Domain,
    report::Chain as Report,
    wire::{decode, to_bytes},
};
use quorate_grid::{
    Grid, Record,
    deal::SignedPoolOrder,
    policy::{Genesis, Policy},
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A state, by what can be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// `quorate.standing/v1`.
    pub schema: String,
    /// The last record.
    pub seq: u64,
    /// sha256 of everything that must survive a restart.
    pub state: Digest,
    /// Acknowledgements given.
    pub acknowledged: u64,
    /// Orders taken.
    pub orders: usize,
    /// Tasks that are over.
    pub settled: u64,
    /// Batches closed.
    pub batches: u64,
}

impl Standing {
    /// What `grid` holds after the record `seq`.
    pub fn of(grid: &Grid, seq: u64) -> Self {
        Self {
            schema: "quorate.standing/v1".into(),
            seq,
            state: Digest::of(&to_bytes(grid.durable())),
            acknowledged: grid.acknowledged(),
            orders: grid.orders().len(),
            settled: grid.deals().values().map(|deal| u64::from(deal.settled)).sum(),
            batches: grid.ledger().open_index() - 1,
        }
    }
}

/// Reads the journal of a data folder whose scheduler is stopped.
///
/// # Errors
/// The folder is in use, or holds no history, or a damaged one.
pub fn standing(config: &Config) -> Result<Standing, Failure> {
    format::check(&config.data)?;
    let dir = config.data.join("journal");
    let options = Options { segment_bytes: config.segment_bytes };
    let (journal, _) = Journal::open(&dir, options).map_err(unreadable)?;
    let (mut grid, from) = start(&journal, &dir, genesis(config)?, config.policy)?;
    let replayed = journal.replay(from + 1, |seq, bytes| {
        let record: Record = decode(bytes).map_err(|error| Bad::Record(seq, error.to_string()))?;
        grid.apply(&record);
        Ok(())
    });
    replayed.map_err(|error: Bad| Failure::new(Code::Internal, Report(&error)))?;
    Ok(Standing::of(&grid, journal.head().seq))
}

/// An empty grid, if the journal still has its first record; else the newest snapshot's.
fn start(
    journal: &Journal,
    dir: &Path,
    genesis: Genesis,
    policy: Policy,
) -> Result<(Grid, u64), Failure> {
    // Who only folds records draws nothing.
    let seed = [0; 32];
    if journal.first_seq() <= 1 {
        return Ok((Grid::new(genesis, policy, seed), 0));
    }
    let internal = |error: &dyn std::error::Error| Failure::new(Code::Internal, Report(error));
    let snapshots = Snapshots::open(dir).map_err(|error| internal(&error))?;
    let latest = snapshots.latest().map_err(|error| internal(&error))?;
    let none =
        || Failure::new(Code::NotFound, "the journal's beginning is gone, and no snapshot is here");
    let snapshot = latest.snapshot.ok_or_else(none)?;
    let durable = decode(&snapshot.bytes).map_err(|error| internal(&error))?;
    Ok((Grid::with(durable, policy, seed), snapshot.head.seq))
}

/// The pool is the one that this folder's offer is of; nobody is asked.
pub(crate) fn genesis(config: &Config) -> Result<Genesis, Failure> {
    let path = config.data.join("offer.json");
    let known = std::fs::read(&path).ok();
    let offer: Option<SignedPoolOrder> = known.and_then(|text| serde_json::from_slice(&text).ok());
    let none = || {
        let text = format!("{}: no offer; expected a data folder that was served", path.display());
        Failure::new(Code::NotFound, text).hint("name the folder with --data")
    };
    let pool = offer.ok_or_else(none)?.order.pool;
    let (contract, chain_id) = match config.chain {
        ChainAt::Embedded => (Some(dev::contract()), dev::CHAIN_ID),
        ChainAt::Url(_) => (config.contract, config.chain_id),
    };
    let contract =
        contract.ok_or_else(|| Failure::new(Code::Usage, "`chain.contract` is not set"))?;
    Ok(Genesis { pool, domain: Domain { chain_id, contract } })
}

#[expect(clippy::wildcard_enum_match_arm, reason = "whatever else is wrong says what to do itself")]
fn unreadable(error: JournalError) -> Failure {
    let code = match error {
        JournalError::Locked { .. } => Code::Conflict,
        _ => Code::Internal,
    };
    Failure::new(code, Report(&error))
}

/// What can go wrong in a replay.
#[derive(Debug, thiserror::Error)]
enum Bad {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("record {0} does not decode ({1}); is this program older than the journal?")]
    Record(u64, String),
}
