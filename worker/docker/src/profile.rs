//! What every container gets, and what none gets: built from constants, with a few numbers of the task.
//!
//! Nothing of a stranger's reaches an engine but those numbers, the words of a command and of an environment,
//! and an image's digest. Whether an engine keeps to all of it is what `gate` finds out.

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, Mount,
    MountType, MountVolumeOptions, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
    VolumeCreateRequest,
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tempfile::TempPath;

/// Who a task is: nobody, on every distribution.
pub const NOBODY: u32 = 65_534;
/// Processes and threads of a container: numeric libraries start one a core, virtual machines some thirty.
pub const PIDS: i64 = 64;
/// Open files of a process; the least that common language runtimes expect.
const OPEN_FILES: i64 = 1_024;
/// Bytes of `/dev/shm`: semaphores live there, and little else needs to.
const SHM_BYTES: u64 = 16 << 20;
/// Names in an output folder: a result has 4,096 files at most, and as many folders; the rest is for what a
/// program writes and removes.
pub const OUTPUT_NAMES: u64 = 16_384;
/// Names in `/tmp`, at most; less where an eighth of the memory would not hold them.
const TMP_NAMES: u64 = 65_536;
/// Bytes of the kernel's memory that a name takes, about; they are counted for the container.
const NAME_BYTES: u64 = 1_024;
/// Processors of a task, in thousandths: a slot is a core.
pub const MILLI_CPUS: u64 = 1_000;
/// Processes of all containers' user: a bound of the kernel's, which Podman would set beyond what it may.
const USER_PROCESSES: i64 = 16_384;
/// What memory file systems count in, on processors with pages of that size; larger pages only make more.
const BLOCK_BYTES: u64 = 4_096;
/// The least memory engines take.
const MEMORY_MIN: u64 = 16 << 20;
/// The label that says whose a container, volume or image is.
pub const LABEL: &str = "quorate.worker";

/// What a task may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory; half of it may be files in `/tmp`. What lies in the output folder comes on top.
    pub memory_bytes: u64,
    /// Bytes of standard output and output folder, together and each.
    pub output_bytes: u64,
    /// Processors, in thousandths.
    pub milli_cpus: u64,
    /// Time until the container is killed.
    pub wall: Duration,
}

/// What does not depend on the task.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    /// Whose everything is.
    pub(crate) worker: String,
    /// A runtime other than the engine's own, such as `runsc`.
    pub(crate) runtime: Option<String>,
    /// Whether the kernel's control groups are of version 1, where swappiness is a container's own.
    pub(crate) cgroup_v1: bool,
    /// What Podman must be told otherwise than Docker.
    pub(crate) podman: Option<Podman>,
}

/// Podman's own ways.
#[derive(Clone, Debug)]
pub(crate) struct Podman {
    /// A filter of system calls stricter than its own, in a file.
    pub(crate) filter: Option<Arc<TempPath>>,
}

/// A folder of a container that is a volume.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound<'a> {
    pub(crate) volume: &'a str,
    pub(crate) at: &'a str,
    pub(crate) read_only: bool,
}

/// What a container runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Command {
    /// The image's digest.
    pub(crate) image: String,
    /// In place of the image's own, if there are any.
    pub(crate) args: Vec<String>,
    /// `NAME=value`, besides the image's own.
    pub(crate) env: Vec<String>,
    /// Whether something will be written to its standard input.
    pub(crate) stdin: bool,
}

impl Limits {
    /// Bytes a container may use, output folder included.
    pub fn container_bytes(&self) -> u64 {
        let output = self.output_bytes.saturating_add(OUTPUT_NAMES * NAME_BYTES);
        self.memory_bytes.max(MEMORY_MIN).saturating_add(output)
    }

    /// Bytes of `/tmp`.
    pub fn tmp_bytes(&self) -> u64 {
        self.memory_bytes.max(MEMORY_MIN) / 2
    }

    /// Names in `/tmp`.
    pub fn tmp_names(&self) -> u64 {
        (self.memory_bytes.max(MEMORY_MIN) / 8 / NAME_BYTES).min(TMP_NAMES)
    }
}

impl Profile {
    pub(crate) fn labels(&self) -> HashMap<String, String> {
        HashMap::from([(LABEL.to_owned(), self.worker.clone())])
    }

