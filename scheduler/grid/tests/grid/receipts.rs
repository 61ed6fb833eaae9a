//! Receipts: they verify, and no byte of one can be changed unseen.

use crate::{
    fake::{
        Fake,
        Habit::{Honest, Liar, Mute, Slow},
    },
    world::{Asks, World},
};
use alloy_primitives::{Address, B256};
use quorate_common::messages::{Header, Message as _};
use quorate_grid::{
    Input,
    audit::{Anchor, ancestors, verify},
    evidence::{BadReceipt, Before, Receipt},
    poco::Outcome,
    policy::Policy,
};
use std::sync::LazyLock;

/// A pool's life, told once for all tests here: three batches with tasks that ended in every way: alone, agreed, with a liar in two rounds, with a
/// mute voter, without quorum, expired without a vote.
static EVENTFUL: LazyLock<World> = LazyLock::new(eventful);

fn eventful() -> World {
    let policy = Policy { batch_tasks: 100, ..Policy::default() };
    let mut world = World::with(policy).workers(&[Honest, Liar, Honest]);
    world.deal(Asks { trust: 1, ..Asks::default() });
    world.run();
    world.deal(Asks::default());
    world.run();
    world.worker(Fake::new(4, 4, Honest));
    world.worker(Fake::new(5, 5, Mute));
    world.worker(Fake::new(6, 6, Honest));
    world.run();
    world.pass_ms(130_000);
    world.deal(Asks { trust: 1, tasks: 3, ..Asks::default() });
    world.run();
    world.pass_ms(130_000);
    world.close();
    world.deal(Asks { trust: 1_000_000, replicas: 5, ..Asks::default() });
    world.deal(Asks { tasks: 20, trust: 1, ..Asks::default() });
    world.run();
    world.pass_ms(130_000);
    world.close();
    world.deal(Asks { tasks: 2, deadline_s: 1, ..Asks::default() });
    world.pass_ms(5_000);
    world.close();
    world
}

#[test]
fn every_receipt_of_an_eventful_life_verifies() {
    let world = &*EVENTFUL;
    let mut outcomes = [0; 4];
    for index in world.batches.keys() {
        for (place, receipt) in world.receipts(*index).iter().enumerate() {
            let verified = verify(receipt, &world.anchor(*index)).unwrap();
            outcomes[verified.outcome as usize] += 1;
            assert_eq!(verified.place as usize, place);
            let batch = &world.batches[index];
            let one = quorate_grid::audit::receipt(
                &world.genesis.domain,
                &batch.header,
                &batch.file,
                &batch.seal,
                verified.place,
            );
            assert_eq!(one.as_ref(), Ok(receipt));
        }
    }
    assert_eq!(outcomes.map(|count| count > 0), [false, true, true, true], "{outcomes:?}");
    let none = quorate_grid::audit::receipt(
        &world.genesis.domain,
        &world.batches[&1].header,
        &world.batches[&1].file,
        &world.batches[&1].seal,
        1_000,
    );
    assert_eq!(none.unwrap_err().name(), "place");
}

/// The receipt of a batch that `is` describes.
fn find(world: &World, is: impl Fn(&Receipt) -> bool) -> (Receipt, Anchor) {
    for index in world.batches.keys() {
        if let Some(receipt) = world.receipts(*index).into_iter().find(&is) {
            return (receipt, Anchor { signer: None, ..world.anchor(*index) });
        }
    }
    panic!("no such receipt");
}

/// Flips a bit of every byte in turn.
fn flip_every_byte(receipt: &Receipt, anchor: &Anchor) {
    let text = receipt.to_json().into_bytes();
    let parsed = Receipt::parse_canonical(&text).unwrap();
    verify(&parsed, anchor).unwrap();
    let mut refused = [0_usize; 3];
    for at in 0..text.len() {
        let mut flipped = text.clone();
        flipped[at] ^= 1;
        match Receipt::parse_canonical(&flipped) {
            Err(BadReceipt::NotCanonical { .. }) => refused[0] += 1,
            Err(_) => refused[1] += 1,
            Ok(changed) => {
                assert_ne!(&changed, receipt, "byte {at} is read and means nothing");
                let Err(fault) = verify(&changed, anchor) else {
                    let from = at.saturating_sub(60);
                    let around = String::from_utf8_lossy(&flipped[from..(at + 20).min(text.len())]);
                    panic!("byte {at} flipped, and the receipt passes: {around}");
                };
                assert!(!fault.name().is_empty());
                refused[2] += 1;
            }
        }
    }
    assert!(refused[1] > 0 && refused[2] > text.len() / 4, "{refused:?} of {}", text.len());
}

#[test]
fn no_byte_of_the_first_receipt_can_change() {
    let world = &*EVENTFUL;
    let (receipt, anchor) = find(world, |receipt| {
        matches!(receipt.before, Before::Nothing) && !receipt.votes.is_empty()
    });
    flip_every_byte(&receipt, &anchor);
}

