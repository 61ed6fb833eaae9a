//! Attacks on updates, by name: each is what somebody between publisher and worker, or with some of the
//! publisher's keys, could try. The rules are asked directly; `install.rs` asks the whole updater.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/publisher.rs"]
mod publisher;

use publisher::{DAY, NOW, Publisher, me, version};
use quorate_update::rules::{
    Document, Effect, Fault, Input, Mode, Notice, Refusal, Release, Root, State,
};

fn state(publisher: &Publisher) -> State {
    publisher.state()
}

/// What the state says of the offer, or why not.
fn look(state: &mut State, now: u64, release: &Document) -> Result<Vec<Effect>, Refusal> {
    state.look(now, &me("0.1.0", Mode::Tell), &[], release)
}

fn is_newer(effects: &[Effect], text: &str) -> bool {
    let is_it = |effect: &Effect| match effect {
        Effect::Tell(Notice::Newer(offer)) => offer.version == version(text),
        Effect::Tell(_) | Effect::Fetch(..) | Effect::Switch | Effect::Run { .. } => false,
    };
    effects.iter().any(is_it)
}

#[test]
fn two_of_three_keys_make_a_release_and_one_stolen_key_does_not() {
    let publisher = Publisher::new();
    let mut state = state(&publisher);
    let release = publisher.release("0.2.0", 1);
    let body = Document { signatures: Vec::new(), ..publisher.sign(&release, &[0]) };
    for (keys, have) in [(&[][..], 0), (&[0][..], 1), (&[2][..], 1)] {
        let refused = look(&mut state, NOW, &publisher.sign(&release, keys));
        assert_eq!(refused, Err(Refusal::TooFew { what: "release", have, need: 2 }));
    }
    for keys in [[0, 1], [1, 2], [0, 2]] {
        let shown = look(&mut state, NOW, &publisher.sign(&release, &keys)).unwrap();
        assert!(is_newer(&shown, "0.2.0"));
    }
    assert_eq!(body.signers(Release::SCHEMA).len(), 0);
}

#[test]
fn one_key_twice_a_strangers_key_and_another_purpose_are_no_second_signature() {
    let publisher = Publisher::new();
    let mut state = state(&publisher);
    let release = publisher.release("0.2.0", 1);
    let one = Err(Refusal::TooFew { what: "release", have: 1, need: 2 });
    let mut twice = publisher.sign(&release, &[0]);
    twice.signatures.push(twice.signatures[0].clone());
    assert_eq!(look(&mut state, NOW, &twice), one);
    let mut stranger = publisher.sign(&release, &[0]);
    stranger.sign(Release::SCHEMA, &publisher::key(99));
    assert_eq!(look(&mut state, NOW, &stranger), one);
    // What a holder of a key signed as a root is no release, and none of the bytes may differ.
    let mut purpose = publisher.sign(&release, &[0]);
    purpose.sign(Root::SCHEMA, &publisher.keys[1]);
    assert_eq!(look(&mut state, NOW, &purpose), one);
    let mut changed = publisher.sign(&release, &[0, 1]);
    changed.body = changed.body.replace("0.2.0", "0.3.0");
    assert_eq!(
        look(&mut state, NOW, &changed),
        Err(Refusal::TooFew { what: "release", have: 0, need: 2 })
    );
}

#[test]
fn rollback_to_an_older_signed_release_is_refused_and_named() {
    let publisher = Publisher::new();
    let mut state = state(&publisher);
    let old = publisher.signed("0.2.0", 7);
    let new = publisher.signed("0.3.0", 8);
    assert!(is_newer(&look(&mut state, NOW, &new).unwrap(), "0.3.0"));
    let refused = look(&mut state, NOW, &old).unwrap_err();
    let channel = "stable".to_owned();
    assert_eq!(refused, Refusal::Rollback { channel, shown: 7, seen: 8 });
    assert!(refused.to_string().contains("somebody may be rolling it back"), "{refused}");
    // A restart does not forget.
    let text = serde_json::to_string(&state).unwrap();
    let mut again: State = serde_json::from_str(&text).unwrap();
    assert_eq!(look(&mut again, NOW, &old), Err(refused));
    assert!(is_newer(&look(&mut again, NOW, &new).unwrap(), "0.3.0"));
}

