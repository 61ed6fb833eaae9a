//! A scheduler that cheats: every field of a batch changed, the batch sealed again by its own key,
//! and the check that finds it.

use crate::{
    fake::{
        Fake,
        Habit::{Honest, Liar, Mute},
    },
    world::{Asks, Batch, World},
};
use alloy_primitives::{Address, B256, U256};
use proptest::prelude::*;
use quorate_common::{
    frame,
    ids::{DealId, DealSlot, PoolId, WorkerIdx},
    keys::VoteKey,
    merkle::{TASKS_DEPTH, Tree},
    messages::{Message as _, Separator},
    wire,
};
use quorate_grid::{
    audit::{Books, Fault, seal_hashes},
    evidence::{BatchFile, Seal},
};
use std::sync::LazyLock;

/// Two batches of a small pool; the books stand between them.
struct Pool {
    separator: Separator,
    signer: VoteKey,
    books: Books,
    batch: Batch,
}

/// The second batch has a task in two rounds with a liar and a mute voter, and one after it.
static POOL: LazyLock<Pool> = LazyLock::new(|| {
    let mut world = World::new().workers(&[Honest, Liar, Honest]);
    world.deal(Asks { tasks: 2, trust: 1, ..Asks::default() });
    world.run();
    world.close();
    let books = world.books.clone();
    world.deal(Asks::default());
    world.run();
    world.worker(Fake::new(4, 4, Mute));
    world.worker(Fake::new(5, 5, Honest));
    world.run();
    world.worker(Fake::new(6, 6, Honest));
    world.worker(Fake::new(7, 7, Honest));
    world.pass_ms(190_000);
    world.deal(Asks { trust: 1, ..Asks::default() });
    world.pass_ms(190_000);
    world.close();
    let batch = world.batches[&2].clone();
    assert!(batch.file.tasks[0].sets.len() > 1, "a task in several rounds");
    assert_eq!(batch.file.tasks.len(), 2);
    Pool { separator: world.separator, signer: world.signer.clone(), books, batch }
});

impl Pool {
    /// What a watcher finds in a changed batch.
    fn replay(&self, batch: &Batch) -> Result<(), Fault> {
        let mut books = self.books.clone();
        let signer = Some(self.signer.address());
        let Batch { header, file, seal } = batch;
        let result = books.replay(&self.separator, signer, header, file, Some(seal));
        if result.is_err() {
            assert_eq!(wire::to_bytes(&books), wire::to_bytes(&self.books), "books are as before");
        }
        result
    }

    /// Signs a changed batch as if it were right.
    fn seal(&self, batch: &mut Batch) {
        let sign = |hashes: &Vec<B256>| frame::sign(&self.signer, &self.separator, hashes);
        let sets = seal_hashes(&batch.file).iter().map(sign).collect();
        let header = self.signer.sign(self.separator.digest(batch.header.struct_hash()));
        batch.seal = Seal { header, sets };
    }

    /// Makes the header fit the changed file, and seals it.
    fn cover_up(&self, batch: &mut Batch) {
        let leaves = batch.file.tasks.iter().map(|task| task.rec.leaf()).collect();
        batch.header.tasks_root = Tree::new(TASKS_DEPTH, leaves).root();
        batch.header.evidence = batch.file.digest().word();
        self.seal(batch);
    }

    /// The name of the check that finds a change which the scheduler covers up.
    fn covered(&self, change: impl Fn(&mut Batch)) -> &'static str {
        let mut batch = self.batch.clone();
        change(&mut batch);
        self.cover_up(&mut batch);
        self.replay(&batch).expect_err("the change is found").name()
    }

    /// The name of the check that finds a change of the header, signed.
    fn header(&self, change: impl Fn(&mut Batch)) -> &'static str {
        let mut batch = self.batch.clone();
        change(&mut batch);
        self.seal(&mut batch);
        self.replay(&batch).expect_err("the change is found").name()
    }
}

#[test]
fn the_unchanged_batch_replays() {
    let mut batch = POOL.batch.clone();
    assert_eq!(POOL.replay(&batch), Ok(()));
    POOL.cover_up(&mut batch);
    assert_eq!(POOL.replay(&batch), Ok(()));
}

