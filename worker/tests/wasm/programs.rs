//! Programs that a compiler made, over their whole input, and the bytes and fuel they come to for ever.

use crate::rig::{engine, job, program, run, stdout};
use quorate_common::manifest::Ended;
use quorate_worker::engine::{Job, Module, Run};
use std::time::Instant;

/// A C program that asks everything of its host that C programs may expect; see its source.
const PROBE: &[u8] = include_bytes!("probe.wasm");

fn probe() -> Run {
    let inputs = [("sub/b", "x"), ("a.txt", "first line\n")];
    let inputs = inputs.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())).to_vec();
    let stdin = b"line one\nline two\n".to_vec();
    let job = Job { args: vec!["1".into()], stdin, inputs, ..job() };
    run(&engine().prepare(PROBE).unwrap(), job)
}

#[test]
fn a_c_program_finds_what_it_may_expect() {
    let run = probe();
    let said = String::from_utf8_lossy(stdout(&run));
    assert!(said.ends_with("\n0 failed\n"), "{said}");
    assert_eq!(run.manifest.ended, Ended::Exit(0));
    assert_eq!(run.stderr_tail, "for a person to read\n");
}

/// Workers of two versions vote together as long as their engines have one hash. So either all of
/// this stays as it is, or all of it changes, and the description in `engine/profile.rs` with it.
#[test]
fn results_change_only_when_the_engines_hash_does() {
    assert_eq!(
        hex::encode(engine().hash()),
        "602bb85c94607ec1e0ce414c67969e2b474036fd3022d5f155604b4b5ef92452"
    );
    assert_eq!(
        probe().manifest.encode(),
        "\
         quorate-result/1\n\
         ended exit 0\n\
         fuel 6828588\n\
         stdout 229 ce6da734dcd85f9f51740ff7f904b5e1e306e3b462d19ca83b757a5c98a85fd2\n\
         file 8 d2d9e1f13413d3e07064d629ac3341a6e1d6a5eb0895e76a3c66df19307a56f0 e/relative\n\
         file 14 1e396fa6f137cd4f06c67d05b92c25a4de78a2b0515bd6cb44eb01058b54ddba e/y\n"
    );
    let module = engine().prepare(LUCAS_LEHMER).unwrap();
    assert_eq!(
        lucas_lehmer(&module, &["127"]).manifest.encode(),
        "\
         quorate-result/1\n\
         ended exit 0\n\
         fuel 134064\n\
         stdout 10 d0739168f46291c03856c9a47d2a144e3a488bce3c47bfe69f2d43bb0d64addc\n"
    );
    let trap = program(r#"(func (export "_start") (drop (i32.load (i32.const -1))))"#);
    assert_eq!(
        run(&trap, job()).manifest.encode(),
        "\
         quorate-result/1\n\
         ended trap memory-out-of-bounds\n\
         fuel 0\n"
    );
}

pub(crate) const LUCAS_LEHMER: &[u8] =
    include_bytes!("../../../deploy/apps/lucas-lehmer/lucas_lehmer.wasm");
const EXPONENTS: &str = include_str!("../../../deploy/apps/lucas-lehmer/exponents.txt");

fn lucas_lehmer(module: &Module, args: &[&str]) -> Run {
    let mut job = Job { args: args.iter().map(|arg| (*arg).to_owned()).collect(), ..job() };
    job.limits.fuel = 10_000_000_000;
    run(module, job)
}

fn answer(module: &Module, exponent: &str) -> String {
    let run = lucas_lehmer(module, &[exponent]);
    assert_eq!(run.manifest.ended, Ended::Exit(0), "{}", run.stderr_tail);
    String::from_utf8(stdout(&run).to_vec()).unwrap()
}

#[test]
fn lucas_lehmer_finds_every_mersenne_prime_of_its_input_and_no_other() {
    let module = engine().prepare(LUCAS_LEHMER).unwrap();
    let start = Instant::now();
    let mut found = Vec::new();
    for exponent in EXPONENTS.lines() {
        let answer = answer(&module, exponent);
        match answer.strip_suffix(" prime\n") {
            Some(prime) => found.push(prime.to_owned()),
            None => assert!(answer.starts_with(&format!("{exponent} composite ")), "{answer}"),
        }
    }
    let known = [2, 3, 5, 7, 13, 17, 19, 31, 61, 89, 107, 127, 521, 607, 1279, 2203, 2281];
    assert_eq!(found, known.map(|exponent| exponent.to_string()));
    println!("{} exponents in {:?}", EXPONENTS.lines().count(), start.elapsed());
}

#[test]
fn lucas_lehmer_prints_the_residue_others_check() {
    let module = engine().prepare(LUCAS_LEHMER).unwrap();
    // 4, 14, 194, 788, 701, 119, 1877, 240, 282, 1736: each is the square of the one before,
    // less 2, modulo 2047; 1736 is 6c8.
    assert_eq!(answer(&module, "11"), "11 composite 00000000000006c8\n");
    assert_eq!(answer(&module, "67"), "67 composite 677d24ee8ae3b2c2\n");
    assert_eq!(answer(&module, "15"), "15 composite exponent\n");
}

#[test]
fn lucas_lehmer_explains_itself_to_whoever_calls_it_wrongly() {
    let module = engine().prepare(LUCAS_LEHMER).unwrap();
    for args in
        [&[][..], &["x"], &["-3"], &["0"], &["1"], &["007"], &["3 "], &["100001"], &["3", "5"]]
    {
        let run = lucas_lehmer(&module, args);
        assert_eq!((run.manifest.ended, run.manifest.stdout), (Ended::Exit(2), None), "{args:?}");
        assert!(run.stderr_tail.starts_with("usage: "), "{}", run.stderr_tail);
    }
}