#[test]
fn an_older_version_under_a_newer_number_is_not_installed() {
    let publisher = Publisher::new();
    let mut state = state(&publisher);
    let me = me("0.3.0", Mode::Apply);
    let effects = state.look(NOW, &me, &[], &publisher.signed("0.2.9", 9)).unwrap();
    assert_eq!((effects, state.offer), (Vec::new(), None));
}

#[test]
fn two_releases_under_one_number_are_both_refused_from_then_on() {
    let publisher = Publisher::new();
    let mut state = state(&publisher);
    look(&mut state, NOW, &publisher.signed("0.2.0", 5)).unwrap();
    let refused = look(&mut state, NOW, &publisher.signed("0.2.1", 5)).unwrap_err();
    assert_eq!(refused, Refusal::TwoFaced { channel: "stable".into(), sequence: 5 });
}

#[test]
fn freeze_an_expired_release_served_for_ever_is_refused_with_its_age() {
    let publisher = Publisher::new();
    let mut state = state(&publisher);
    let release = publisher.signed("0.2.0", 1);
    look(&mut state, NOW + 29 * DAY, &release).unwrap();
    let refused = look(&mut state, NOW + 33 * DAY, &release).unwrap_err();
    assert_eq!(refused, Refusal::Expired { what: "release", days: 3 });
    assert!(refused.to_string().contains("may be frozen"), "{refused}");
    // What was offered before is not installed late either.
    let error = state.handle(NOW + 33 * DAY, Input::Apply).unwrap_err();
    assert!(error.to_string().contains("has expired; check again"), "{error}");
}

#[test]
fn a_clock_set_back_revives_nothing() {
    let publisher = Publisher::new();
    let mut state = state(&publisher);
    let release = publisher.signed("0.2.0", 1);
    assert!(look(&mut state, NOW + 40 * DAY, &release).is_err());
    let refused = look(&mut state, NOW, &release).unwrap_err();
    assert_eq!(refused, Refusal::Expired { what: "release", days: 10 });
    // A fresh one is taken, and the owner hears that the clock is wrong.
    let mut fresh = publisher.release("0.3.0", 2);
    (fresh.created_unix, fresh.expires_unix) = (NOW + 39 * DAY, NOW + 60 * DAY);
    let effects = look(&mut state, NOW, &publisher.sign(&fresh, &[0, 1])).unwrap();
    let back = Effect::Tell(Notice::Clock(Refusal::ClockBack { days: 40 }));
    assert_eq!(effects[0], back);
    assert!(is_newer(&effects, "0.3.0"));
    // If it was wrong before, the owner says so.
    state.trust_clock(NOW);
    assert_eq!(state.latest_unix, NOW);
}

#[test]
fn what_the_keys_have_signed_is_a_clock_too() {
    let publisher = Publisher::new();
    let mut state = state(&publisher);
    let mut root = publisher.root.clone();
    root.expires_unix = NOW - 2 * DAY;
    state.root = root;
    // The machine thinks it is a year ago; the release says it is not.
    let refused = look(&mut state, NOW - 365 * DAY, &publisher.signed("0.2.0", 1)).unwrap_err();
    assert_eq!(refused, Refusal::Expired { what: "root", days: 1 });
}

#[test]
fn mix_and_match_a_release_of_another_product_or_channel_is_refused() {
    let publisher = Publisher::new();
    let mut state = state(&publisher);
    let mut release = publisher.release("0.2.0", 1);
    release.product = "quorate-scheduler".into();
    let refused = look(&mut state, NOW, &publisher.sign(&release, &[0, 1])).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the release is for product `quorate-scheduler`; expected `quorate-worker`"
    );
    let mut release = publisher.release("0.2.0", 1);
    release.channel = "beta".into();
    let refused = look(&mut state, NOW, &publisher.sign(&release, &[0, 1])).unwrap_err();
    assert!(matches!(refused, Refusal::Other { field: "channel", .. }), "{refused}");
    assert!(state.seen.is_empty(), "a foreign release moves no number");
}

