//! What a process takes of its machine over a while: memory, processor, wakeups, disk. Of any process, so that
//! others can be compared.

use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// Milliseconds of the kernel's tick, in which it tells of processes: a hundred a second on every Linux.
const TICK_MS: u64 = 10;

/// What an idle worker may take. A laptop should not notice it.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes in memory.
    pub memory_bytes: u64,
    /// Thousandths of a percent of a core.
    pub milli_percent: u64,
    /// Bytes written.
    pub written_bytes: u64,
}

/// 40 MB, 0.2 % of a core, nothing written.
pub const IDLE: Bounds = Bounds { memory_bytes: 40_000_000, milli_percent: 200, written_bytes: 0 };

/// A process at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    resident_bytes: u64,
    data_bytes: u64,
    cpu_ms: u64,
    wakeups: u64,
    written_bytes: u64,
    threads: u64,
}

/// A process over a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Footprint {
    /// Bytes in memory, programs and libraries it shares with others included.
    pub resident_bytes: u64,
    /// Bytes of data: what is no program and no library.
    pub data_bytes: u64,
    /// Thousandths of a percent of a core.
    pub milli_percent: u64,
    /// Times a thread of it was put on a processor, a second.
    pub wakeups_per_s: f64,
    /// Bytes it had written to disks.
    pub written_bytes: u64,
    /// Its threads.
    pub threads: u64,
    /// Seconds it was watched.
    pub seconds: f64,
}

impl Sample {
    /// Looks at a process.
    ///
    /// # Errors
    /// It is gone, or somebody else's.
    pub fn of(pid: u32) -> io::Result<Self> {
        let proc = PathBuf::from("/proc").join(pid.to_string());
        let text = |name: &str| fs::read_to_string(proc.join(name));
        let (status, memory, io) = (text("status")?, text("smaps_rollup")?, text("io")?);
        Ok(Self {
            resident_bytes: field(&memory, "Rss:") * 1_024,
            data_bytes: field(&memory, "Anonymous:") * 1_024,
            cpu_ms: cpu_ms(&text("stat")?),
            wakeups: wakeups(&proc)?,
            written_bytes: field(&io, "write_bytes:"),
            threads: field(&status, "Threads:"),
        })
    }

    /// What happened between two looks.
    pub fn until(self, later: Self, took: Duration) -> Footprint {
        let seconds = took.as_secs_f64();
        let wakeups = later.wakeups.saturating_sub(self.wakeups);
        let cpu_ms = later.cpu_ms.saturating_sub(self.cpu_ms);
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
        Footprint {
            resident_bytes: later.resident_bytes,
            data_bytes: later.data_bytes,
            milli_percent: cpu_ms * 100_000 / took_ms,
            wakeups_per_s: f64::from(u32::try_from(wakeups).unwrap_or(u32::MAX)) / seconds,
            written_bytes: later.written_bytes.saturating_sub(self.written_bytes),
            threads: later.threads,
            seconds,
        }
    }
}

impl Footprint {
    /// What is over its bound, in words.
    pub fn over(&self, bounds: Bounds) -> Vec<String> {
        let found = [
            ("memory", self.resident_bytes, bounds.memory_bytes, "bytes"),
            ("processor", self.milli_percent, bounds.milli_percent, "thousandths of a percent"),
            ("written", self.written_bytes, bounds.written_bytes, "bytes"),
        ];
        let over = found.into_iter().filter(|(_, value, most, _)| value > most);
        over.map(|(what, value, most, unit)| format!("{what}: {value} of {most} {unit}")).collect()
    }
}

/// What the kernel calls a process; a question mark when it is gone.
pub fn name(pid: u32) -> String {
    let comm = fs::read_to_string(format!("/proc/{pid}/comm"));
    comm.map_or_else(|_| "?".to_owned(), |name| name.trim_end().to_owned())
}

/// A process of that name: the one with the lowest number, which the others were started by.
pub fn find(called: &str) -> Option<u32> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    pids.filter(|pid| name(*pid) == called).min()
}

/// The number behind a name, in whatever unit it is told.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn cpu_ms(stat: &str) -> u64 {
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|f| f.parse::<u64>().ok());
    ticks.sum::<u64>() * TICK_MS
}

/// A thread that goes to sleep and one that is put aside were both woken before.
fn wakeups(proc: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for thread in fs::read_dir(proc.join("task"))? {
        // A thread may end between two lines of its folder.
        let Ok(status) = fs::read_to_string(thread?.path().join("status")) else { continue };
        sum += field(&status, "voluntary_ctxt_switches:");
        sum += field(&status, "nonvoluntary_ctxt_switches:");
    }
    Ok(sum)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen() {
        let pid = std::process::id();
        let before = Sample::of(pid).unwrap();
        let began = std::time::Instant::now();
        while began.elapsed() < Duration::from_millis(300) {
            std::hint::black_box(began);
        }
        let seen = before.until(Sample::of(pid).unwrap(), began.elapsed());
        assert!(seen.resident_bytes > 1 << 20 && seen.threads >= 1, "{seen:?}");
        assert!(seen.milli_percent > 10_000, "a busy loop takes some of a core: {seen:?}");
        assert!(!seen.over(IDLE).is_empty());
        assert!(Sample::of(u32::MAX).is_err());
        assert_eq!((find(&name(pid)).is_some(), find("no such name")), (true, None));
    }
}
