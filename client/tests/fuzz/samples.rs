//! Real bytes: the golden frames, and what one run of the scheduler's `hostile` tests left in `corpus`
//! (written anew there with `QUORATE_BLESS=1`).

use quorate_common::{
    ids::PoolId,
    messages::Domain,
    wire::{decode, to_bytes},
};
use quorate_grid::{
    Grid, Record,
    policy::{Genesis, Policy},
};
use quorate_scheduler::dev;
use serde_json::Value;
use std::{collections::BTreeMap, fs, path::Path};

fn read(path: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A file of the corpus.
pub(crate) fn corpus(name: &str) -> Vec<u8> {
    read(&format!("tests/fuzz/corpus/{name}"))
}

/// The golden frames of one direction, without their lengths.
pub(crate) fn frames(of: &str) -> Vec<Vec<u8>> {
    let golden: Value = serde_json::from_slice(&read("../common/vectors/wire.json")).unwrap();
    let frames = golden[of].as_array().unwrap_or_else(|| panic!("wire.json has no `{of}`")).iter();
    frames
        .map(|frame| hex::decode(frame["frame"].as_str().unwrap()).unwrap()[4..].to_vec())
        .collect()
}

/// Every record of a journal, in order.
pub(crate) fn journal() -> Vec<Vec<u8>> {
    decode(&corpus("journal.postcard")).unwrap()
}

/// One record of each kind.
pub(crate) fn records() -> Vec<Vec<u8>> {
    let by_kind: BTreeMap<u8, Vec<u8>> = journal().into_iter().map(|one| (one[0], one)).collect();
    by_kind.into_values().collect()
}

/// The state that the journal comes to.
pub(crate) fn durable() -> Vec<u8> {
    let domain = Domain { chain_id: dev::CHAIN_ID, contract: dev::contract() };
    let genesis = Genesis { pool: PoolId(1), domain };
    let mut grid = Grid::new(genesis, Policy::default(), [0; 32]);
    for bytes in journal() {
        grid.apply(&decode::<Record>(&bytes).unwrap());
    }
    to_bytes(grid.durable())
}
