//! Looks at the laptop from outside, twenty times a second: what its worker takes of processor, memory, disk and
//! line, above all while it must rest. It is a thread of the test's process, not of the worker's.

use super::{
    laptop::{CACHE_MIB, CORE_PERCENT, DISK_MIB, LINE_KIB_S, MEMORY_MIB},
    router::{Carried, Meter},
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// A while over which shares and rates are judged.
const WHILE: Duration = Duration::from_secs(2);
/// Percent of a core beside the runs' own: votes are signed, lines kept, a module is compiled, in the tests' build.
const BESIDE_PERCENT: u64 = 35;
/// MiB of the worker itself, in the tests' build.
const BESIDE_MIB: u64 = 160;
/// What a limited line may take in a while besides: 256 KiB at once when its first transfer begins, as
/// `worker/docs/owner.md` says, and votes.
const BESIDE_BYTES: u64 = (256 + 48) << 10;
/// Percent of a core while it must rest: it listens, and keeps its line.
const REST_PERCENT: u64 = 10;

/// See the module.
pub(crate) struct Witness {
    notes: Arc<Mutex<Notes>>,
    is_over: Arc<AtomicBool>,
    looking: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Notes {
    pid: Option<u32>,
    looks: Vec<Look>,
    /// When it had to rest.
    rests: Vec<(Instant, Instant)>,
}

#[derive(Clone, Copy, Debug)]
struct Look {
    at: Instant,
    pid: u32,
    cpu_ms: u64,
    memory_bytes: u64,
    cache_bytes: u64,
    disk_bytes: u64,
    runs: usize,
    carried: Carried,
}

impl Witness {
    /// Begins to look at whoever is named, at its folder, and at its line.
    pub(crate) fn begin(folder: PathBuf, line: Meter) -> Self {
        let (notes, is_over) = (Arc::new(Mutex::new(Notes::default())), Arc::default());
        let (theirs, ends) = (Arc::clone(&notes), Arc::<AtomicBool>::clone(&is_over));
        let looking = thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                let pid = theirs.lock().unwrap().pid;
                let look = pid.and_then(|pid| Look::take(pid, &folder, &line));
                theirs.lock().unwrap().looks.extend(look);
                thread::park_timeout(LOOK);
            }
        });
        Self { notes, is_over, looking }
    }

    /// The worker's process from now on.
    pub(crate) fn watch(&self, pid: Option<u32>) {
        self.notes.lock().unwrap().pid = pid;
    }

    /// It had to rest from then until now.
    pub(crate) fn rested(&self, from: Instant) {
        self.notes.lock().unwrap().rests.push((from, Instant::now()));
    }

    /// What was seen, held against what the owner allows.
    ///
    /// # Panics
    /// If it was more at any time.
    pub(crate) fn swears(self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.looking.join().unwrap();
        let notes = self.notes.lock().unwrap();
        let looks = &notes.looks;
        assert!(looks.len() > 100, "{} looks", looks.len());
        let most = |of: fn(&Look) -> u64| looks.iter().map(of).max().unwrap_or(0);
        let most_in = |of: fn(&Look, &Look) -> u64| {
            (0..looks.len()).filter_map(|from| over(&looks[from..], of)).max().unwrap_or(0)
        };
        let (cores, down, up) = (most_in(percent), most_in(came), most_in(went));
        let rests: Vec<u64> =
            notes.rests.iter().filter_map(|(from, to)| within(looks, *from, *to)).collect();
        eprintln!("{} looks, each limit with what was seen of it at most:", looks.len());
        // The thread of a run that has ended may be seen beside that of the next, once or twice.
        let runs = looks.windows(3).filter_map(|three| three.iter().map(|look| look.runs).min());
        is_kept("runs at once, over three looks", runs.max().unwrap_or(0) as u64, 1);
        is_kept("percent of a core over 2 s", cores, CORE_PERCENT + BESIDE_PERCENT);
        is_kept("MiB of memory", most(|look| look.memory_bytes) >> 20, MEMORY_MIB + BESIDE_MIB);
        is_kept(
            "KiB of inputs and results kept",
            most(|look| look.cache_bytes) >> 10,
            CACHE_MIB << 10,
        );
        is_kept(
            "KiB of its disk, film excepted",
            most(|look| look.disk_bytes) >> 10,
            DISK_MIB << 10,
        );
        let line = 2 * (LINE_KIB_S << 10) + BESIDE_BYTES;
        is_kept("KiB brought to it over 2 s", down >> 10, line >> 10);
        is_kept("KiB brought from it over 2 s", up >> 10, line >> 10);
        assert_eq!(rests.len(), notes.rests.len(), "each rest was seen");
        for rest in rests {
            is_kept("percent of a core while it had to rest", rest, REST_PERCENT);
        }
    }
}

