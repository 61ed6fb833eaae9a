//! A scheduler that does not show sets or does not take reveals: what the worker keeps, and what it says
//! on chain.

use crate::world::{World, deal, separator, task};
use quorate_agent::Input;
use quorate_common::{
    B256,
    anchor::SLACK_S,
    frame::FrameTree,
    ids::PoolId,
    keccak256,
    merkle::{self, SET_DEPTH},
    messages::{CommitSet, Message as _, Word as _},
    word::Said,
};

/// A worker whose commit was acknowledged, and the second its assignment gives it to reveal.
fn acked() -> (World, u64) {
    let mut world = World::connected(1);
    let t = task(0, 1);
    world.work(t);
    world.ack(t);
    let ends = world.agent.kept().next().unwrap().1.reveal_deadline;
    world.trace.clear();
    (world, ends)
}

fn shown(world: &World, reveal_deadline: u64) -> Input {
    let task_id = deal(0).id.task_id(1);
    let root = B256::repeat_byte(7);
    let set = CommitSet { pool: PoolId(1), task_id, attempt: 0, root, n: 2, reveal_deadline };
    let tree = FrameTree::new(&[set.struct_hash()]);
    let digest = separator().digest(tree.struct_hash());
    Input::SetShown { set, proof: tree.proof(0, world.signer.sign(digest)) }
}

#[test]
fn every_word_of_the_scheduler_is_kept() {
    let (mut world, _) = acked();
    world.set(task(0, 1), 1);
    world.reveal_ack(task(0, 1));
    let kinds: Vec<&str> = world
        .words
        .iter()
        .map(|said| match said {
            Said::Assign(_) => "assign",
            Said::CommitAck(_) => "commit ack",
            Said::CommitSet(_) => "set",
            Said::RevealAck(_) => "reveal ack",
        })
        .collect();
    assert_eq!(kinds, ["assign", "commit ack", "set", "reveal ack"]);
    let id = deal(0).id.task_id(1);
    assert!(world.words.iter().all(|said| said.task_id() == id));
    // And our own vote, with what proves that the set holds it.
    let [vote] = world.votes.as_slice() else { panic!("{:?}", world.votes) };
    let Some(Said::CommitSet(set)) = world.words.iter().find(|w| matches!(w, Said::CommitSet(_)))
    else {
        panic!("{:?}", world.words)
    };
    assert_eq!((vote.reveal.task_id, vote.reveal.set_root), (id, set.root));
    let (digest, salt) = (vote.reveal.digest, vote.reveal.salt);
    let commitment = separator().commitment(id, vote.reveal.attempt, vote.worker, digest, salt);
    let leaf = keccak256([vote.worker.word(), commitment.0].as_flattened());
    assert!(merkle::proves(set.root, SET_DEPTH, leaf, vote.place.into(), &vote.path));
}

#[test]
fn a_set_that_is_never_shown_is_demanded_once_and_answered_on_chain() {
    let (mut world, ends) = acked();
    world.pass_to(ends - 1);
    assert!(!world.trace.contains("demand"), "{}", world.trace);
    world.pass_to(ends + 30);
    assert_eq!(world.trace.matches("demand set of round 0").count(), 1, "{}", world.trace);
    let deadline = ends + 2 * SLACK_S;
    let answer = shown(&world, deadline);
    world.expect_reveal(task(0, 1), B256::repeat_byte(7));
    world.input("answer", answer);
    assert!(world.trace.contains("force reveal of round 0, reveal 0/1"), "{}", world.trace);
}

#[test]
fn a_demand_that_would_not_count_is_not_made() {
    let (mut world, ends) = acked();
    world.now.unix_ms += (ends + SLACK_S + 1) * 1000 - world.now.unix_ms;
    world.now.mono_ms += (180 + SLACK_S + 1) * 1000;
    world.input("tick", Input::Tick);
    assert!(!world.trace.contains("demand"), "{}", world.trace);
}

#[test]
fn a_calendar_that_is_days_ahead_at_a_start_costs_no_seal_and_no_escape() {
    let (mut world, ends) = acked();
    let right_ms = world.now.unix_ms;
    world.now.unix_ms += 3 * 86_400_000;
    world.restart();
    world.input("tick", Input::Tick);
    world.later(1_000);
    world.input("tick", Input::Tick);
    assert_eq!(world.agent.kept().count(), 1, "given up by a wrong clock: {}", world.trace);
    assert!(!world.trace.contains("demand"), "{}", world.trace);
    // The scheduler says what time it is, and does not show the set.
    world.now.unix_ms = right_ms + 1_000;
    world.connect();
    world.pass_to(ends + 1);
    assert_eq!(world.trace.matches("demand set of round 0").count(), 1, "{}", world.trace);
}

#[test]
fn an_answer_nobody_asked_for_or_that_is_over_changes_nothing() {
    let (mut world, ends) = acked();
    let answer = shown(&world, ends + 600);
    world.input("unasked", answer);
    world.pass_to(ends + 30);
    let late = shown(&world, ends + 1);
    world.input("late", late);
    assert!(!world.trace.contains("force"), "{}", world.trace);
}

#[test]
fn a_reveal_nobody_takes_is_said_on_chain_before_its_deadline() {
    let (mut world, _) = acked();
    world.set(task(0, 1), 1);
    let ends = world.agent.kept().next().unwrap().1.reveal_deadline;
    world.pass_to(ends - 1);
    assert_eq!(world.trace.matches("force reveal of round 0").count(), 1, "{}", world.trace);
}

#[test]
fn a_reveal_that_was_acknowledged_is_not_said_again() {
    let (mut world, _) = acked();
    world.set(task(0, 1), 1);
    world.reveal_ack(task(0, 1));
    let ends = world.agent.kept().next().unwrap().1.reveal_deadline;
    world.pass_to(ends + 10);
    assert!(!world.trace.contains("force"), "{}", world.trace);
}
