//! What a worker has about it: processes, threads, descriptors, files, mounts, and things on an engine.

use quorate_docker::{Engine, sweep::Swept};
use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// Descriptors that come and go: lines to an engine, files of a cache that is read just then.
const DESCRIPTORS_SPARE: usize = 8;
/// How long a thread or container whose task has ended may still be seen.
const LEAVING: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Left {
    children: usize,
    /// Threads that run tasks.
    jobs: usize,
    descriptors: usize,
    /// Files but for what is cached on purpose, and for what is written all the time.
    files: BTreeSet<String>,
    /// Mounts of the engine's.
    mounts: usize,
    engine: Option<Swept>,
    /// Bytes of memory at most, so far.
    resident: u64,
}

impl Left {
    /// Looks until nothing is leaving any more.
    pub(crate) fn of(process: u32, dir: &Path, socket: Option<&str>) -> Self {
        let latest = Instant::now() + LEAVING;
        loop {
            let left = Self::now(process, dir, socket);
            let busy = left.engine.is_some_and(|left| left.containers + left.volumes > 0);
            if (left.jobs == 0 && left.children == 0 && !busy) || Instant::now() > latest {
                return left;
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    fn now(process: u32, dir: &Path, socket: Option<&str>) -> Self {
        let proc = Path::new("/proc").join(process.to_string());
        let tasks: Vec<_> = fs::read_dir(proc.join("task")).unwrap().flatten().collect();
        let read = |file: &str| {
            let text = tasks.iter().map(|task| fs::read_to_string(task.path().join(file)));
            text.flatten().collect::<Vec<_>>()
        };
        Self {
            children: read("children").iter().map(|text| text.split_whitespace().count()).sum(),
            jobs: read("comm").iter().filter(|name| name.starts_with("job ")).count(),
            descriptors: fs::read_dir(proc.join("fd")).unwrap().count(),
            files: files(dir, dir),
            mounts: socket.map_or(0, mounts),
            engine: socket.map(|socket| on_engine(socket, dir)),
            resident: resident(&proc),
        }
    }

    pub(crate) fn check(&self, before: &Self, resident_max: u64) {
        assert_eq!((self.children, self.jobs), (0, 0), "processes or threads are left");
        assert!(self.descriptors <= before.descriptors + DESCRIPTORS_SPARE, "descriptors are left");
        let new: Vec<_> = self.files.difference(&before.files).collect();
        assert!(new.is_empty(), "files are left: {new:?}");
        assert_eq!(self.mounts, before.mounts, "mounts are left");
        assert!(self.resident < resident_max, "it took {} bytes of memory", self.resident);
        if let Some(engine) = self.engine {
            assert_eq!((engine.containers, engine.volumes), (0, 0), "left on the engine");
            assert_eq!(Some(engine.images), before.engine.map(|before| before.images), "images");
        }
    }
}

/// Everything in the folder but blobs and compiled modules, which are caches with a size, and the worker's own books.
fn files(root: &Path, dir: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        // `month.json` counts the network's bytes, the ledger begins a file every so many tasks.
        let is_cached = name.starts_with("store/")
            || name.starts_with("ledger/")
            || name == "month.json"
            || (name.starts_with("modules/") && name.ends_with(".module"))
            || (name.starts_with("blobs/") && !name.contains("part"));
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(root, &path)),
            _ if is_cached => {}
            _ => drop(found.insert(name)),
        }
    }
    found
}

/// Mounts below the folder that the engine's socket lies in.
fn mounts(socket: &str) -> usize {
    let folder = Path::new(socket).parent().unwrap().display().to_string();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    mounts.lines().filter(|line| line.contains(&folder)).count()
}

fn on_engine(socket: &str, dir: &Path) -> Swept {
    let key = quorate_common::keys::node_key_at(&dir.join("node.key")).unwrap();
    let worker = hex::encode(key.public());
    Engine::connect(Some(Path::new(socket)), &worker).unwrap().left().unwrap()
}

fn resident(proc: &Path) -> u64 {
    let status = fs::read_to_string(proc.join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
}