    /// A container, complete.
    pub(crate) fn container(
        &self,
        command: Command,
        limits: &Limits,
        folders: &[Bound<'_>],
    ) -> ContainerCreateBody {
        ContainerCreateBody {
            image: Some(command.image),
            cmd: Some(command.args).filter(|args| !args.is_empty()),
            env: Some(command.env),
            user: Some(format!("{NOBODY}:{NOBODY}")),
            hostname: Some("task".to_owned()),
            network_disabled: Some(true),
            attach_stdin: Some(command.stdin),
            open_stdin: Some(command.stdin),
            stdin_once: Some(command.stdin),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(false),
            stop_timeout: Some(0),
            labels: Some(self.labels()),
            host_config: Some(self.host(limits, folders)),
            ..Default::default()
        }
    }

    fn host(&self, limits: &Limits, folders: &[Bound<'_>]) -> HostConfig {
        let memory = signed(limits.container_bytes());
        HostConfig {
            runtime: self.runtime.clone(),
            privileged: Some(false),
            cap_drop: Some(vec!["ALL".to_owned()]),
            cap_add: Some(Vec::new()),
            security_opt: Some(self.security()),
            readonly_rootfs: Some(true),
            network_mode: Some("none".to_owned()),
            publish_all_ports: Some(false),
            ipc_mode: Some("private".to_owned()),
            cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
            pids_limit: Some(PIDS),
            memory: Some(memory),
            // As much as memory: no swap.
            memory_swap: Some(memory),
            memory_swappiness: self.cgroup_v1.then_some(0),
            nano_cpus: Some(signed(limits.milli_cpus * 1_000_000)),
            oom_kill_disable: Some(false),
            // Before anything of the machine's owner.
            oom_score_adj: Some(1_000),
            devices: Some(Vec::new()),
            shm_size: Some(signed(SHM_BYTES)),
            init: Some(true),
            // What is to be inspected and collected must outlive its end.
            auto_remove: Some(false),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::NO),
                maximum_retry_count: None,
            }),
            ulimits: Some(vec![
                ulimit("nofile", OPEN_FILES),
                ulimit("nproc", USER_PROCESSES),
                ulimit("core", 0),
            ]),
            mounts: self.podman.is_none().then(|| folders.iter().map(mount).collect()),
            binds: self.podman.is_some().then(|| folders.iter().map(bind).collect()),
            // Nothing is kept: output is read as it comes, and counted.
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            ..Default::default()
        }
    }

    fn security(&self) -> Vec<String> {
        let mut options = vec!["no-new-privileges:true".to_owned()];
        let filter = self.podman.as_ref().and_then(|podman| podman.filter.as_ref());
        options.extend(filter.map(|path| format!("seccomp={}", path.display())));
        options
    }

    /// Where a task's input files lie, on disk: they were counted when they were fetched.
    pub(crate) fn input(&self) -> VolumeCreateRequest {
        VolumeCreateRequest { labels: Some(self.labels()), ..Default::default() }
    }

    /// Where a task's output goes: into memory, which has a size.
    pub(crate) fn output(&self, limits: &Limits) -> VolumeCreateRequest {
        self.memory(limits.output_bytes, OUTPUT_NAMES)
    }

    /// What a task may scribble on.
    pub(crate) fn scratch(&self, limits: &Limits) -> VolumeCreateRequest {
        self.memory(limits.tmp_bytes(), limits.tmp_names())
    }

    /// A folder in memory. Its size is in blocks: Podman takes `size` for a disk's quota, and has no word for the
    /// number of names in the temporary folders that containers can ask for.
    fn memory(&self, bytes: u64, names: u64) -> VolumeCreateRequest {
        let blocks = (bytes / BLOCK_BYTES).max(1);
        let options = format!(
            "nr_blocks={blocks},nr_inodes={names},uid={NOBODY},gid={NOBODY},mode=0700,noexec,nosuid,nodev"
        );
        let options = [("type", "tmpfs"), ("device", "tmpfs"), ("o", &options)];
        let options = options.map(|(key, value)| (key.to_owned(), value.to_owned()));
        VolumeCreateRequest {
            labels: Some(self.labels()),
            driver: Some("local".to_owned()),
            driver_opts: Some(HashMap::from(options)),
            ..Default::default()
        }
    }
}

fn ulimit(name: &str, most: i64) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(name.to_owned()), soft: Some(most), hard: Some(most) }
}

