//! A control group for runs, where the system lets us make one: the kernel then keeps their share of the
//! processors to the microsecond, and nobody else's.
//!
//! Of version 2 it is a threaded group below the worker's own, of version 1 a group of the `cpu` controller. Where
//! neither can be made (no delegation, a container's read-only mount) runs keep their share by resting.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Microseconds over which the kernel counts.
const PERIOD_US: u64 = 100_000;
/// Where control groups are mounted.
const MOUNT: &str = "/sys/fs/cgroup";

/// A group that threads enter by themselves. It goes when it is dropped and nobody is in it.
#[derive(Debug)]
pub struct JobGroup {
    dir: PathBuf,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Two,
    One,
}

impl JobGroup {
    /// Makes the group, if the system lets us.
    pub fn open() -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let name = format!("quorate-{}", std::process::id());
        let mount = Path::new(MOUNT);
        let opened = two(&own, mount, &name).or_else(|| one(&own, mount, &name))?;
        opened.allow(None).ok()?;
        Some(opened)
    }

    /// What it is, for `doctor`.
    pub fn describe(&self) -> String {
        let version = if self.kind == Kind::Two { 2 } else { 1 };
        format!("control group of version {version}, {}", self.dir.display())
    }

    /// Lets all threads in it have so many percent of a core together; none: no limit.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn allow(&self, percent: Option<u32>) -> io::Result<()> {
        let quota = percent.map(|percent| u64::from(percent.max(1)) * PERIOD_US / 100);
        match (self.kind, quota) {
            (Kind::Two, Some(quota)) => self.write("cpu.max", &format!("{quota} {PERIOD_US}")),
            (Kind::Two, None) => self.write("cpu.max", &format!("max {PERIOD_US}")),
            (Kind::One, Some(quota)) => {
                self.write("cpu.cfs_period_us", &PERIOD_US.to_string())?;
                self.write("cpu.cfs_quota_us", &quota.to_string())
            }
            (Kind::One, None) => self.write("cpu.cfs_quota_us", "-1"),
        }
    }

    /// Puts the calling thread into it.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn enter(&self) -> io::Result<()> {
        let file = if self.kind == Kind::Two { "cgroup.threads" } else { "tasks" };
        self.write(file, "0")
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        fs::write(self.dir.join(file), text)
    }
}

impl Drop for JobGroup {
    fn drop(&mut self) {
        // A thread that still ends holds it; the next start has a group of another name.
        drop(fs::remove_dir(&self.dir));
    }
}

/// `0::/path`, with the `cpu` controller to hand on.
fn two(own: &str, mount: &Path, name: &str) -> Option<JobGroup> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let parent = mount.join(path);
    let controllers = fs::read_to_string(parent.join("cgroup.controllers")).ok()?;
    controllers.split_whitespace().find(|name| *name == "cpu")?;
    let dir = parent.join(name);
    fs::create_dir(&dir).ok()?;
    let group = JobGroup { dir, kind: Kind::Two };
    group.write("cgroup.type", "threaded").ok()?;
    fs::write(parent.join("cgroup.subtree_control"), "+cpu").ok()?;
    Some(group)
}

/// `3:cpu,cpuacct:/path`.
fn one(own: &str, mount: &Path, name: &str) -> Option<JobGroup> {
    let path = own.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers.split(',').any(|name| name == "cpu").then_some(path)
    })?;
    let below =
        |controller: &str| mount.join(controller).join(path.trim_start_matches('/')).join(name);
    let dir =
        ["cpu", "cpu,cpuacct"].map(below).into_iter().find(|dir| fs::create_dir(dir).is_ok())?;
    Some(JobGroup { dir, kind: Kind::One })
}
