//! Random lives of an updater: releases of all kinds, owners, launchers, power cuts. What must hold after
//! every step is said once, in [`holds`].
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/publisher.rs"]
#[expect(dead_code, reason = "each test file uses its part of it")]
mod publisher;

use proptest::prelude::*;
use publisher::{DAY, NOW, Publisher, me, version};
use quorate_update::rules::{Effect, Fault, Input, Mode, State};
use semver::Version;

const OWN: &str = "0.1.0";

#[derive(Clone, Debug)]
enum Step {
    /// The source shows this minor version under this number.
    Look(u64, u64, Mode),
    /// What is offered has come, verified.
    Stage,
    Apply,
    RollBack,
    /// The launcher begins, whatever was before: a restart, a power cut.
    Start,
    Up,
    Failed(Fault),
    Days(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let mode = prop_oneof![Just(Mode::Tell), Just(Mode::Stage), Just(Mode::Apply)];
    let fault = prop_oneof![Just(Fault::Died), Just(Fault::Silent), Just(Fault::Tampered)];
    prop_oneof![
        4 => (0_u64..6, 0_u64..12, mode).prop_map(|(v, n, mode)| Step::Look(v, n, mode)),
        3 => Just(Step::Stage),
        3 => Just(Step::Apply),
        1 => Just(Step::RollBack),
        4 => Just(Step::Start),
        3 => Just(Step::Up),
        2 => fault.prop_map(Step::Failed),
        1 => (0_u64..20).prop_map(Step::Days),
    ]
}

/// What runs now, and the versions that died here.
struct Life {
    publisher: Publisher,
    state: State,
    now: u64,
    runs: Option<Version>,
    dead: Vec<Version>,
    owner_insists: bool,
}

impl Life {
    fn running(&self) -> Version {
        self.runs.clone().unwrap_or_else(|| version(OWN))
    }

    fn take(&mut self, step: &Step) {
        let before = self.state.clone();
        let now = self.now;
        let result = match step {
            Step::Look(minor, number, mode) => {
                let mut release = self.publisher.release(&format!("0.{minor}.0"), *number);
                (release.created_unix, release.expires_unix) = (now, now + 10 * DAY);
                let signed = self.publisher.sign(&release, &[0, 2]);
                let me = me(&self.running().to_string(), *mode);
                let looked = self.state.look(now, &me, &[], &signed);
                // The launcher is told later; an automatic switch is not the owner's insistence.
                self.owner_insists &= self.state.wanted == before.wanted;
                looked
            }
            Step::Stage => match &before.offer {
                Some(offer) => self.state.handle(now, Input::Staged(offer.version.clone())),
                None => return,
            },
            Step::Apply => {
                let applied = self.state.handle(now, Input::Apply);
                self.owner_insists |= applied == Ok(vec![Effect::Switch]);
                applied
            }
            Step::RollBack => self.state.handle(now, Input::RollBack),
            Step::Start => self.state.handle(now, Input::Start { own: version(OWN) }),
            Step::Up => self.state.handle(now, Input::CameUp(self.running())),
            Step::Failed(fault) => {
                self.dead.extend(self.runs.clone().filter(|_| *fault == Fault::Died));
                self.state.handle(now, Input::Failed(self.running(), *fault))
            }
            Step::Days(days) => {
                self.now += days * DAY;
                return;
            }
        };
        match result {
            Ok(effects) => self.effects(&effects),
            Err(_) if !matches!(step, Step::Look(..)) => self.unchanged(&before),
            Err(_) => {}
        }
    }

    fn effects(&mut self, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Run { version: run, on_trial } = effect {
                let is_dead = run.as_ref().is_some_and(|run| self.dead.contains(run));
                assert!(!is_dead || self.owner_insists, "{run:?} died here before");
                assert_eq!(*on_trial, self.state.trial.is_some());
                self.runs = run.clone();
                self.owner_insists = false;
                self.dead.retain(|dead| Some(dead) != run.as_ref());
            }
        }
    }

    fn unchanged(&self, before: &State) {
        let State { latest_unix: _, .. } = before;
        let now = State { latest_unix: before.latest_unix, ..self.state.clone() };
        assert_eq!(now, *before, "refused, and yet something changed");
    }

    fn holds(&self) {
        let state = &self.state;
        let current = state.current.iter();
        for version in current.chain(state.trial.iter().filter_map(|trial| trial.back_to.as_ref()))
        {
            assert!(state.kept.contains_key(version), "{version} may run and is not on disk");
            assert!(state.is_needed(version), "{version} may run and would be removed");
            assert!(*version > self::version(OWN), "{version} is older than the installed one");
        }
        if let Some(trial) = &state.trial {
            assert_eq!(state.current.as_ref(), Some(&trial.version));
            assert!(trial.starts <= 3, "{trial:?}");
        }
        // A crash forgets nothing that matters: what is on disk is the state.
        let text = serde_json::to_string(state).unwrap();
        assert_eq!(serde_json::from_str::<State>(&text).unwrap(), *state);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_life_ends_without_a_version_that_runs(steps in prop::collection::vec(step(), 1..60)) {
        let publisher = Publisher::new();
        let state = publisher.state();
        let (runs, dead) = (None, Vec::new());
        let mut life = Life { publisher, state, now: NOW, runs, dead, owner_insists: false };
        for step in &steps {
            life.take(step);
            life.holds();
        }
        // However it got here: four starts later something runs that is no trial any more.
        for _ in 0..4 {
            life.take(&Step::Start);
            life.holds();
        }
        prop_assert!(life.state.trial.is_none());
    }
}

#[test]
fn three_power_cuts_are_forgiven_and_a_fourth_start_goes_back() {
    let publisher = Publisher::new();
    let mut state = publisher.state();
    publisher.on_trial(&mut state, "0.2.0", 1);
    let own = version(OWN);
    for _ in 0..2 {
        let run = state.handle(NOW, Input::Start { own: own.clone() }).unwrap();
        let expected = Effect::Run { version: Some(version("0.2.0")), on_trial: true };
        assert_eq!(run, [expected]);
    }
    let run = state.handle(NOW, Input::Start { own }).unwrap();
    assert_eq!(run[1], Effect::Run { version: None, on_trial: false });
    assert!(state.is_bad(NOW + 300 * DAY, &version("0.2.0")));
}
