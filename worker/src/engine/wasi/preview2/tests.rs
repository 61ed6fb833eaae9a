//! Preview 2's functions called directly, in whatever order.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use super::held::{Descriptor, HANDLES_MAX, Held};
use super::types::{DescriptorFlags, OpenFlags, PathFlags};
use super::{INTERFACES, offers};
use crate::engine::meter::Halt;
use crate::engine::tree::Fault;
use crate::engine::wasi::errno::Errno;
use crate::engine::wasi::tests::{check, host};
use crate::engine::wasi::{Call, Host};
use proptest::collection::vec;
use proptest::prelude::*;
use wasmtime::component::Resource;

type This = Resource<Descriptor>;

const PATHS: [&str; 10] = ["a", "b", "a/b", "a/a", ".", "..", "b/..", "a/b/c/d", "../a", "/out/a"];

/// What one call does, with two descriptors, two paths and a number.
#[derive(Debug, Clone)]
struct Step {
    call: usize,
    on: usize,
    other: usize,
    path: &'static str,
    to: &'static str,
    number: u64,
}

fn step() -> impl Strategy<Value = Step> {
    let path = || prop::sample::select(PATHS.to_vec());
    let number = prop_oneof![4 => 0..40_000_u64, 1 => any::<u64>(), 1 => Just(u64::MAX)];
    (0..12_usize, 0..8_usize, 0..8_usize, path(), path(), number)
        .prop_map(|(call, on, other, path, to, number)| Step { call, on, other, path, to, number })
}

/// Takes one step, and says how it went. What was opened is put into `held`.
fn take(call: &mut Call<'_>, held: &mut Vec<u32>, step: &Step) -> Result<(), Fault> {
    let at = |index: usize| This::new_own(held[index % held.len()]);
    let (this, path) = (at(step.on), step.path.to_owned());
    match step.call {
        0..=3 => {
            let how = [OpenFlags::CREATE, OpenFlags::DIRECTORY, OpenFlags::TRUNCATE]
                [step.number as usize % 3];
            let flags = DescriptorFlags::READ | DescriptorFlags::WRITE;
            let opened = call.open_at(this, PathFlags::empty(), path, how, flags)?;
            held.push(opened.rep());
        }
        4 => call.create_directory_at(this, path)?,
        5 => call.unlink_file_at(this, path)?,
        6 => call.remove_directory_at(this, path)?,
        7 => call.rename_at(this, path, at(step.other), step.to.to_owned())?,
        8 => drop(call.write_at(&this, &[1; 300], step.number)?),
        9 => call.set_size(this, step.number)?,
        10 => stream(call, this, at(step.other), step.number)?,
        _ => {
            let listing = call.listing(this)?;
            let rep = listing.rep();
            let read = call.entry(listing).map(drop);
            call.let_go(rep)?;
            read?;
        }
    }
    Ok(())
}

/// Splices one file to the end of another, by streams that are dropped again.
fn stream(call: &mut Call<'_>, from: This, to: This, len: u64) -> Result<(), Fault> {
    let source = call.reader(from, len % 100)?;
    let source_rep = source.rep();
    let spliced = call.appender(to).and_then(|sink| {
        let sink_rep = sink.rep();
        let done = call.stream_splice(sink, source, len).map(drop);
        call.let_go(sink_rep)?;
        done
    });
    call.let_go(source_rep)?;
    spliced
}

