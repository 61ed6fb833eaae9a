//! The store over restarts, losses of power, and long lives.

use super::*;
use quorate_agent::{Closing, Seal, SealedJob};
use quorate_common::{
    Address, B256,
    digest::Digest,
    ids::{DealId, DealSlot, WorkerIdx},
    wire::DealInfo,
};
use quorate_journal::faulty::{Fault, FaultyDisk};
use std::{fs, sync::Arc};

const POOL: PoolId = PoolId(1);

fn domain() -> Domain {
    Domain { chain_id: 5, contract: Address::repeat_byte(1) }
}

fn sealed(idx: u32) -> Record {
    let digest = Digest::of(b"x");
    let deal = DealInfo {
        slot: DealSlot(0),
        id: DealId::default(),
        app: digest,
        bag: digest,
        first: 0,
        unit_price: 1,
        stake: 1,
        max_task_time: 1,
        deadline: 1,
    };
    let word = B256::repeat_byte(2);
    let seal = Seal {
        worker: WorkerIdx(1),
        digest,
        salt: word,
        commitment: word,
        blobs: vec![digest],
        inline: None,
    };
    Record::Sealed(Box::new(SealedJob {
        task: TaskKey { deal: DealSlot(0), idx },
        attempt: 0,
        deal,
        commit_deadline: 1,
        reveal_deadline: 2,
        seal,
    }))
}

fn closed(idx: u32) -> Record {
    Record::Closed { task: sealed(idx).task(), closing: Closing::Forgotten }
}

fn settled(settled: u64) -> Totals {
    Totals { settled, earned: 9, ..Totals::default() }
}

fn open(dir: &Path) -> (Store, Memory) {
    Store::open(dir, POOL, domain()).expect("opened")
}

fn bytes_in(dir: &Path) -> u64 {
    let files = fs::read_dir(dir).expect("listed");
    files.map(|file| file.expect("a file").metadata().expect("its size").len()).sum()
}

#[test]
fn records_come_back_in_order_and_closed_jobs_are_gone() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (mut store, memory) = open(dir.path());
    assert!(memory.records.is_empty());
    let batch = [sealed(700), sealed(2), sealed(1)];
    store.append(&batch, Totals::default()).expect("written");
    store.append(&[closed(2)], settled(1)).expect("written");
    drop(store);
    let (_, memory) = open(dir.path());
    assert_eq!(memory.totals, settled(1));
    assert_eq!(memory.records, [sealed(1), sealed(700)]);
}

#[test]
fn a_store_can_be_opened_again_at_once() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for round in 0..50 {
        let (mut store, memory) = open(dir.path());
        assert_eq!(memory.totals.settled, round);
        store.append(&[sealed(1), closed(1)], settled(round + 1)).expect("written");
    }
}

#[test]
fn who_opens_while_another_still_holds_the_files_waits() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (held, _) = open(dir.path());
    let (opening, is_opening) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let second = scope.spawn(|| {
            opening.send(Journal::open(dir.path(), Options::default()).is_err()).expect("heard");
            open(dir.path());
        });
        assert!(is_opening.recv().expect("said"), "the files are held");
        drop(held);
        second.join().expect("opened once the first was gone");
    });
}

#[test]
fn it_stays_short_and_forgets_nothing_that_is_open() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (mut store, _) = open(dir.path());
    store.append(&[sealed(u32::MAX)], Totals::default()).expect("written");
    let mut most = 0;
    for round in 0..60 {
        let many = (0..500).flat_map(|idx| [sealed(idx), closed(idx)]).collect::<Vec<_>>();
        store.append(&many, settled(round)).expect("written");
        most = most.max(bytes_in(dir.path()));
    }
    assert!(most > SHORTEN_BYTES / 2, "{most} bytes: nothing was ever shortened");
    assert!(most < 2 * SHORTEN_BYTES, "{most} bytes");
    drop(store);
    let (_, memory) = open(dir.path());
    assert_eq!((memory.totals, memory.records), (settled(59), vec![sealed(u32::MAX)]));
}

/// The power fails at every call to the disk in turn: what was promised is there, and nothing else is.
#[test]
fn a_loss_of_power_takes_nothing_that_was_promised() {
    let path = Path::new("store");
    for call in 0..200 {
        let disk = FaultyDisk::new(call);
        let open_on = || {
            let options = Options { segment_bytes: 4 << 10 };
            let journal = Journal::open_on(Arc::new(disk.clone()), options);
            let failed = |source| StoreError::Failed { path: path.into(), verb: "opened", source };
            Store::on(journal.map_err(failed)?.0, path, (POOL, domain()))
        };
        disk.fail_at(call, Fault::PowerOff);
        let mut promised = 0;
        if let Ok((mut store, _)) = open_on() {
            // As if very much had been written before each.
            while promised < 20
                && store.append(&[sealed(promised)], settled(promised.into())).is_ok()
            {
                promised += 1;
                store.since = SHORTEN_BYTES;
            }
        }
        disk.power_cycle();
        let (_, memory) = open_on().expect("readable");
        let there = memory.records.len();
        assert!(there >= promised as usize && there <= promised as usize + 1, "call {call}");
        let expected: Vec<Record> = (0..there as u32).map(sealed).collect();
        assert_eq!(memory.records, expected, "call {call}");
    }
}

#[test]
fn what_is_damaged_old_or_foreign_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let opened = |pool| Store::open(dir.path(), pool, domain());
    let said = |pool| opened(pool).expect_err("refused").to_string();
    let (mut store, _) = opened(POOL).expect("new");
    store.journal.append([&b"\xff"[..]].into_iter()).expect("appended");
    store.journal.sync().expect("synced");
    drop(store);
    let error = said(POOL);
    assert!(error.contains("is damaged at record 2"), "{error}");
    let error = said(PoolId(2));
    assert!(error.contains("belongs to (PoolId(1), Domain"), "{error}");

    let newer = tempfile::tempdir().expect("a temporary folder");
    let (mut journal, _) = Journal::open(newer.path(), Options::default()).expect("new");
    let owner = Entry::Owner { format: 9, pool: POOL, domain: domain() };
    journal.append([bytes(&owner).as_slice()].into_iter()).expect("appended");
    journal.sync().expect("synced");
    drop(journal);
    let error = Store::open(newer.path(), POOL, domain()).expect_err("newer").to_string();
    assert!(error.contains(&format!("has format 9, expected {FORMAT}")), "{error}");

    let older = tempfile::tempdir().expect("a temporary folder");
    fs::write(older.path().join(OLDER), b"").expect("written");
    let error = Store::open(older.path(), POOL, domain()).expect_err("older").to_string();
    assert!(error.contains("is sled's, expected a journal"), "{error}");
}
