//! What the kernel says about this machine and about a process. Linux only: elsewhere the figures are
//! missing, and the benchmark says so by failing.

use quorate_common::exit::{Code, Failure};
use serde::Serialize;
use std::path::Path;

/// Where figures come from.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Machine {
    /// Processors this process may use.
    pub cpus: usize,
    /// Their name.
    pub cpu: String,
    /// The kernel's release.
    pub kernel: String,
}

impl Machine {
    /// This machine.
    pub(super) fn here() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let info = read("/proc/cpuinfo");
        let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        Self {
            cpus: std::thread::available_parallelism().map_or(0, usize::from),
            cpu: name.map_or("unknown".into(), |(_, name)| name.trim().to_owned()),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}

/// Nanoseconds of processor time that a process' living threads have used.
///
/// # Errors
/// The process is gone, or the kernel has no `/proc`.
pub(super) fn cpu_ns(pid: u32) -> Result<u64, Failure> {
    let tasks = format!("/proc/{pid}/task");
    let entries = std::fs::read_dir(&tasks).map_err(|error| unreadable(&tasks, &error))?;
    let spent = entries.flatten().filter_map(|entry| schedstat(&entry.path()));
    Ok(spent.sum())
}

/// The first number: nanoseconds on a processor. A thread that ended meanwhile has none.
fn schedstat(task: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(task.join("schedstat")).ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// Bytes of memory a process holds.
///
/// # Errors
/// As [`cpu_ns`].
pub(super) fn rss_bytes(pid: u32) -> Result<u64, Failure> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| {
        Failure::new(Code::Internal, format!("{path} does not say VmRSS; expected Linux's procfs"))
    })
}

fn unreadable(path: &str, error: &std::io::Error) -> Failure {
    Failure::new(Code::Internal, format!("{path}: {error}; expected Linux's procfs"))
}