#[test]
fn endless_and_absurd_documents_are_refused_before_they_are_believed() {
    let publisher = Publisher::new();
    let bytes = vec![b' '; 70_000];
    assert_eq!(
        Document::parse(&bytes, 65_536),
        Err(Refusal::TooLong { what: "document", most: 65_536 })
    );
    let mut many = publisher.signed("0.2.0", 1);
    many.signatures = vec![many.signatures[0].clone(); 33];
    let bytes = serde_json::to_vec(&many).unwrap();
    assert!(Document::parse(&bytes, 1 << 20).is_err());
    let mut state = state(&publisher);
    let absurd: [fn(&mut Release); 5] = [
        |release| release.share = 1001,
        |release| release.expires_unix += 100 * DAY,
        |release| release.expires_unix = release.created_unix - 1,
        |release| release.version = version("0.2.0+build"),
        |release| release.artefacts.values_mut().for_each(|file| file.bytes = 1 << 40),
    ];
    for change in absurd {
        let mut release = publisher.release("0.2.0", 1);
        change(&mut release);
        let refused = look(&mut state, NOW, &publisher.sign(&release, &[0, 1])).unwrap_err();
        assert!(matches!(refused, Refusal::Malformed { .. }), "{refused}");
    }
}

#[test]
fn a_root_hands_over_to_the_next_only_with_its_own_keys_and_in_order() {
    let publisher = Publisher::new();
    let mut state = state(&publisher);
    let me = me("0.1.0", Mode::Tell);
    // Key 0 is stolen: keys 1 and 2 replace it by key 3.
    let next = publisher.root_of(2, &[1, 2, 3]);
    let release = publisher.release("0.2.0", 1);
    let signed = publisher.sign(&release, &[1, 3]);
    let refused = state.look(NOW, &me, &[], &signed).unwrap_err();
    assert_eq!(refused, Refusal::TooFew { what: "release", have: 1, need: 2 });
    let thief = publisher.sign_root(&next, &[0, 3]);
    assert!(state.look(NOW, &me, &[thief], &signed).is_err());
    let skipped = publisher.sign_root(&publisher.root_of(3, &[1, 2, 3]), &[1, 2]);
    assert_eq!(
        state.look(NOW, &me, &[skipped], &signed),
        Err(Refusal::Succession { offered: 3, trusted: 1 })
    );
    let good = publisher.sign_root(&next, &[1, 2]);
    assert!(is_newer(&state.look(NOW, &me, &[good], &signed).unwrap(), "0.2.0"));
    // The stolen key counts no more, not even beside a good one.
    let release = publisher.release("0.3.0", 2);
    let stolen = publisher.sign(&release, &[0, 1]);
    assert!(matches!(state.look(NOW, &me, &[], &stolen), Err(Refusal::TooFew { have: 1, .. })));
}

#[test]
fn a_root_must_want_two_keys_that_it_has() {
    let publisher = Publisher::new();
    for (keys, threshold) in [(3, 1), (3, 0), (1, 2), (17, 2)] {
        let mut root = publisher.root_of(1, &[0, 1, 2]);
        root.keys = (0..keys).map(|n| publisher::key(n).public()).collect();
        root.threshold = threshold;
        let refused = Root::first(&publisher.sign_root(&root, &[0, 1, 2])).unwrap_err();
        assert!(matches!(refused, Refusal::Malformed { what: "root", .. }), "{refused}");
    }
    let alone = publisher.sign_root(&publisher.root, &[0]);
    assert!(matches!(Root::first(&alone), Err(Refusal::TooFew { have: 1, .. })));
}

#[test]
fn two_stolen_keys_can_shut_nobody_out_for_ever() {
    let publisher = Publisher::new();
    let mut state = state(&publisher);
    let me = me("0.1.0", Mode::Tell);
    look(&mut state, NOW, &publisher.signed("0.2.0", u64::MAX)).unwrap();
    // Two keys are gone, so the third and whoever still has one of them hand over to new keys.
    let next = publisher.sign_root(&publisher.root_of(2, &[2, 3, 4]), &[1, 2, 3]);
    let release = publisher.sign(&publisher.release("0.2.1", 1), &[3, 4]);
    assert!(is_newer(&state.look(NOW, &me, &[next], &release).unwrap(), "0.2.1"));
}

