//! What a hostile program's output is told as. The table of hostile programs itself is in the worker's
//! `tests/hostile`, where they meet a whole worker.

use crate::place::Place;
use quorate_docker::output::OutputError;

/// The sentence of a refused output is part of results, so it must be the same everywhere.
#[test]
fn a_refused_output_is_the_same_sentence_twice() {
    for place in Place::all("twice") {
        let sentence = || {
            let script = "mkdir /out/d; ln -s a /out/d/z; ln -s a /out/b; mkfifo /out/c";
            let outcome = place.run(script).expect("an outcome");
            outcome.files.expect_err("no result").to_string()
        };
        assert_eq!(sentence(), sentence(), "{}", place.name);
        assert_eq!(
            OutputError::Entries.to_string(),
            "the output has more than 8192 files and folders"
        );
    }
}
