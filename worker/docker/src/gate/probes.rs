//! What each probe must have seen.

use super::{Facts, Report};
use crate::{
    output::OutputError,
    profile::{Limits, NOBODY, OUTPUT_NAMES, PIDS},
    run::{Outcome, RunError},
    sweep::Swept,
};

/// Files that can be neither opened nor seen, or are empty.
const MASKED: [(&str, &str); 3] =
    [("kcore", "the kernel's memory"), ("keys", "the kernel's keys"), ("mem", "physical memory")];

/// What must fail, whatever the error.
const FORBIDDEN: [(&str, &str); 19] = [
    ("metadata", "the cloud's metadata address"),
    ("outside", "an address on the Internet"),
    ("docker_socket", "the engine's own socket"),
    ("root", "a file in the root folder"),
    ("etc", "a file in /etc"),
    ("in", "a file among the inputs"),
    ("tmp_execute", "a program in /tmp"),
    ("out_execute", "a program in the output"),
    ("mount", "mounting"),
    ("unshare", "a user namespace"),
    ("setuid", "becoming root"),
    ("chroot", "another root folder"),
    ("mknod", "making a device"),
    ("bpf", "the call bpf"),
    ("userfaultfd", "the call userfaultfd"),
    ("reboot", "restarting the machine"),
    ("settime", "setting the clock"),
    ("module", "loading a module"),
    ("keyctl", "the call keyctl"),
];
/// Files of the kernel that change the machine.
const WRITES: [(&str, &str); 2] =
    [("core_pattern", "/proc/sys/kernel/core_pattern"), ("sysrq", "/proc/sysrq-trigger")];

pub(super) fn facts(report: &mut Report, facts: &Facts, limits: &Limits) {
    let nobody = NOBODY.to_string();
    equal(report, facts, "user", "uid", &nobody);
    equal(report, facts, "group", "gid", &nobody);
    for set in ["CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"] {
        let found = said(facts, set);
        let is_none = !found.is_empty() && found.bytes().all(|byte| byte == b'0');
        report.add("capabilities", format!("{set} 0"), found, is_none);
    }
    equal(report, facts, "no new privileges", "NoNewPrivs", "1");
    equal(report, facts, "system call filter", "Seccomp", "2");
    equal(report, facts, "core dumps", "core", "0");
    equal(report, facts, "network interfaces", "interfaces", "0");
    init(report, facts);
    for (name, what) in FORBIDDEN.into_iter().chain(WRITES) {
        let found = number(facts, name);
        let is_refused = found.is_some_and(|errno| errno > 0);
        report.add("refused", what, outcome(found), is_refused);
    }
    for (name, what) in MASKED {
        let found = number(facts, name);
        report.add("unreadable", what, outcome(found), found.is_some_and(|errno| errno != 0));
    }
    size(report, facts, "/tmp", "tmp_bytes", limits.tmp_bytes());
    size(report, facts, "output folder", "out_bytes", limits.output_bytes);
    size(report, facts, "/dev/shm", "shm_bytes", 16 << 20);
    names(report, facts, "names in /tmp", "tmp_files", limits.tmp_names());
    names(report, facts, "names in the output", "out_files", OUTPUT_NAMES);
}

/// Process 1 must be the engine's, or a program's signals mean something else here than elsewhere.
fn init(report: &mut Report, facts: &Facts) {
    let found = number(facts, "pid");
    let holds = found.is_some_and(|pid| pid > 1);
    let text = match found {
        Some(1) => "process 1 is the task (is docker-init, or catatonit, installed?)".to_owned(),
        found => format!("the task is process {}", found.unwrap_or_default()),
    };
    report.add("init", "process 1 is not the task", text, holds);
}

pub(super) fn pids(report: &mut Report, facts: Result<Facts, &RunError>) {
    let expected = format!("at most {PIDS}");
    match facts {
        Ok(facts) => {
            let found = number(&facts, "pids");
            let holds = found.is_some_and(|count| (2..=PIDS).contains(&count));
            report.add("processes", expected, shown(found), holds);
        }
        Err(error) => report.add("processes", expected, error.to_string(), false),
    }
}

pub(super) fn memory(report: &mut Report, outcome: Result<Outcome, RunError>) {
    let expected = "a program that takes twice as much is killed, and it is said why";
    let (found, holds) = match outcome {
        Err(RunError::OutOfMemory { most }) => (format!("killed at {most} bytes"), true),
        Err(error) => (error.to_string(), false),
        Ok(outcome) => (format!("it ended with code {}", outcome.code), false),
    };
    report.add("memory", expected, found, holds);
}

pub(super) fn cpu(report: &mut Report, facts: Result<Facts, &RunError>, limits: &Limits) {
    // A quota is a share of each tenth of a second: two seconds are twenty of them, and some slack.
    let most = i64::try_from(limits.milli_cpus * 5 / 4).unwrap_or(i64::MAX);
    let expected = format!("{} thousandths of one, and a quarter at most", limits.milli_cpus);
    match facts {
        Ok(facts) => {
            let found = number(&facts, "cpu");
            let holds = found.is_some_and(|share| (1..=most).contains(&share));
            report.add("processors", expected, shown(found), holds);
        }
        Err(error) => report.add("processors", expected, error.to_string(), false),
    }
}

