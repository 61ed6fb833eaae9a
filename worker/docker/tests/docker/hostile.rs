//! Hostile programs: each is contained, ends with an outcome of its own, and leaves nothing behind, while an
//! honest one beside it finishes. The table is printed.

use crate::place::{LIMITS, Place};
use quorate_docker::{Limits, Outcome, RunError, Stop, output::OutputError};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// What becomes of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It ends by itself, after whatever it tried was refused; its script says 0 then.
    Refused,
    /// Its output is no result.
    NoResult(&'static str),
    OutOfMemory,
    Killed,
    Deadline,
}
use Fate::{Deadline, Killed, NoResult, OutOfMemory, Refused};

/// Name, script, fate. A script that succeeds at what it must not do exits with 66.
const PROGRAMS: [(&str, &str, Fate); 45] = [
    ("fork bomb", "(b() { b | b & }; b); exec sleep 100", Deadline),
    ("fork bomb of a binary", "guest pids; exit 0", Killed),
    ("memory bomb", "guest memory 1000000000", OutOfMemory),
    (
        "memory bomb in children",
        "for i in 1 2 3 4; do guest memory 100000000 & done; wait; sleep 1",
        OutOfMemory,
    ),
    (
        "memory bomb in /tmp",
        "dd if=/dev/zero of=/tmp/a bs=1M; [ $? = 1 ] || exit 66; exit 0",
        Refused,
    ),
    ("memory bomb in a variable", "a=xxxxxxxx; while :; do a=$a$a; done", OutOfMemory),
    ("disk fill", "dd if=/dev/zero of=/full bs=1M count=1 && exit 66; exit 0", Refused),
    (
        "disk fill in /dev/shm",
        "dd if=/dev/zero of=/dev/shm/a bs=1M count=64 && exit 66; exit 0",
        Refused,
    ),
    (
        "disk fill in every folder",
        "for d in / /bin /etc /var /dev /proc /sys /run /in; do dd if=/dev/zero of=$d/full bs=1M count=1 && exit 66; done; exit 0",
        Refused,
    ),
    (
        "output beyond its size",
        "dd if=/dev/zero of=/out/a bs=1M count=9 && exit 66; exit 0",
        Refused,
    ),
    ("log flood", "yes", NoResult("more than 1048576 bytes")),
    ("log flood on standard error", "yes >&2", Deadline),
    (
        "log and files together",
        "dd if=/dev/zero bs=600k count=1; dd if=/dev/zero of=/out/a bs=600k count=1",
        NoResult("more than 1048576 bytes"),
    ),
    (
        "network scan",
        "for i in 1 2 3 4 5; do busybox nc -w 1 10.0.0.$i 22 && exit 66; busybox nc -w 1 192.168.1.$i 80 && exit 66; done; exit 0",
        Refused,
    ),
    (
        "metadata address",
        "busybox wget -T 2 -O - http://169.254.169.254/ && exit 66; exit 0",
        Refused,
    ),
    ("name lookup", "busybox nslookup example.org && exit 66; exit 0", Refused),
    ("ping", "busybox ping -c 1 -W 1 8.8.8.8 && exit 66; exit 0", Refused),
    (
        "network interfaces",
        "[ $(busybox ip -o link | busybox grep -c -v -E 'lo:|NONE') = 0 ] || exit 66; busybox ip link set lo mtu 1280 && exit 66; exit 0",
        Refused,
    ),
    (
        "engine sockets",
        "for s in /var/run/docker.sock /run/podman/podman.sock /run/containerd/containerd.sock; do [ -e $s ] && exit 66; done; exit 0",
        Refused,
    ),
    ("abstract sockets", "busybox grep -q @ /proc/net/unix && exit 66; exit 0", Refused),
    ("symbolic link as output", "ln -s /etc/passwd /out/a", NoResult("a symbolic link")),
    (
        "symbolic link as output folder",
        "mkdir /out/a; ln -s / /out/a/b",
        NoResult("a symbolic link"),
    ),
    ("hard link as output", "echo a > /out/a; ln /out/a /out/b", NoResult("a hard link")),
    ("pipe as output", "mkfifo /out/a", NoResult("a pipe")),
    (
        "device as output",
        "mknod /out/a b 8 0 && exit 66; mknod /out/a c 1 3 && exit 66; exit 0",
        Refused,
    ),
    ("name with a line break", "echo a > \"/out/a\nb\"", NoResult("control character")),
    (
        "long path",
        "cd /out; d=dddddddddddddddddddddddddddddddddddddddd; for i in 1 2 3 4 5 6 7; do mkdir $d; cd $d; done; echo a > a",
        NoResult("expected at most 255"),
    ),
    (
        "sparse file of a terabyte",
        "truncate -s 1099511627776 /out/a",
        NoResult("more than 1048576 bytes"),
    ),
    (
        "million files",
        "i=0; while [ $i -lt 5000 ]; do : > /out/$i || break; i=$((i+1)); done",
        NoResult("more than 8192 files"),
    ),
    (
        "million folders",
        "i=0; while [ $i -lt 9000 ]; do mkdir -p /out/$i/$((i+1)) || break; i=$((i+2)); done",
        NoResult("more than 8192 files"),
    ),
    ("signals ignored", "trap '' TERM INT HUP QUIT; while :; do sleep 1; done", Deadline),
    ("time bomb", "guest spin", Deadline),
    ("kills everything", "kill -9 -1; exit 0", Refused),
    ("kills process 1", "kill -9 1; exit 0", Refused),
    (
        "leaves children behind",
        "guest orphan; [ $? = 7 ] || exit 66; busybox setsid sleep 1000 & exit 0",
        Refused,
    ),
    ("stops itself", "kill -STOP $$", Deadline),
    ("freezes process 1", "guest freeze", Deadline),
    (
        "setuid",
        "busybox su root -c true && exit 66; busybox cp /bin/busybox /tmp/b; busybox chmod 4755 /tmp/b; /tmp/b id && exit 66; exit 0",
        Refused,
    ),
    (
        "mount",
        "busybox mount -t tmpfs none /tmp && exit 66; busybox mount -o remount,rw / && exit 66; busybox unshare -Ur true && exit 66; exit 0",
        Refused,
    ),
    (
        "writes to the kernel",
        "for f in /proc/sysrq-trigger /proc/sys/kernel/core_pattern /proc/sys/vm/drop_caches /sys/kernel/uevent_helper /sys/fs/cgroup/memory/release_agent; do echo 1 > $f && exit 66; done; exit 0",
        Refused,
    ),
    (
        "reads the kernel",
        "for f in /proc/kcore /proc/keys /proc/timer_list /proc/latency_stats /dev/mem /dev/kmsg /sys/firmware/acpi/tables/DSDT; do [ -n \"$(busybox head -c 4 $f)\" ] && exit 66; done; exit 0",
        Refused,
    ),
    (
        "climbs into its control group",
        "for d in /sys/fs/cgroup /sys/fs/cgroup/memory /sys/fs/cgroup/pids; do mkdir $d/x && exit 66; echo 0 > $d/memory.limit_in_bytes && exit 66; echo max > $d/pids.max && exit 66; done; exit 0",
        Refused,
    ),
    (
        "runs what it wrote",
        "busybox cp /bin/guest /out/g; busybox chmod 755 /out/g; /out/g orphan; [ $? = 7 ] && exit 66; busybox rm /out/g; exit 0",
        Refused,
    ),
    (
        "sees the host",
        "[ $(ls /proc | busybox grep -c '^[0-9]') -lt 10 ] || exit 66; [ $(busybox hostname) = task ] || exit 66; busybox hostname x && exit 66; exit 0",
        Refused,
    ),
    (
        "calls that escape",
        "guest facts > /tmp/f; for c in mount unshare setuid chroot mknod keyctl bpf userfaultfd reboot settime module; do busybox grep -q \"^$c 0\" /tmp/f && exit 66; done; exit 0",
        Refused,
    ),
];