#[test]
fn every_field_of_the_header_is_checked() {
    let names = [
        POOL.header(|b| b.header.pool = PoolId(2)),
        POOL.header(|b| b.header.index += 1),
        POOL.header(|b| b.header.parent.0[0] ^= 1),
        POOL.header(|b| b.header.tasks_root.0[0] ^= 1),
        POOL.header(|b| b.header.state_root.0[0] ^= 1),
        POOL.header(|b| b.header.evidence.0[0] ^= 1),
        POOL.header(|b| b.header.count += 1),
        POOL.header(|b| b.header.payout += 1),
        POOL.header(|b| b.header.fees += 1),
        POOL.header(|b| {
            b.header.fees += 1;
            b.header.cum_fees += 1;
        }),
        POOL.header(|b| b.header.royalties += 1),
        POOL.header(|b| b.header.slashed += 1),
        POOL.header(|b| b.header.cum_fees += 1),
    ];
    let expected = [
        "pool",
        "batch index",
        "parent header",
        "tasks root",
        "state root",
        "evidence digest",
        "task count",
        "header payout",
        "header fees so far",
        "header fees",
        "header royalties",
        "header slashed",
        "header fees so far",
    ];
    assert_eq!(names, expected);
    let mut batch = POOL.batch.clone();
    batch.header.payout += 1;
    assert_eq!(POOL.replay(&batch).unwrap_err().name(), "header signature");
    let mut batch = POOL.batch.clone();
    batch.seal.sets[0].r.0[0] ^= 1;
    assert_eq!(POOL.replay(&batch).unwrap_err().name(), "commit set signature");
}

#[test]
fn every_field_of_a_task_is_checked() {
    let rec = |change: fn(&mut quorate_common::accounts::TaskRec)| {
        POOL.covered(|b| change(&mut b.file.tasks[0].rec))
    };
    let names = [
        rec(|r| r.deal_id = DealId(B256::repeat_byte(1))),
        rec(|r| r.task_idx += 1),
        rec(|r| r.attempt += 1),
        rec(|r| r.outcome = 2),
        rec(|r| r.outcome = 3),
        rec(|r| r.outcome = 4),
        rec(|r| r.commit_set_root.0[0] ^= 1),
        rec(|r| r.winner_digest.0[0] ^= 1),
        rec(|r| r.reward += 1),
        rec(|r| r.run_payout += 1),
        rec(|r| r.run_fees += 1),
        rec(|r| r.run_slash += 1),
        rec(|r| r.votes_hash.0[0] ^= 1),
        rec(|r| r.post_state_root.0[0] ^= 1),
    ];
    let expected = [
        "deal id",
        "task index",
        "attempt",
        "decision",
        "decision",
        "outcome",
        "commit set root",
        "decision",
        "reward",
        "running payout",
        "running fees",
        "running slash",
        "votes hash",
        "post state root",
    ];
    assert_eq!(names, expected);
}

#[test]
fn every_field_of_a_vote_is_checked() {
    let vote = |change: fn(&mut quorate_common::accounts::Vote)| {
        POOL.covered(|b| {
            let task = &mut b.file.tasks[0];
            change(&mut task.votes[0]);
            let roots: Vec<B256> = task.sets.iter().map(|set| set.root).collect();
            task.rec.votes_hash = quorate_common::accounts::votes_hash(&roots, &task.votes);
        })
    };
    let names = [
        vote(|v| v.worker += 100),
        vote(|v| v.attempt += 1),
        vote(|v| v.digest.0[0] ^= 1),
        vote(|v| v.digest = B256::ZERO),
        vote(|v| v.salt.0[0] ^= 1),
        vote(|v| v.frame_index += 1),
        vote(|v| v.frame_count += 1),
        vote(|v| v.path.push(B256::ZERO)),
        vote(|v| v.r.0[0] ^= 1),
        vote(|v| v.vs.0[9] ^= 1),
        vote(|v| v.vs.0[0] ^= 0x80),
    ];
    let expected = [
        "worker before",
        "vote attempt",
        "commit set",
        "commit set",
        "commit set",
        "vote signature",
        "vote signature",
        "vote signature",
        "vote signature",
        "vote signature",
        "vote signature",
    ];
    assert_eq!(names, expected);
}