fn mount(folder: &Bound<'_>) -> Mount {
    Mount {
        target: Some(folder.at.to_owned()),
        source: Some(folder.volume.to_owned()),
        typ: Some(MountType::VOLUME),
        read_only: Some(folder.read_only),
        // What an image has at this place stays out of sight, and off the disk.
        volume_options: Some(MountVolumeOptions { no_copy: Some(true), ..Default::default() }),
        ..Default::default()
    }
}

/// The same for Podman, which mounts a volume anew and forgets what the volume itself says.
fn bind(folder: &Bound<'_>) -> String {
    let Bound { volume, at, read_only } = folder;
    let kind = if *read_only { "ro" } else { "rw,noexec" };
    format!("{volume}:{at}:{kind},nosuid,nodev")
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Whatever a task may say: numbers, words, folders.
    fn tasks() -> impl Strategy<Value = (Limits, Command, Vec<String>, bool)> {
        let limits = (any::<u64>(), any::<u64>(), 0..u64::from(u32::MAX), any::<u64>());
        let words = || proptest::collection::vec(any::<String>(), 0..4);
        let limits = limits.prop_map(|(memory_bytes, output_bytes, milli_cpus, ms)| {
            let wall = Duration::from_millis(ms);
            Limits { memory_bytes, output_bytes, milli_cpus, wall }
        });
        let command = (any::<String>(), words(), words(), any::<bool>());
        let command =
            command.prop_map(|(image, args, env, stdin)| Command { image, args, env, stdin });
        (limits, command, words(), any::<bool>())
    }

    /// What is left of a container's settings when the numbers that a task decides are taken out.
    fn without_numbers(mut host: HostConfig) -> HostConfig {
        (host.memory, host.memory_swap, host.nano_cpus, host.mounts) = (None, None, None, None);
        host
    }

    proptest! {
        /// Nothing that a task says loosens anything: but for four numbers and the folders' names every
        /// container is the same, and of those none is without a limit.
        #[test]
        fn every_task_gets_the_baseline((limits, command, at, cgroup_v1) in tasks()) {
            let profile = Profile { worker: "w".into(), runtime: None, cgroup_v1, podman: None };
            let plain = Limits { memory_bytes: 0, output_bytes: 0, milli_cpus: 1, wall: Duration::ZERO };
            let folders: Vec<_> =
                at.iter().map(|at| Bound { volume: "v", at, read_only: true }).collect();
            let body = profile.container(command.clone(), &limits, &folders);
            let host = body.host_config.clone().expect("settings");
            let baseline = profile.container(Command::default(), &plain, &[]);
            let baseline = baseline.host_config.expect("settings");
            prop_assert_eq!(without_numbers(host.clone()), without_numbers(baseline));
            prop_assert!(host.memory.is_some_and(|bytes| bytes >= MEMORY_MIN as i64));
            prop_assert_eq!(host.memory, host.memory_swap);
            prop_assert!(host.nano_cpus.is_some_and(|nano| nano >= 0));
            for mount in host.mounts.unwrap_or_default() {
                prop_assert_eq!((mount.typ, mount.read_only), (Some(MountType::VOLUME), Some(true)));
                prop_assert_eq!(mount.source.as_deref(), Some("v"));
            }
            // Beyond the settings: its words, and nothing of the machine's.
            let expected = ContainerCreateBody {
                image: Some(command.image),
                cmd: Some(command.args).filter(|args| !args.is_empty()),
                env: Some(command.env),
                ..profile.container(Command { stdin: command.stdin, ..Command::default() }, &limits, &folders)
            };
            prop_assert_eq!(body, expected);
        }

        /// The sizes of folders in memory are numbers: no option can be smuggled in with them.
        #[test]
        fn folders_have_sizes((limits, _, _, cgroup_v1) in tasks()) {
            let profile = Profile { worker: "w".into(), runtime: None, cgroup_v1, podman: None };
            for volume in [profile.output(&limits), profile.scratch(&limits)] {
                let options = volume.driver_opts.expect("options");
                let mut words = options["o"].split(',');
                for key in ["nr_blocks=", "nr_inodes="] {
                    let value = words.next().and_then(|word| word.strip_prefix(key));
                    prop_assert!(value.and_then(|value| value.parse::<u64>().ok()).is_some_and(|n| n > 0));
                }
                let rest: Vec<_> = words.collect();
                prop_assert_eq!(rest, ["uid=65534", "gid=65534", "mode=0700", "noexec", "nosuid", "nodev"]);
            }
        }
    }
}