fn with<R>(host: &mut Host, function: impl FnOnce(&mut Call<'_>) -> R) -> R {
    function(&mut Call { memory: &mut [], host, fuel: 1_000_000 })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// No sequence of calls panics or makes the host hold more than the limits, and the same calls
    /// have the same effect.
    #[test]
    fn any_calls_are_survived_and_repeatable(steps in vec(step(), 1..60)) {
        let (mut host1, mut host2) = (host(), host());
        let roots = |host: &mut Host| -> Vec<u32> {
            let roots = with(host, |call| call.roots()).unwrap();
            roots.iter().map(|(root, _)| root.rep()).collect()
        };
        let (mut held1, mut held2) = (roots(&mut host1), roots(&mut host2));
        for step in steps {
            let done = with(&mut host1, |call| take(call, &mut held1, &step));
            prop_assert_eq!(done, with(&mut host2, |call| take(call, &mut held2, &step)));
            check(&host1);
            if matches!(done, Err(Fault::Halt(_))) {
                break;
            }
        }
        prop_assert_eq!(&held1, &held2);
        for rep in held1 {
            with(&mut host1, |call| call.let_go(rep)).unwrap();
        }
        check(&host1);
        prop_assert_eq!(host1.tree.into_results(), host2.tree.into_results());
    }
}

#[test]
fn places_are_used_again_and_there_are_so_many() {
    let mut host = host();
    with(&mut host, |call| {
        let first = call.hold::<Descriptor>(Held::Network).unwrap().rep();
        call.let_go(first).unwrap();
        assert_eq!(call.let_go(first), Err(Halt::Host), "wasmtime would not have asked twice");
        for n in 0..HANDLES_MAX as u32 {
            assert_eq!(call.hold::<Descriptor>(Held::Network).unwrap().rep(), n);
        }
        assert_eq!(call.hold::<Descriptor>(Held::Network).err(), Some(Halt::Misuse));
        assert_eq!(call.check_room(), Err(Halt::Misuse));
        call.let_go(7).unwrap();
        assert_eq!(call.hold::<Descriptor>(Held::Network).unwrap().rep(), 7);
    });
}

#[test]
fn a_path_is_paid_for_however_long_it_is() {
    let mut host = host();
    let roots = with(&mut host, |call| call.roots()).unwrap();
    let out = || This::new_own(roots[1].0.rep());
    for (len, fuel, expected) in [
        (4_096, 1_000_000, Fault::Errno(Errno::Nametoolong)),
        (4_097, 1_000_000, Fault::Errno(Errno::Nametoolong)),
        (16 << 20, 1_000_000, Fault::Halt(Halt::Fuel)),
        (100, 3_000, Fault::Halt(Halt::Fuel)),
    ] {
        let mut call = Call { memory: &mut [], host: &mut host, fuel };
        let done = call.create_directory_at(out(), "a".repeat(len));
        assert_eq!(done, Err(expected), "{len}");
        assert_eq!(call.fuel, fuel.saturating_sub(300 + 32 * len as u64), "{len}");
    }
    // It has come when it is seen that there is no folder to begin at, or that nobody makes links.
    let create = |call: &mut Call<'_>| {
        call.open_at(
            out(),
            PathFlags::empty(),
            "f".into(),
            OpenFlags::CREATE,
            DescriptorFlags::WRITE,
        )
    };
    let file = with(&mut host, create).unwrap().rep();
    let mut call = Call { memory: &mut [], host: &mut host, fuel: 100_000 };
    let done = call.create_directory_at(This::new_own(file), "a".repeat(100));
    assert_eq!((done, call.fuel), (Err(Fault::Errno(Errno::Notdir)), 100_000 - 3_500));
    let done = call.symlink_at(out(), "a".repeat(50), "b".repeat(50));
    assert_eq!((done, call.fuel), (Err(Fault::Errno(Errno::Notsup)), 100_000 - 7_000));
}

#[test]
fn every_release_of_0_2_is_offered_and_no_other() {
    for interface in INTERFACES {
        for release in ["0.2.0", "0.2.3", "0.2.12"] {
            assert!(offers(&format!("wasi:{interface}@{release}")), "{interface}");
        }
        for release in ["0.1.0", "0.2", "0.2.", "0.2.0-rc", "0.20.0", "0.3.0"] {
            assert!(!offers(&format!("wasi:{interface}@{release}")), "{interface}@{release}");
        }
    }
    assert!(
        !offers("wasi:cli/run@0.2.0") && !offers("wasi:io/streams") && !offers("io/streams@0.2.0")
    );
}
