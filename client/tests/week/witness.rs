//! Looks at the laptop from outside, twenty times a second: what its worker takes of processor, memory and disk,
//! above all while it must rest.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// Bytes of memory: a slot of 512 MiB, and a worker in the tests' build.
const MEMORY_BYTES: u64 = (512 + 160) << 20;
/// A while over which a share of the processors is judged.
const WHILE: Duration = Duration::from_secs(2);
/// Percent of a core: half of one for the only slot, as the owner says, and what votes, lines and compiling take in
/// the tests' build.
const CORE_PERCENT: u128 = 90;
/// Percent of a core while it must rest: it listens, and keeps its line.
const REST_PERCENT: u128 = 10;

/// See the module.
pub(crate) struct Witness {
    notes: Arc<Mutex<Notes>>,
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
}

impl Witness {
    /// Begins to look at whoever is named, and at what it keeps in `cache`.
    pub(crate) fn begin(cache: PathBuf) -> Self {
        let notes = Arc::new(Mutex::new(Notes::default()));
        let theirs = notes.clone();
        let looking = tokio::spawn(async move {
            let mut times = tokio::time::interval(LOOK);
            loop {
                times.tick().await;
                let mut notes = theirs.lock().unwrap();
                let Some(look) = notes.pid.and_then(|pid| Look::take(pid, &cache)) else {
                    continue;
                };
                notes.looks.push(look);
            }
        });
        Self { notes, looking }
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
    pub(crate) async fn swears(self) {
        self.looking.abort();
        drop(self.looking.await);
        let notes = self.notes.lock().unwrap();
        let looks = &notes.looks;
        assert!(looks.len() > 100, "{} looks", looks.len());
        let memory = looks.iter().map(|look| look.memory_bytes).max().unwrap_or(0);
        let cache = looks.iter().map(|look| look.cache_bytes).max().unwrap_or(0);
        let most = (0..looks.len()).filter_map(|from| share(&looks[from..], WHILE)).max();
        let rests: Vec<u128> =
            notes.rests.iter().filter_map(|(from, to)| within(looks, *from, *to)).collect();
        eprintln!(
            "{} looks: at most {} MB of memory, {} % of a core over {WHILE:?}, {} kB of cache; while it had \
             to rest {rests:?} % of a core",
            looks.len(),
            memory / 1_000_000,
            most.unwrap_or(0),
            cache / 1_000,
        );
        assert!(memory <= MEMORY_BYTES, "{memory} bytes of memory");
        assert!(most.is_some_and(|most| most <= CORE_PERCENT), "{most:?} % of a core");
        assert!(cache <= super::laptop::CACHE_MIB << 20, "{cache} bytes of cache");
        assert_eq!(rests.len(), notes.rests.len(), "each rest was seen");
        assert!(rests.iter().all(|rest| *rest <= REST_PERCENT), "{rests:?}");
    }
}

/// Percent of a core from the first look on, over a while of one process's life.
fn share(looks: &[Look], time: Duration) -> Option<u128> {
    let first = looks.first()?;
    let last = looks
        .iter()
        .take_while(|look| look.pid == first.pid)
        .find(|look| look.at - first.at >= time)?;
    Some(percent(first, last))
}

fn within(looks: &[Look], from: Instant, to: Instant) -> Option<u128> {
    let mut seen = looks.iter().filter(|look| look.at >= from && look.at <= to);
    let first = seen.next()?;
    let last = seen.next_back().filter(|last| last.pid == first.pid)?;
    Some(percent(first, last))
}

fn percent(first: &Look, last: &Look) -> u128 {
    u128::from(last.cpu_ms - first.cpu_ms) * 100 / (last.at - first.at).as_millis().max(1)
}

impl Look {
    /// Nothing of a process that is gone.
    fn take(pid: u32, cache: &Path) -> Option<Self> {
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
        let (at, cpu_ms, memory_bytes) = (Instant::now(), ticks * 10, kib << 10);
        Some(Self { at, pid, cpu_ms, memory_bytes, cache_bytes: bytes_in(cache) })
    }
}

fn bytes_in(dir: &Path) -> u64 {
    let files = fs::read_dir(dir).into_iter().flatten().flatten();
    files.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
}
