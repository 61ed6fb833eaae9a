//! `quorate verify`: a folder that holds, and every way to spoil one.

use crate::{
    program::Home,
    world::{Ballots::*, World, Wrote},
};
use quorate_client::verify::{self, Anchors, Options, Report};
use quorate_common::{
    B256,
    messages::{Domain, Message as _},
};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Three tasks in two batches: accepted against a liar, given up, accepted against a mute one.
fn world() -> World {
    let mut world = World::new(vec![
        Wrote { stdout: "M7 is prime\n", files: vec![("a/b.txt", "x"), ("empty", "")] },
        Wrote::default(),
        Wrote { stdout: "", files: vec![("stdout", "not standard output")] },
    ]);
    world.settle(0, &[Honest, Liar, Honest, Honest]);
    world.settle(1, &[Honest, Liar]);
    world.close();
    world.settle(2, &[Mute, Honest, Honest]);
    world.close();
    world
}

fn folder() -> (tempfile::TempDir, World) {
    let (dir, world) = (tempfile::tempdir().unwrap(), world());
    world.write(dir.path());
    (dir, world)
}

fn check(dir: &Path) -> Report {
    verify::directory(dir, &Options::default()).unwrap()
}

/// File and check of every fault.
fn faults(dir: &Path) -> Vec<(String, String)> {
    check(dir).faults.into_iter().map(|fault| (fault.file, fault.check)).collect()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(self::files(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

#[test]
fn an_honest_folder_holds() {
    let (dir, world) = folder();
    let report = check(dir.path());
    assert_eq!(report.faults, []);
    assert!(report.ok);
    assert_eq!((report.order, report.domain), (Some(world.order()), Some(world.domain)));
    assert_eq!((report.tasks, report.receipts, report.accepted, report.failed), (3, 3, 2, 1));
    assert_eq!((report.votes, report.dissents, report.missing), (9, 2, 0));
    assert_eq!(report.files, 4 + 2);
    assert_eq!(report.batches.iter().map(|batch| batch.index).collect::<Vec<_>>(), [1, 2]);
}

/// Every byte of every file, one or two of its bits: one that changes a digit, and where there is a
/// letter, the one that changes only its case. The fault must name the file.
#[test]
fn one_flipped_bit_anywhere_is_found() {
    let mut world =
        World::new(vec![Wrote { stdout: "7\n", files: vec![("empty", ""), ("f", "x")] }]);
    world.settle(0, &[Honest, Liar, Honest, Honest]);
    world.close();
    let dir = tempfile::tempdir().unwrap();
    world.write(dir.path());
    assert_eq!(check(dir.path()).faults, []);
    let (mut flips, mut checks) = (0, BTreeSet::new());
    for path in files(dir.path()) {
        let name = path.strip_prefix(dir.path()).unwrap().to_str().unwrap().to_owned();
        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            for bit in [0x01, 0x20] {
                if bit == 0x20 && !bytes[at].is_ascii_alphabetic() {
                    continue;
                }
                let mut flipped = bytes.clone();
                flipped[at] ^= bit;
                fs::write(&path, &flipped).unwrap();
                let report = check(dir.path());
                let named = report.faults.iter().find(|fault| fault.file == name);
                let fault = named.unwrap_or_else(|| {
                    panic!("{name}: byte {at} ^ {bit:#x} is not named: {:?}", report.faults)
                });
                assert!(!report.ok && !fault.check.is_empty() && !fault.message.is_empty());
                checks.insert(fault.check.clone());
                flips += 1;
            }
        }
        fs::write(&path, &bytes).unwrap();
    }
    assert!(check(dir.path()).ok, "restored");
    println!("{flips} flips found by {} checks: {checks:?}", checks.len());
    for expected in [
        "canonical form",
        "order signature",
        "bag digest",
        "anchor",
        "result digest",
        "file digest",
        "votes hash",
        "header hash",
    ] {
        assert!(checks.contains(expected), "{expected} found nothing: {checks:?}");
    }
}

#[test]
fn a_byte_more_or_less_is_found() {
    let (dir, _) = folder();
    for path in files(dir.path()) {
        let name = path.strip_prefix(dir.path()).unwrap().to_str().unwrap().to_owned();
        let bytes = fs::read(&path).unwrap();
        for changed in
            [[&bytes[..], b"\n"].concat(), bytes[..bytes.len().saturating_sub(1)].to_vec(), vec![]]
        {
            if changed == bytes {
                continue;
            }
            fs::write(&path, changed).unwrap();
            assert!(faults(dir.path()).iter().any(|(file, _)| *file == name), "{name}");
        }
        fs::remove_file(&path).unwrap();
        let found = faults(dir.path());
        let receipt = name.starts_with("receipts/");
        let result = name.replace("receipts", "results").replace(".json", "");
        assert!(
            found.iter().any(|(file, _)| *file == name || (receipt && *file == result)),
            "{name}: {found:?}"
        );
        fs::write(&path, bytes).unwrap();
    }
    assert!(check(dir.path()).ok);
}

#[test]
fn what_nobody_names_is_found() {
    let (dir, _) = folder();
    let put = |name: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        path
    };
    for name in [
        "x",
        "results/00000/files/more",
        "results/00001/manifest",
        "results/00003/manifest",
        "receipts/00003.json",
        "receipts/0.json",
        "results/00000/stdout2",
    ] {
        let path = put(name);
        assert!(faults(dir.path()).contains(&(name.into(), "unexpected file".into())), "{name}");
        fs::remove_file(&path).unwrap();
        // Folders that were made for it are one too many as well.
        while fs::remove_dir(path.parent().unwrap()).is_ok() {}
        assert!(check(dir.path()).ok, "{name}: {:?}", faults(dir.path()));
    }
    let path = put(".partial/0");
    assert!(faults(dir.path()).contains(&(".partial/0".into(), "unfinished".into())));
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
    fs::create_dir(dir.path().join("hollow")).unwrap();
    assert_eq!(faults(dir.path()), [("hollow".into(), "unexpected file".into())]);
    fs::remove_dir(dir.path().join("hollow")).unwrap();
    let stdout = dir.path().join("results/00000/stdout");
    let kept = dir.path().join("results/00000/kept");
    fs::rename(&stdout, &kept).unwrap();
    std::os::unix::fs::symlink(&kept, &stdout).unwrap();
    assert!(faults(dir.path()).contains(&("results/00000/stdout".into(), "kind".into())));
}

#[test]
fn receipts_are_of_their_task_and_order() {
    let (dir, _) = folder();
    let (first, last) =
        (dir.path().join("receipts/00000.json"), dir.path().join("receipts/00002.json"));
    let bytes = fs::read(&first).unwrap();
    fs::copy(&last, &first).unwrap();
    assert!(faults(dir.path()).contains(&("receipts/00000.json".into(), "task index".into())));
    fs::write(&first, bytes).unwrap();

    let mut other = World::new(vec![Wrote { stdout: "M7 is prime\n", ..Wrote::default() }]);
    other.settle(0, &[Honest, Honest, Honest]);
    other.close();
    fs::write(&first, other.receipts()[&0].to_json()).unwrap();
    // Its batch is not among the anchors; with its batch among them, the order is another.
    assert!(faults(dir.path()).contains(&("receipts/00000.json".into(), "header hash".into())));
    let roots =
        world().headers().into_iter().chain(other.headers()).map(|header| header.struct_hash());
    let anchors = Some(Anchors { domain: other.domain, roots: roots.collect() });
    let report = verify::directory(dir.path(), &Options { anchors, partial: false }).unwrap();
    assert!(
        report
            .faults
            .iter()
            .any(|fault| fault.file == "receipts/00000.json" && fault.check == "order"),
        "{report:?}"
    );
}

#[test]
fn missing_tasks_are_said_and_can_be_allowed() {
    let (dir, world) = folder();
    fs::remove_file(dir.path().join("receipts/00001.json")).unwrap();
    assert_eq!(faults(dir.path()), [("receipts/00001.json".into(), "complete".into())]);
    let report =
        verify::directory(dir.path(), &Options { partial: true, ..Options::default() }).unwrap();
    assert!(report.ok && report.missing == 1, "{report:?}");
    // A result whose receipt is gone is never allowed.
    fs::remove_file(dir.path().join("receipts/00002.json")).unwrap();
    let report =
        verify::directory(dir.path(), &Options { partial: true, ..Options::default() }).unwrap();
    assert!(report.faults.iter().any(|fault| fault.check == "receipt"), "{report:?}");
    drop(world);
}

#[test]
fn anchors_from_elsewhere_decide() {
    let (dir, world) = folder();
    let roots: Vec<B256> = world.headers().iter().map(|header| header.struct_hash()).collect();
    let check = |domain: Domain, roots: &[B256]| {
        let anchors = Some(Anchors { domain, roots: roots.to_vec() });
        let report = verify::directory(dir.path(), &Options { anchors, partial: false }).unwrap();
        report.faults.into_iter().map(|fault| (fault.file, fault.check)).collect::<Vec<_>>()
    };
    assert_eq!(check(world.domain, &roots), []);
    let found = check(world.domain, &roots[..1]);
    assert!(found.contains(&("receipts/00002.json".into(), "header hash".into())), "{found:?}");
    assert!(found.contains(&("anchor.json".into(), "anchor".into())), "{found:?}");
    let other = Domain { chain_id: 1, ..world.domain };
    let found = check(other, &roots);
    assert!(found.contains(&("order.json".into(), "domain".into())), "{found:?}");
    assert!(found.contains(&("receipts/00000.json".into(), "domain".into())), "{found:?}");
    fs::remove_file(dir.path().join("anchor.json")).unwrap();
    assert_eq!(check(world.domain, &roots), []);
}

#[test]
fn the_program_says_what_it_found() {
    let (dir, world) = folder();
    let (home, path) = (Home::new(), dir.path().to_str().unwrap());
    let ran = home.run(&["verify", path]).expect(0);
    for line in [
        "3 of 3 hold: 2 accepted, 1 failed, 9 votes, 2 dissenting",
        "every byte is proven",
        "anchor.json; compare them with the chain",
    ] {
        assert!(ran.stdout.contains(line), "{ran:?}");
    }
    let report = home.run(&["verify", path, "--json"]).expect(0).json();
    assert_eq!(
        (&report["ok"], &report["schema"]),
        (&true.into(), &"quorate.verification/v1".into())
    );
    let roots: Vec<String> =
        world.headers().iter().map(|header| header.struct_hash().to_string()).collect();
    let contract = world.domain.contract.to_string();
    let known =
        ["verify", path, "--chain-id", "31337", "--contract", &contract, "--root", &roots[0]];
    let ran = home.run(&[&known[..], &["--root", &roots[1]]].concat()).expect(0);
    assert!(ran.stdout.contains("the command line"), "{ran:?}");
    home.run(&known).expect(10);

    fs::write(dir.path().join("results/00000/stdout"), "M8 is prime\n").unwrap();
    let ran = home.run(&["verify", path]).expect(10);
    assert!(
        ran.stderr.starts_with("error: results/00000/stdout: file digest: has sha256"),
        "{ran:?}"
    );
    let ran = home.run(&["verify", path, "--json"]).expect(10);
    assert_eq!(ran.json()["faults"][0]["file"], "results/00000/stdout");
    assert_eq!(ran.error()["code"], "failed");
    home.run(&["verify", "/no/such/folder"]).expect(3);
    home.run(&["verify", path, "--root", &roots[0]]).expect(2);
    home.run(&["verify", home.path().to_str().unwrap()]).expect(10);
}
