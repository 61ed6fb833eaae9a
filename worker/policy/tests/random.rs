//! What holds for whatever happens: random machines, owners and moments, looked at after every step.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use quorate_policy::{
    Asked, Decision, Moment, Policy, Power, Preferences, Presence, Reason, Schedule, Sensed, Wish,
};

/// The shortest time any gate stays shut: a worker that stopped rests for so long at least.
const REST_MS: u64 = 5_000;

fn presence() -> impl Strategy<Value = Presence> {
    prop_oneof![
        Just(Presence::Unknown),
        Just(Presence::NoSession),
        (0..400_000_u64).prop_map(Presence::Idle),
    ]
}

fn power() -> impl Strategy<Value = Power> {
    prop_oneof![
        Just(Power::Mains),
        (0..=100_u8).prop_map(|percent| Power::Battery(Some(percent))),
        (0..=100_u8).prop_map(Power::Charging),
    ]
}

fn sensed() -> impl Strategy<Value = Sensed> {
    let machine = (presence(), prop::option::of(0..=100_u8), power(), prop::option::of(20..110_u8));
    let rest = (any::<bool>(), any::<bool>(), prop::option::of(any::<bool>()), 0..3_usize);
    let sizes =
        (prop::option::of(0..16_u64 << 30), prop::option::of(0..20_u64 << 30), 0..2_000_u64);
    (machine, rest, sizes).prop_map(
        |((presence, load, power, heat), rest, (memory, disk, month))| Sensed {
            presence,
            other_load_percent: load,
            memory_bytes: memory,
            disk_free_bytes: disk,
            power,
            heat_c: heat,
            full_screen: rest.0,
            program: rest.1.then(|| "game".to_owned()),
            metered: rest.2,
            month_bytes: month,
            task_s: Some(month),
            at_hand: rest.3,
        },
    )
}

fn wish() -> impl Strategy<Value = Wish> {
    let asked = prop_oneof![
        6 => Just(Asked::Run),
        1 => Just(Asked::Finish),
        1 => Just(Asked::Pause),
    ];
    (asked, prop::option::of(0..4_000_000_u64))
        .prop_map(|(asked, until_unix_ms)| Wish { asked, until_unix_ms })
}

fn preferences() -> impl Strategy<Value = Preferences> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let numbers = (1..16_u16, 0..=100_u8, 0..=120_u8, 0..=100_u8, 0..1_500_u64);
    let night = prop::bool::weighted(0.2);
    (flags, numbers, night).prop_map(|(flags, (slots, in_use, cpu, load, month), night)| {
        Preferences {
            slots,
            in_use_percent: in_use,
            cpu_percent: cpu,
            load_percent: load,
            month_bytes: month,
            only_idle: flags.0,
            on_battery: flags.1,
            full_screen: flags.2,
            metered: flags.3,
            schedule: if night {
                "Mon-Sun 00:30-06:00".parse().unwrap()
            } else {
                Schedule::always()
            },
            ..Preferences::default()
        }
    })
}

/// Steps of up to two minutes; half of them a second, so that gates have something to count.
fn steps() -> impl Strategy<Value = Vec<(u64, Sensed, Wish)>> {
    let pause = prop_oneof![Just(1_000_u64), 1..120_000_u64];
    prop::collection::vec((pause, sensed(), wish()), 1..60)
}

