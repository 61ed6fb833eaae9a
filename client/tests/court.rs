//! What a scheduler could settle wrongly, one field after the other, against the real Court in the real
//! EVM: each is found by the watcher's own code and convinces a bench; and nothing convinces one of an
//! honest batch.
//!
//! And the same at random, at scale (`scale`): 20,000 tasks in 100 batches, each step of which Rust and
//! contract take alike, and 400 lies about them of which none stands. `QUORATE_BATCHES` asks for more,
//! `QUORATE_SEED` for others; what fails says which two bring it back. That it can fail was tried: it
//! notices each of these changes of `poco.rs` within eight batches:
//!
//! * `weight`: `score.div_ceil(3)` in place of `score / 3`, or `.max(2)` in place of `.max(3)`;
//! * `Tally::add`: a group that wraps in place of one that saturates;
//! * `decides`: `>=` in place of `>`;
//! * `percent`: rounded up, or its remainder dropped; `share`: its remainder dropped;
//! * `judge`: a score that wraps, a score of `score / 3 * 2`, a lone winner that gains one.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "court/abandoned.rs"]
mod abandoned;
#[path = "court/arena.rs"]
mod arena;
#[path = "court/batch.rs"]
mod batch;
#[path = "court/dice.rs"]
mod dice;
#[path = "court/lies.rs"]
mod lies;
#[path = "court/pool.rs"]
mod pool;
#[path = "court/random.rs"]
mod random;
#[path = "court/round.rs"]
mod round;
#[path = "court/scale.rs"]
mod scale;
#[path = "court/signatures.rs"]
mod signatures;
#[path = "court/silence.rs"]
mod silence;

use pool::{Pool, Sides};
use quorate_chain::{court, settlement::PoolState};
use quorate_client::watch::brief::Brief;
use quorate_common::{Address, B256, ids::DealId, messages::Header};
use quorate_grid::{audit::Accusation, evidence::BatchFile};

fn in_runtime(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(test);
}

/// A change of the second batch, and the check that names it.
type Case = (&'static str, fn(&mut BatchFile), &'static str);