#[test]
fn a_staged_rollout_asks_each_machine_once_and_nobody_else_knows_whom() {
    let publisher = Publisher::new();
    let mut early = 0;
    for n in 0..200 {
        let me = publisher::me_with(&publisher::key(n), "0.1.0", Mode::Apply);
        let place = me.place(&version("0.2.0"));
        assert!(place < 1000);
        early += u32::from(place < 100);
        let mut release = publisher.release("0.2.0", 1);
        release.share = place;
        let mut state = state(&publisher);
        let before = state.look(NOW, &me, &[], &publisher.sign(&release, &[0, 1])).unwrap();
        assert!(is_newer(&before, "0.2.0") && before.len() == 1, "told, not fetched");
        (release.share, release.sequence) = (place + 1, 2);
        let after = state.look(NOW, &me, &[], &publisher.sign(&release, &[0, 1])).unwrap();
        assert!(matches!(after[1], Effect::Fetch(..)), "{after:?}");
    }
    assert!((5..=40).contains(&early), "{early} of 200 are among the first tenth");
}

#[test]
fn nothing_is_done_that_the_owner_did_not_allow() {
    let publisher = Publisher::new();
    for (mode, steps) in [(Mode::Tell, 1), (Mode::Stage, 2), (Mode::Apply, 2)] {
        let mut state = state(&publisher);
        let release = publisher.signed("0.2.0", 1);
        let effects = state.look(NOW, &me("0.1.0", mode), &[], &release).unwrap();
        assert_eq!(effects.len(), steps, "{mode:?}: {effects:?}");
        state.handle(NOW, Input::Staged(version("0.2.0"))).unwrap();
        let effects = state.look(NOW, &me("0.1.0", mode), &[], &release).unwrap();
        assert_eq!(effects.contains(&Effect::Switch), mode == Mode::Apply, "{effects:?}");
    }
    // A release that may not follow this version, or has no file for this machine, is only told.
    let mut state = state(&publisher);
    let mut release = publisher.release("0.9.0", 1);
    release.from = version("0.5.0");
    let signed = publisher.sign(&release, &[0, 1]);
    assert_eq!(state.look(NOW, &me("0.1.0", Mode::Apply), &[], &signed).unwrap().len(), 1);
    release.artefacts.clear();
    let signed = publisher.sign(&Release { sequence: 2, ..release }, &[0, 1]);
    assert_eq!(state.look(NOW, &me("0.6.0", Mode::Apply), &[], &signed).unwrap().len(), 1);
}

#[test]
fn a_bad_version_is_not_tried_again_but_the_next_one_is() {
    let publisher = Publisher::new();
    let mut state = state(&publisher);
    publisher.on_trial(&mut state, "0.2.0", 1);
    let effects = state.handle(NOW, Input::Failed(version("0.2.0"), Fault::Died)).unwrap();
    let gone = Notice::GivenUp(version("0.2.0"), Fault::Died, None);
    assert_eq!(effects, [Effect::Tell(gone)]);
    let me = me("0.1.0", Mode::Apply);
    let again = state.look(NOW + 29 * DAY, &me, &[], &publisher.signed("0.2.0", 1)).unwrap();
    assert_eq!(again.len(), 1, "{again:?}");
    let next = state.look(NOW + 29 * DAY, &me, &[], &publisher.signed("0.2.1", 2)).unwrap();
    assert!(matches!(next[1], Effect::Fetch(..)), "{next:?}");
}

#[test]
fn a_silent_version_may_be_the_networks_fault_three_times() {
    let publisher = Publisher::new();
    let mut state = state(&publisher);
    for day in 0..3 {
        let now = NOW + day * (DAY + 1);
        publisher.on_trial_at(now, &mut state, "0.2.0", 1);
        state.handle(now, Input::Failed(version("0.2.0"), Fault::Silent)).unwrap();
        assert!(state.is_bad(now + DAY - 1, &version("0.2.0")));
        assert_eq!(state.is_bad(now + DAY, &version("0.2.0")), day == 2);
    }
}