#[test]
fn sets_voters_and_accounts_are_checked() {
    let file = |change: fn(&mut BatchFile)| POOL.covered(|b| change(&mut b.file));
    let names = [
        file(|f| f.tasks[0].sets[0].root.0[0] ^= 1),
        file(|f| f.tasks[0].sets[0].n += 1),
        file(|f| f.tasks[0].sets = f.tasks[0].sets.split_off(1)),
        file(|f| f.tasks[0].identities[0].vote_key = Address::repeat_byte(0x99)),
        file(|f| f.tasks[0].identities[0].owner = Address::repeat_byte(0x99)),
        file(share_an_owner),
        file(|f| f.tasks[0].identities.truncate(1)),
        file(|f| f.tasks[0].votes.swap(0, 1)),
        file(|f| {
            f.tasks[0].votes.swap(0, 1);
            f.tasks[0].identities.swap(0, 1);
        }),
        file(|f| f.tasks[0].slot = DealSlot(0)),
        file(|f| f.tasks.swap(0, 1)),
        file(|f| drop(f.tasks.pop())),
        file(|f| f.pool = PoolId(2)),
        file(|f| f.index += 1),
        file(|f| f.parent = None),
        file(|f| f.pre_state_root.0[0] ^= 1),
        file(|f| f.terms[0].terms.unit_price += 1),
        file(|f| f.terms[0].terms.unit_price = u128::MAX),
        file(|f| f.terms[0].terms.app_price = u128::MAX),
        file(|f| f.terms[0].slot = DealSlot(1 << 19)),
        file(|f| f.terms[0].terms.tasks = 0),
        file(|f| f.workers[0].worker = WorkerIdx(0)),
        file(|f| f.workers[0].account.as_mut().unwrap().score += 1),
        file(|f| f.workers[0].path[3].0[0] ^= 1),
        file(|f| drop(f.workers.pop())),
        file(|f| f.deals[0].path[3].0[0] ^= 1),
        file(|f| drop(f.deals.pop())),
    ];
    let expected = [
        "commit set",
        "commit set size",
        "vote attempt",
        "identity",
        "identity",
        "owner twice",
        "voters",
        "identity",
        "commit set",
        "deal before",
        "running payout",
        "deal before",
        "pool",
        "batch index",
        "parent header",
        "state root before",
        "deal id",
        "deal terms",
        "deal terms",
        "deal terms",
        "deal terms",
        "worker before",
        "worker before",
        "worker before",
        "worker before",
        "deal before",
        "deal before",
    ];
    assert_eq!(names, expected);
}

/// Two newcomers of one owner: nothing but the rule speaks against it.
fn share_an_owner(file: &mut BatchFile) {
    let known: Vec<u32> =
        file.workers.iter().filter(|pre| pre.account.is_some()).map(|pre| pre.worker.0).collect();
    let task = &mut file.tasks[0];
    let votes = task.votes.iter().zip(&mut task.identities);
    let fresh = votes.filter(|(vote, _)| !known.contains(&vote.worker)).map(|(_, id)| id);
    for identity in fresh {
        identity.owner = Address::repeat_byte(0x99);
    }
}

#[test]
fn a_deal_at_a_second_place_is_found() {
    let name = POOL.covered(|b| {
        // The first batch settled deal-0; the same orders at another slot would settle it again.
        let known = POOL.books.deals().next().map(|(_, book)| book.account.deal_id);
        let fresh = b.file.deals.iter().position(|deal| deal.book.is_none()).unwrap();
        let terms = POOL.batch.file.terms[fresh].clone();
        assert_ne!(known, Some(terms.id()));
        let twin = b.file.terms.iter().position(|other| other.slot != terms.slot).unwrap();
        let slot = b.file.terms[twin].slot;
        b.file.terms[twin] = terms;
        b.file.terms[twin].slot = slot;
    });
    assert_eq!(name, "deal twice");
}

#[test]
fn books_come_back_from_a_snapshot() {
    let mut world = World::new().workers(&[Honest]);
    world.replays = false;
    world.deal(Asks { tasks: 300, trust: 1, ..Asks::default() });
    let separator = world.separator;
    world.run();
    let mut books = Books::new(PoolId(1));
    world.close();
    let batch = world.batches[&1].clone();
    books.replay(&separator, None, &batch.header, &batch.file, None).unwrap();
    let (_, book) = books.deals().next().unwrap();
    assert_eq!(book.words.values().map(U256::count_ones).sum::<usize>(), 300);
    let copied: Books = wire::decode(&wire::to_bytes(&books)).unwrap();
    assert_eq!(copied.state_root(), books.state_root());
    assert_eq!(copied.head(), books.head());
    let again = books.replay(&separator, None, &batch.header, &batch.file, None).unwrap_err();
    assert_eq!(again.name(), "batch index", "{again}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 50, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any byte of the file changed, the header made to fit: found, and nothing panics.
    #[test]
    fn any_change_of_the_file_is_found(at in any::<prop::sample::Index>(), mask in 1_u8..) {
        let bytes = POOL.batch.file.to_bytes();
        let mut changed = bytes.clone();
        changed[at.index(bytes.len())] ^= mask;
        if let Ok(file) = BatchFile::parse(&changed) {
            let mut batch = Batch { file, ..POOL.batch.clone() };
            prop_assert!(POOL.replay(&batch).is_err());
            // Covered up without new commit sets: a set's deadline is in no leaf, only signed.
            batch.header.evidence = batch.file.digest().word();
            let leaves = batch.file.tasks.iter().take(1 << 16).map(|task| task.rec.leaf());
            batch.header.tasks_root = Tree::new(TASKS_DEPTH, leaves.collect()).root();
            batch.seal.header =
                POOL.signer.sign(POOL.separator.digest(batch.header.struct_hash()));
            let same = batch.file == POOL.batch.file;
            prop_assert!(same || POOL.replay(&batch).is_err());
        }
    }
}