/// A change of the second batch's header.
type HeaderCase = (&'static str, fn(&mut Header));

/// What is wrong with a task, all else made to fit.
const STEPS: [Case; 29] = [
    ("task index", |f| f.tasks[1].rec.task_idx = 99, "task index"),
    ("settled twice", |f| f.tasks[2].rec.task_idx = f.tasks[1].rec.task_idx, "bitmap bit"),
    ("attempt", |f| f.tasks[1].rec.attempt += 1, "attempt"),
    ("outcome", |f| f.tasks[1].rec.outcome = 4, "outcome"),
    ("no quorum", |f| f.tasks[1].rec.outcome = 2, "decision"),
    ("consensus", |f| f.tasks[3].rec.outcome = 1, "decision"),
    ("commit set", |f| f.tasks[1].rec.commit_set_root.0[0] ^= 1, "commit set root"),
    ("winner", |f| f.tasks[1].rec.winner_digest.0[0] ^= 1, "decision"),
    ("reward", |f| f.tasks[1].rec.reward += 1, "reward"),
    ("payout", |f| f.tasks[1].rec.run_payout += 1, "running payout"),
    ("fees", |f| f.tasks[1].rec.run_fees += 1, "running fees"),
    ("royalties", |f| f.tasks[1].rec.run_royalties += 1, "running royalties"),
    ("slashes", |f| f.tasks[1].rec.run_slash += 1, "running slash"),
    ("state", |f| f.tasks[1].rec.post_state_root.0[0] ^= 1, "post state root"),
    ("first payout", |f| f.tasks[0].rec.run_payout += 1, "running payout"),
    ("first state", |f| f.tasks[0].rec.post_state_root.0[0] ^= 1, "post state root"),
    ("last fees", |f| f.tasks[3].rec.run_fees += 1, "running fees"),
    ("worker", |f| f.tasks[1].votes[0].worker = 6, "commit set"),
    ("nobody", |f| f.tasks[1].votes[0].worker = 999, "identity"),
    ("one twice", |f| f.tasks[1].votes[1].worker = f.tasks[1].votes[0].worker, "worker twice"),
    ("round", |f| f.tasks[1].votes[0].attempt = 1, "vote attempt"),
    ("result", |f| f.tasks[1].votes[0].digest.0[0] ^= 1, "commit set"),
    ("salt", |f| f.tasks[1].votes[0].salt.0[0] ^= 1, "commit set"),
    ("frame", |f| f.tasks[1].votes[0].frame_count = 2, "vote signature"),
    ("place in frame", |f| f.tasks[1].votes[0].frame_index = 1, "vote signature"),
    ("r", |f| f.tasks[1].votes[0].r.0[0] ^= 1, "vote signature"),
    ("vs", |f| f.tasks[1].votes[0].vs.0[31] ^= 1, "vote signature"),
    ("dropped vote", |f| drop(f.tasks[1].votes.pop()), "commit set size"),
    ("another set", |f| f.tasks[1].sets[0].root.0[0] ^= 1, "commit set root"),
];

#[test]
fn every_step_that_is_wrong_can_be_proven() {
    in_runtime(async {
        let sides = Sides::start().await;
        for (name, change, check) in STEPS {
            let mut pool = Pool::open(&sides).await;
            pool.settle_two_batches().await;
            let file = pool.draft(change);
            let Accusation::Step(fault, _) = pool.accuse() else { panic!("{name}: no step") };
            assert_eq!(fault.name(), check, "{name}: {fault}");
            pool.commit(file).await;
            pool.convict(name).await;
        }
    });
}

#[test]
fn a_deal_that_was_never_opened_is_proven() {
    in_runtime(async {
        let sides = Sides::start().await;
        let mut pool = Pool::open(&sides).await;
        pool.settle_two_batches().await;
        let file = pool.draft(|f| f.tasks[1].rec.deal_id = DealId(B256::repeat_byte(9)));
        assert!(matches!(pool.accuse(), Accusation::UnknownDeal(_)));
        pool.commit(file).await;
        pool.convict("unknown deal").await;
    });
}

#[test]
fn every_field_of_a_header_can_be_proven() {
    in_runtime(async {
        let sides = Sides::start().await;
        let changes: [HeaderCase; 9] = [
            ("parent", |h| h.parent.0[0] ^= 1),
            ("state root", |h| h.state_root.0[0] ^= 1),
            ("fewer tasks", |h| h.count -= 1),
            ("more tasks", |h| h.count += 1),
            ("payout", |h| h.payout += 1),
            ("fees", |h| h.fees += 1),
            ("royalties", |h| h.royalties += 1),
            ("slashes", |h| h.slashed -= 1),
            ("fees so far", |h| h.cum_fees += 1),
        ];
        for (name, change) in changes {
            let mut pool = Pool::open(&sides).await;
            pool.settle_two_batches().await;
            let file = pool.draft(|_| {});
            change(&mut pool.batch.header);
            pool.commit(file).await;
            pool.convict(name).await;
        }
    });
}

#[test]
fn nothing_is_proven_against_an_honest_batch() {
    in_runtime(async {
        let sides = Sides::start().await;
        let mut pool = Pool::open(&sides).await;
        pool.settle_two_batches().await;
        let file = pool.draft(|_| {});
        pool.commit(file.clone()).await;
        // What the watcher would say of it, and every step of it as if it were wrong.
        let found = pool.accuse();
        assert!(matches!(&found, Accusation::Header { odd: None, .. }), "{found:?}");
        let mut tried = 0;
        for accusation in std::iter::once(found).chain(pool.steps(&file)) {
            let (batch, before) = (&pool.committed(), Some(&pool.first));
            let brief = Brief { batch, before, accusation: &accusation };
            for proof in brief.proofs(&sides.court) {
                let verdict = sides.court.convinces(&proof).await.unwrap();
                assert_eq!(verdict.unwrap_err(), "NoFraud()", "{}", proof.what);
                tried += 1;
            }
        }
        assert!(tried >= 10, "{tried} proofs");
    });
}

#[test]
fn a_conviction_drops_the_batch_burns_the_bond_and_pays_the_prover() {
    in_runtime(async {
        let sides = Sides::start().await;
        let mut pool = Pool::open(&sides).await;
        pool.settle_two_batches().await;
        let file = pool.draft(|f| f.tasks[1].rec.run_payout += 1);
        pool.commit(file).await;
        let proof = pool.convincing().await;
        let (watcher, salt) = (sides.outbox(77).await, B256::repeat_byte(7));
        let s = &sides.chain.settlement;
        let bond = s.pool(pool.id).await.unwrap().bond;

        // Unannounced, or announced in the same second, it is nothing.
        let early = watcher.send(sides.court.prove(salt, &proof)).await.unwrap_err();
        assert_eq!(early.revert_name(), Some("NotAnnounced"), "{early}");
        let announce = sides.court.announce(watcher.account(), salt, &proof);
        watcher.send(announce).await.unwrap();
        s.chain().warp(12).await.unwrap();
        // Somebody who saw the announcement cannot use it.
        let thief = sides.outbox(78).await;
        let stolen = thief.send(sides.court.prove(salt, &proof)).await.unwrap_err();
        assert_eq!(stolen.revert_name(), Some("NotAnnounced"), "{stolen}");
        watcher.send(sides.court.prove(salt, &proof)).await.unwrap();

        let view = s.pool(pool.id).await.unwrap();
        assert!(matches!(view.state, PoolState::Convicted(_)), "{view:?}");
        assert_eq!((view.head, view.finalized), (1, 0), "the honest batch stands");
        assert_eq!(view.bond, bond - bond / 2 - bond / 4);
        assert!(sides.court.convicted_at(pool.id).await.unwrap().is_some());
        s.chain().warp(6 * 3600 + 1).await.unwrap();
        let share = court::challenge(watcher.account(), salt, &proof);
        watcher.send(sides.court.share(share)).await.unwrap();
        assert_eq!(s.free_of(watcher.account()).await.unwrap(), bond / 4);
        assert_ne!(watcher.account(), Address::ZERO);
    });
}

#[test]
fn random_batches_are_judged_alike_and_no_lie_about_them_stands() {
    scale::run();
}

#[test]
fn a_signature_in_another_form_counts_on_neither_side() {
    signatures::run();
}

#[test]
fn what_is_not_shown_is_asked_for_and_silence_convicts() {
    silence::run();
}