fn is_kept(what: &str, seen: u64, most: u64) {
    eprintln!("  {what}: {seen} of {most}");
    assert!(seen <= most, "{what}: {seen}, the owner allows {most}");
}

/// What `of` says from the first look on, over a while of one process's life.
fn over(looks: &[Look], of: fn(&Look, &Look) -> u64) -> Option<u64> {
    let first = looks.first()?;
    let life = looks.iter().take_while(|look| look.pid == first.pid);
    let last = life.into_iter().find(|look| look.at - first.at >= WHILE)?;
    // Whoever looks late, on a busy machine, looks at a longer while.
    let stretch =
        |sum: u64| sum * WHILE.as_millis() as u64 / (last.at - first.at).as_millis() as u64;
    Some(stretch(of(first, last)))
}

fn within(looks: &[Look], from: Instant, to: Instant) -> Option<u64> {
    let mut seen = looks.iter().filter(|look| look.at >= from && look.at <= to);
    let first = seen.next()?;
    let last = seen.next_back().filter(|last| last.pid == first.pid)?;
    let ms = (last.at - first.at).as_millis() as u64;
    Some((last.cpu_ms - first.cpu_ms) * 100 / ms.max(1))
}

/// Of a core, over [`WHILE`].
fn percent(first: &Look, last: &Look) -> u64 {
    (last.cpu_ms - first.cpu_ms) * 100 / WHILE.as_millis() as u64
}

fn came(first: &Look, last: &Look) -> u64 {
    last.carried.down - first.carried.down
}

fn went(first: &Look, last: &Look) -> u64 {
    last.carried.up - first.carried.up
}

impl Look {
    /// Nothing of a process that is gone.
    fn take(pid: u32, folder: &Path, line: &Meter) -> Option<Self> {
        let text = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
        let stat = text("stat")?;
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        // A process that is dead but not yet buried has no memory.
        let rss = text("status")?
            .lines()
            .find_map(|line| Some(line.strip_prefix("VmRSS:")?.to_owned()))?;
        let kib: u64 = rss.trim().strip_suffix("kB")?.trim().parse().ok()?;
        let ticks: u64 =
            fields.get(11..13)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
        let (cache_bytes, disk_bytes) = (bytes_in(&folder.join("blobs")), bytes_in(folder));
        let (at, cpu_ms, memory_bytes, runs) = (Instant::now(), ticks * 10, kib << 10, runs(pid));
        let carried = line.read();
        Some(Self { at, pid, cpu_ms, memory_bytes, cache_bytes, disk_bytes, runs, carried })
    }
}

/// Each run has a thread of its own, which bears its name.
fn runs(pid: u32) -> usize {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let names = threads.filter_map(|thread| fs::read_to_string(thread.path().join("comm")).ok());
    names.filter(|name| name.starts_with("job ")).count()
}

fn bytes_in(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let bytes = entries.filter_map(|entry| {
        let about = entry.metadata().ok()?;
        let is_own = entry.file_name() != super::laptop::FILM;
        Some(if about.is_dir() { bytes_in(&entry.path()) } else { about.len() * u64::from(is_own) })
    });
    bytes.sum()
}