#[test]
fn no_byte_of_a_receipt_after_another_batch_can_change() {
    let world = &*EVENTFUL;
    let (receipt, anchor) = find(world, |receipt| matches!(receipt.before, Before::Parent(_)));
    flip_every_byte(&receipt, &anchor);
}

#[test]
fn no_byte_of_a_receipt_with_dissent_can_change() {
    let world = &*EVENTFUL;
    let (receipt, anchor) = find(world, |receipt| {
        let mute = receipt.votes.iter().any(|vote| vote.digest.is_zero());
        mute && matches!(receipt.before, Before::Task { .. })
    });
    flip_every_byte(&receipt, &anchor);
}

#[test]
fn no_byte_of_a_receipt_without_votes_can_change() {
    let world = &*EVENTFUL;
    let (receipt, anchor) = find(world, |receipt| {
        receipt.rec.outcome == Outcome::Expired as u8 && receipt.votes.is_empty()
    });
    flip_every_byte(&receipt, &anchor);
}

#[test]
fn another_anchor_refuses() {
    let world = &*EVENTFUL;
    let (receipt, anchor) = find(world, |_| true);
    let name = |anchor: Anchor| verify(&receipt, &anchor).unwrap_err().name();
    let mut domain = anchor.domain;
    domain.chain_id += 1;
    assert_eq!(name(Anchor { domain, ..anchor }), "domain");
    assert_eq!(name(Anchor { header_hash: B256::ZERO, ..anchor }), "header hash");
    let stranger = Some(Address::repeat_byte(3));
    assert_eq!(name(Anchor { signer: stranger, ..anchor }), "header signature");
}

#[test]
fn one_hash_anchors_every_batch_before_it() {
    let world = &*EVENTFUL;
    let headers: Vec<Header> = world.batches.values().map(|batch| batch.header.clone()).collect();
    let head = headers.last().unwrap().struct_hash();
    let hashes = ancestors(head, &headers).unwrap();
    for (index, batch) in &world.batches {
        assert_eq!(hashes[index], batch.header.struct_hash());
    }
    let name = |head, headers: &[Header]| ancestors(head, headers).unwrap_err().name();
    assert_eq!(name(B256::ZERO, &headers), "header hash");
    let gap = [headers[0].clone(), headers[2].clone()];
    assert_eq!(name(head, &gap), "batch index");
    let mut forged = headers.clone();
    forged[0].payout += 1;
    assert_eq!(name(head, &forged), "parent header");
    assert!(ancestors(head, &[]).unwrap().is_empty());
}

#[test]
fn a_receipt_is_moved_to_no_other_task() {
    let world = &*EVENTFUL;
    let batch = world.batches.keys().find(|index| world.receipts(**index).len() > 2).unwrap();
    let receipts = world.receipts(*batch);
    let anchor = world.anchor(*batch);
    let (one, other) = (&receipts[1], &receipts[2]);
    let check = |change: &dyn Fn(&mut Receipt)| {
        let mut changed = other.clone();
        change(&mut changed);
        verify(&changed, &anchor).unwrap_err().name()
    };
    assert_eq!(check(&|r| r.place = 1), "task path");
    assert_eq!(check(&|r| r.before = one.before.clone()), "task before");
    assert_eq!(check(&|r| r.before = Before::Nothing), "task before");
    assert_eq!(check(&|r| r.voters.clear()), "voters");
    assert_eq!(check(&|r| r.schema = "quorate.receipt/v2".into()), "schema");
    assert_eq!(check(&|r| r.deal.terms.filled_before = 1), "deal id");
    assert_eq!(check(&|r| r.sets[0].set.reveal_deadline += 1), "commit set signature");
    assert_eq!(check(&|r| r.deal.terms.stake_ratio = 101), "deal terms");
    assert_eq!(check(&|r| r.votes[0].salt.0[0] ^= 1), "commit set");
    assert_eq!(check(&|r| r.votes[0].r.0[0] ^= 1), "votes hash");
}

#[test]
fn a_worker_that_never_works_has_no_account() {
    let mut world = World::new().workers(&[Slow]);
    world.deal(Asks { deadline_s: 5, ..Asks::default() });
    world.run();
    world.pass_ms(10_000);
    world.input(Input::CloseBatch);
    let (receipt, anchor) = find(&world, |_| true);
    assert_eq!(verify(&receipt, &anchor).unwrap().voters, []);
    assert_eq!(world.books.workers().count(), 0);
    assert_eq!(world.batches[&1].header.struct_hash(), anchor.header_hash);
}

#[test]
fn a_batch_may_take_more_than_one_frame_of_sets() {
    let mut world = World::new().workers(&[Honest]);
    world.replays = false;
    world.deal(Asks { tasks: 300, trust: 1, ..Asks::default() });
    world.run();
    world.close();
    assert_eq!(world.batches[&1].seal.sets.len(), 2);
    for receipt in world.receipts(1) {
        verify(&receipt, &world.anchor(1)).unwrap();
    }
}
