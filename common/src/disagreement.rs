//! A program that disagrees with itself, as its owner is told: which task, whose votes, and where their
//! results differ first. Who was right is not in it: nobody knows.

use crate::{
    digest::Digest,
    ids::WorkerIdx,
    manifest::{Entry, Manifest},
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Digits of a digest that are shown: enough to compare, too few to fetch another requester's result by.
const DIGITS: usize = 12;

/// Two workers' results of one task that differ, in a program that was given up for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disagreement {
    /// The task, by its place in its order's bag; of another order of the same program, if `other_order`.
    pub task: u32,
    /// Whether the task is of another order.
    #[serde(default)]
    pub other_order: bool,
    /// Whose results they are.
    pub workers: [WorkerIdx; 2],
    /// The results, where they are this order's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<[Digest; 2]>,
    /// Where they differ first; nothing if one of the two never sent its result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Part>,
}

/// A part of a result, and what two workers have there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// `how it ended`, `standard output`, `file PATH`, or `fuel`.
    pub name: String,
    /// What each has.
    pub values: [String; 2],
}

impl Part {
    /// Where two results differ first: how they ended, standard output, files by their paths, fuel.
    /// Nothing for equal ones.
    pub fn first(one: &Manifest, other: &Manifest) -> Option<Self> {
        let part = |name: &str, values: [String; 2]| {
            (values[0] != values[1]).then(|| Self { name: name.into(), values })
        };
        let both = [one, other];
        let stdout = both.map(|manifest| shown(manifest.stdout.as_ref()));
        part("how it ended", both.map(|manifest| manifest.ended.to_string()))
            .or_else(|| part("standard output", stdout))
            .or_else(|| Self::first_file(both))
            .or_else(|| part("fuel", both.map(|manifest| manifest.fuel.to_string())))
    }

    fn first_file(both: [&Manifest; 2]) -> Option<Self> {
        let mut paths: Vec<&String> =
            both.iter().flat_map(|manifest| manifest.files.iter().map(|(path, _)| path)).collect();
        paths.sort_unstable();
        paths.dedup();
        let of = |manifest: &Manifest, path: &String| {
            let found = manifest.files.binary_search_by(|(known, _)| known.cmp(path));
            found.ok().map(|at| manifest.files[at].1)
        };
        let differs = |path: &&String| of(both[0], path) != of(both[1], path);
        let path = paths.into_iter().find(differs)?;
        let values = both.map(|manifest| shown(of(manifest, path).as_ref()));
        Some(Self { name: format!("file {path}"), values })
    }
}

fn shown(entry: Option<&Entry>) -> String {
    let digits = |entry: &Entry| hex::encode(entry.digest)[..DIGITS].to_owned();
    entry.map_or_else(
        || "nothing".to_owned(),
        |entry| format!("{} bytes, sha256 {}…", entry.len, digits(entry)),
    )
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, workers: [one, other], .. } = self;
        let whose = if self.other_order { " of another order of it" } else { "" };
        write!(f, "the program disagrees with itself: task {task}{whose}: ")?;
        match &self.first {
            Some(Part { name, values: [a, b] }) => {
                write!(f, "replicas differ first in {name}: {a} at {one}'s, {b} at {other}'s")
            }
            None => write!(
                f,
                "{one} and {other} came to different results, and one of them never sent its bytes"
            ),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::manifest::Ended;

    fn result(stdout: &str, files: &[(&str, &str)]) -> Manifest {
        let entry = |bytes: &str| Entry::of(bytes.as_bytes());
        Manifest {
            ended: Ended::Exit(0),
            fuel: 0,
            stdout: (!stdout.is_empty()).then(|| entry(stdout)),
            files: files.iter().map(|(path, text)| ((*path).into(), entry(text))).collect(),
        }
    }

    fn name(one: &Manifest, other: &Manifest) -> Option<String> {
        Part::first(one, other).map(|part| part.name)
    }

    #[test]
    fn the_first_file_that_differs_is_named() {
        let one = result("", &[("a", "same"), ("b/c", "one"), ("d", "x")]);
        assert_eq!(Part::first(&one, &one), None);
        let other = result("", &[("a", "same"), ("b/c", "other"), ("d", "y")]);
        assert_eq!(name(&one, &other).unwrap(), "file b/c");
        let less = result("", &[("a", "same"), ("d", "x")]);
        let part = Part::first(&one, &less).unwrap();
        assert_eq!((part.name.as_str(), part.values[1].as_str()), ("file b/c", "nothing"));
        let more = result("", &[("a", "same"), ("a0", ""), ("b/c", "one"), ("d", "x")]);
        assert_eq!(name(&one, &more).unwrap(), "file a0");
    }

    #[test]
    fn how_it_ended_comes_before_what_it_said_and_that_before_files() {
        let one = result("one", &[("a", "one")]);
        let other = result("other", &[("a", "other")]);
        assert_eq!(name(&one, &other).unwrap(), "standard output");
        let failed = Manifest { ended: Ended::Exit(1), ..other };
        let part = Part::first(&one, &failed).unwrap();
        assert_eq!((part.name.as_str(), part.values[1].as_str()), ("how it ended", "exit 1"));
    }

    #[test]
    fn it_reads_as_a_sentence() {
        let first = Part::first(&result("one", &[]), &result("", &[]));
        let told = Disagreement {
            task: 3,
            other_order: false,
            workers: [WorkerIdx(1), WorkerIdx(7)],
            results: None,
            first,
        };
        assert_eq!(
            told.to_string(),
            "the program disagrees with itself: task 3: replicas differ first in standard output: \
             3 bytes, sha256 7692c3ad3540… at worker-1's, nothing at worker-7's"
        );
    }
}