fn check(prefs: &Preferences, now: Moment, sensed: &Sensed, wish: Wish, decision: &Decision) {
    let Decision { slots, take, ref reason, .. } = *decision;
    assert_eq!(reason.is_some(), slots == 0 || !take, "exactly one reason: {decision:?}");
    assert!(slots <= prefs.slots);
    assert!(
        (1..=100).contains(&decision.cpu_percent)
            && decision.cpu_percent <= prefs.cpu_percent.max(1)
    );
    assert!(!decision.containers || prefs.containers);
    assert!(decision.ask >= prefs.price);
    if wish.at(now.unix_ms) == Asked::Pause {
        assert_eq!((slots, take, reason), (0, false, &Some(Reason::Paused)), "a pause wins");
    }
    if wish.at(now.unix_ms) == Asked::Finish {
        assert!(!take);
    }
    if !prefs.schedule.is_on(now.week_minute) {
        assert_eq!(slots, 0);
    }
    if matches!(sensed.power, Power::Battery(_)) && !prefs.on_battery {
        assert_eq!(slots, 0, "at once");
    }
    let is_there = matches!(sensed.presence, Presence::Unknown)
        || matches!(sensed.presence, Presence::Idle(ms) if ms < prefs.idle_ms);
    if is_there {
        let most = (u32::from(prefs.slots) * u32::from(prefs.in_use_percent)).div_ceil(100);
        assert!(u32::from(slots) <= most, "somebody is there: {decision:?}");
        assert!(slots == 0 || !prefs.only_idle);
    }
    if let Some(memory) = sensed.memory_bytes {
        let percent =
            if is_there { prefs.memory_in_use_percent } else { prefs.memory_idle_percent };
        let allowed = u128::from(memory) * u128::from(percent) / 100;
        assert!(u128::from(slots) * u128::from(prefs.slot_memory_bytes) <= allowed);
    }
    if prefs.month_bytes > 0 && sensed.month_bytes >= prefs.month_bytes {
        assert!(!take);
    }
    let words = decision.reason.as_ref().map(|reason| (reason.words(), reason.hint()));
    assert!(words.is_none_or(|(words, hint)| !words.is_empty() && !hint.is_empty()));
}

/// What the owner or the calendar says takes effect at once; everything else has hysteresis.
fn by_itself(reason: &Option<Reason>) -> bool {
    !matches!(
        reason,
        None | Some(
            Reason::Paused
                | Reason::Finished
                | Reason::Finishing
                | Reason::Schedule
                | Reason::Memory
        )
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn limits_hold_and_reasons_are_there(prefs in preferences(), steps in steps()) {
        let mut policy = Policy::new(prefs.clone());
        let mut now = Moment::default();
        for (pause, sensed, wish) in steps {
            now.mono_ms += pause;
            now.unix_ms += pause;
            now.week_minute = (now.unix_ms / 60_000 % (7 * 24 * 60)) as u16;
            let decision = policy.decide(now, &sensed, wish);
            check(&prefs, now, &sensed, wish, &decision);
        }
    }

    #[test]
    fn nothing_resumes_before_its_hysteresis(prefs in preferences(), steps in steps()) {
        let prefs = Preferences { schedule: Schedule::always(), month_bytes: 0, ..prefs };
        let mut policy = Policy::new(prefs);
        let mut now = Moment::default();
        let mut stopped: Option<u64> = None;
        for (pause, sensed, _) in steps {
            // Memory and disk are not what flaps here.
            let sensed = Sensed { memory_bytes: None, disk_free_bytes: None, ..sensed };
            now.mono_ms += pause;
            now.unix_ms += pause;
            let decision = policy.decide(now, &sensed, Wish::default());
            if decision.slots == 0 && by_itself(&decision.reason) {
                stopped.get_or_insert(now.mono_ms);
            } else if let Some(since) = stopped.take() {
                let rested = now.mono_ms - since;
                prop_assert!(rested >= REST_MS, "resumed after {rested} ms");
            }
        }
    }

    /// Whoever looks again when told to misses nothing: the answer is that of looking each second.
    #[test]
    fn looking_when_told_to_is_enough(prefs in preferences(), sensed in sensed()) {
        let prefs = Preferences { schedule: Schedule::always(), ..prefs };
        let sensed = Sensed { presence: Presence::NoSession, ..sensed };
        let (mut often, mut seldom) = (Policy::new(prefs.clone()), Policy::new(prefs));
        let mut now = Moment::default();
        let mut due = 0;
        let mut said = None;
        for _ in 0..400 {
            let every = often.decide(now, &sensed, Wish::default());
            if now.mono_ms >= due {
                said = Some(seldom.decide(now, &sensed, Wish::default()));
                due = seldom.look_again_ms(now).map_or(u64::MAX, |ms| now.mono_ms + ms);
            }
            prop_assert_eq!(Some(every), said.clone());
            now.mono_ms += 1_000;
            now.unix_ms += 1_000;
        }
    }
}