/// Programs at once, besides the honest one.
const AT_ONCE: usize = 2;

#[test]
fn hostile_programs_stay_in_their_box() {
    for place in Place::all("hostile") {
        if place.engine.gate().is_ok_and(|report| !report.holds()) {
            println!("{}: its gate is shut, so no stranger's program gets there", place.name);
            assert!(place.is_podman(), "Docker's gate is shut");
            continue;
        }
        let place = Arc::new(place);
        let (over, honest) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let beside = honest_beside(place.clone(), over.clone(), honest.clone());
        let next = Arc::new(AtomicU32::new(0));
        let hands: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                let (place, next) = (place.clone(), next.clone());
                thread::spawn(move || some(&place, &next))
            })
            .collect();
        let wrong: Vec<String> =
            hands.into_iter().flat_map(|hand| hand.join().expect("no panic")).collect();
        over.store(true, Ordering::Relaxed);
        beside.join().expect("no honest run failed");
        let left = place.engine.left().expect("counted");
        println!(
            "{}: {} honest runs beside; left: {left:?}",
            place.name,
            honest.load(Ordering::Relaxed)
        );
        assert!(wrong.is_empty(), "{}:\n{}", place.name, wrong.join("\n"));
        assert_eq!((left.containers, left.volumes), (0, 0), "{}", place.name);
        assert!(honest.load(Ordering::Relaxed) > 0, "no honest run finished meanwhile");
    }
}