pub(super) fn flood(report: &mut Report, outcome: Result<Outcome, RunError>, limits: &Limits) {
    let expected = format!("cut off after {} bytes", limits.output_bytes);
    let (found, holds) = match outcome {
        Ok(Outcome { files: Err(OutputError::Bytes { .. }), stdout, .. }) => {
            (format!("cut off after {}", stdout.len()), true)
        }
        Ok(outcome) => (format!("it ended with code {}", outcome.code), false),
        Err(error) => (error.to_string(), false),
    };
    report.add("standard output", expected, found, holds);
}

pub(super) fn deadline(report: &mut Report, outcome: Result<Outcome, RunError>) {
    let expected = "a program that ignores every signal is killed";
    let (found, holds) = match outcome {
        Err(RunError::Deadline(after)) => (format!("killed after {after:?}"), true),
        Err(error) => (error.to_string(), false),
        Ok(outcome) => (format!("it ended with code {}", outcome.code), false),
    };
    report.add("deadline", expected, found, holds);
}

pub(super) fn orphan(report: &mut Report, outcome: Result<Outcome, RunError>) {
    let expected = "what a program leaves running ends with it";
    let (found, holds) = match outcome {
        Ok(outcome) => (format!("it ended with code {}", outcome.code), outcome.code == 7),
        Err(error) => (error.to_string(), false),
    };
    report.add("children", expected, found, holds);
}

pub(super) fn nothing_left(report: &mut Report, left: Swept) {
    let found = format!("{} containers, {} volumes", left.containers, left.volumes);
    report.add("afterwards", "nothing is left", found, left.containers + left.volumes == 0);
}

fn equal(report: &mut Report, facts: &Facts, limit: &'static str, name: &str, expected: &str) {
    let found = said(facts, name);
    report.add(limit, expected, found, found == expected);
}

/// A folder of a size, and a block more: file systems count in pages.
fn size(report: &mut Report, facts: &Facts, limit: &'static str, name: &str, most: u64) {
    let found = number(facts, name);
    let most_written = i64::try_from(most + (64 << 10)).unwrap_or(i64::MAX);
    let holds = found.is_some_and(|bytes| bytes <= most_written);
    report.add(limit, format!("at most {most} bytes"), shown(found), holds);
}

fn names(report: &mut Report, facts: &Facts, limit: &'static str, name: &str, most: u64) {
    let found = number(facts, name);
    let holds = found.is_some_and(|files| u64::try_from(files).is_ok_and(|files| files <= most));
    report.add(limit, format!("at most {most}"), shown(found), holds);
}

fn said<'f>(facts: &'f Facts, name: &str) -> &'f str {
    facts.get(name).map_or("", String::as_str)
}

fn number(facts: &Facts, name: &str) -> Option<i64> {
    said(facts, name).parse().ok()
}

fn shown(found: Option<i64>) -> String {
    found.map_or_else(|| "nothing was said".to_owned(), |found| found.to_string())
}

fn outcome(found: Option<i64>) -> String {
    match found {
        Some(0) => "it succeeded".to_owned(),
        Some(-1) => "empty".to_owned(),
        Some(errno) => format!("error {errno}"),
        None => "nothing was said".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const LIMITS: Limits = Limits {
        memory_bytes: 1 << 20,
        output_bytes: 1_000,
        milli_cpus: 500,
        wall: Duration::ZERO,
    };

    fn facts(name: &str, value: &str) -> Facts {
        Facts::from([(name.to_owned(), value.to_owned())])
    }

    fn ended(code: i32) -> Outcome {
        let (stdout, stderr_tail) = (Vec::new(), String::new());
        Outcome { code, stdout, stderr_tail, files: Ok(Default::default()), wall: Duration::ZERO }
    }

    /// A rootless engine on control groups of version 1: it takes every number, and none of them holds.
    #[test]
    fn an_engine_that_ignores_its_limits_is_found_out() {
        let mut report = Report::default();
        pids(&mut report, Ok(facts("pids", "100000")));
        memory(&mut report, Ok(ended(0)));
        cpu(&mut report, Ok(facts("cpu", "1990")), &LIMITS);
        flood(&mut report, Ok(ended(0)), &LIMITS);
        orphan(&mut report, Ok(ended(0)));
        let broken: Vec<_> = report.broken().collect();
        for (limit, broken) in [
            "processes: 100000",
            "memory: it ended",
            "processors: 1990",
            "standard output",
            "children",
        ]
        .iter()
        .zip(&broken)
        {
            assert!(broken.starts_with(limit), "{broken}");
        }
        assert_eq!((broken.len(), report.holds()), (5, false));
        // What was not seen at all does not hold either.
        let mut report = Report::default();
        pids(&mut report, Ok(Facts::new()));
        cpu(&mut report, Ok(Facts::new()), &LIMITS);
        assert_eq!(report.broken().count(), 2);
    }
}