/// Takes programs until there are none, and says which met another fate than theirs.
fn some(place: &Place, next: &AtomicU32) -> Vec<String> {
    let mut wrong = Vec::new();
    loop {
        let at = next.fetch_add(1, Ordering::Relaxed) as usize;
        let Some((name, script, fate)) = PROGRAMS.get(at) else { return wrong };
        let began = Instant::now();
        let mut task = place.task(script);
        let wall = Duration::from_secs(if *fate == Deadline { 3 } else { 60 });
        task.limits = Limits { wall, memory_bytes: 32 << 20, ..LIMITS };
        let outcome = place.engine.run(task, Stop::default());
        let met = meets(&outcome, *fate);
        let seconds = began.elapsed().as_secs_f32();
        let line = format!("{name:34} {:70} {seconds:5.1} s", told(&outcome));
        println!("{} {} {line}", place.name, if met { "ok  " } else { "WRONG" });
        if !met {
            wrong.push(format!("{line}\nexpected {fate:?}\n{outcome:?}"));
        }
    }
}

fn meets(outcome: &Result<Outcome, RunError>, fate: Fate) -> bool {
    match (outcome, fate) {
        (Ok(Outcome { code: 0, files: Ok(_), .. }), Refused)
        | (Err(RunError::OutOfMemory { .. }), OutOfMemory)
        | (Err(RunError::Killed), Killed)
        | (Err(RunError::Deadline(_)), Deadline) => true,
        (Ok(Outcome { files: Err(error), .. }), NoResult(why)) => error.to_string().contains(why),
        _ => false,
    }
}

fn told(outcome: &Result<Outcome, RunError>) -> String {
    match outcome {
        Ok(Outcome { files: Err(error), .. }) => format!("no result: {error}"),
        Ok(Outcome { code, .. }) => format!("exit {code}, all it tried was refused"),
        Err(error) => error.to_string(),
    }
    .chars()
    .take(70)
    .collect()
}

fn honest_beside(
    place: Arc<Place>,
    over: Arc<AtomicBool>,
    count: Arc<AtomicU32>,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        while !over.load(Ordering::Relaxed) {
            let outcome = place.run("echo fine; echo 42 > /out/answer").expect("an honest outcome");
            assert_eq!((outcome.code, outcome.stdout.as_slice()), (0, b"fine\n".as_slice()));
            assert_eq!(outcome.files.expect("plain files")["answer"], b"42\n");
            count.fetch_add(1, Ordering::Relaxed);
        }
    })
}

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
