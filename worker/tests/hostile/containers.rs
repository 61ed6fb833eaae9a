//! What a container can be made to do to a machine: a table of shell scripts, each with what becomes of it.

use crate::fate::{
    Fate::{self, Ends, GivenUp, NoResult},
    Hostile, Work,
};
use quorate_common::{
    manifest::Ended::Exit,
    wire::GiveUpReason::{Deadline, Memory},
};

/// Name, script, fate. A script that succeeds at what it must not do exits with 66.
const SCRIPTS: [(&str, &str, Fate); 45] = [
    ("fork bomb", "(b() { b | b & }; b); exec sleep 100", GivenUp(Deadline)),
    ("fork bomb of a binary", "guest pids; exit 0", GivenUp(Memory)),
    ("memory bomb", "guest memory 1000000000", GivenUp(Memory)),
    (
        "memory bomb in children",
        "for i in 1 2 3 4; do guest memory 100000000 & done; wait; sleep 1",
        GivenUp(Memory),
    ),
    (
        "memory bomb in /tmp",
        "dd if=/dev/zero of=/tmp/a bs=1M; [ $? = 1 ] || exit 66; exit 0",
        Ends(Exit(0)),
    ),
    ("memory bomb in a variable", "a=xxxxxxxx; while :; do a=$a$a; done", GivenUp(Memory)),
    ("disk fill", "dd if=/dev/zero of=/full bs=1M count=1 && exit 66; exit 0", Ends(Exit(0))),
    (
        "disk fill in /dev/shm",
        "dd if=/dev/zero of=/dev/shm/a bs=1M count=64 && exit 66; exit 0",
        Ends(Exit(0)),
    ),
    (
        "disk fill in every folder",
        "for d in / /bin /etc /var /dev /proc /sys /run /in; do dd if=/dev/zero of=$d/full bs=1M count=1 && exit 66; done; exit 0",
        Ends(Exit(0)),
    ),
    (
        "output beyond its size",
        "dd if=/dev/zero of=/out/a bs=1M count=9 && exit 66; exit 0",
        Ends(Exit(0)),
    ),
    ("log flood", "yes", NoResult("more than 1048576 bytes")),
    ("log flood on standard error", "yes >&2", GivenUp(Deadline)),
    (
        "log and files together",
        "dd if=/dev/zero bs=600k count=1; dd if=/dev/zero of=/out/a bs=600k count=1",
        NoResult("more than 1048576 bytes"),
    ),
    (
        "network scan",
        "for i in 1 2 3 4 5; do busybox nc -w 1 10.0.0.$i 22 && exit 66; busybox nc -w 1 192.168.1.$i 80 && exit 66; done; exit 0",
        Ends(Exit(0)),
    ),
    (
        "metadata address",
        "busybox wget -T 2 -O - http://169.254.169.254/ && exit 66; exit 0",
        Ends(Exit(0)),
    ),
    ("name lookup", "busybox nslookup example.org && exit 66; exit 0", Ends(Exit(0))),
    ("ping", "busybox ping -c 1 -W 1 8.8.8.8 && exit 66; exit 0", Ends(Exit(0))),
    (
        "network interfaces",
        "[ $(busybox ip -o link | busybox grep -c -v -E 'lo:|NONE') = 0 ] || exit 66; busybox ip link set lo mtu 1280 && exit 66; exit 0",
        Ends(Exit(0)),
    ),
    (
        "engine sockets",
        "for s in /var/run/docker.sock /run/podman/podman.sock /run/containerd/containerd.sock; do [ -e $s ] && exit 66; done; exit 0",
        Ends(Exit(0)),
    ),
    ("abstract sockets", "busybox grep -q @ /proc/net/unix && exit 66; exit 0", Ends(Exit(0))),
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
        Ends(Exit(0)),
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
    ("signals ignored", "trap '' TERM INT HUP QUIT; while :; do sleep 1; done", GivenUp(Deadline)),
    ("time bomb", "guest spin", GivenUp(Deadline)),
    ("kills everything", "kill -9 -1; exit 0", Ends(Exit(0))),
    ("kills process 1", "kill -9 1; exit 0", Ends(Exit(0))),
    (
        "leaves children behind",
        "guest orphan; [ $? = 7 ] || exit 66; busybox setsid sleep 1000 & exit 0",
        Ends(Exit(0)),
    ),
    ("stops itself", "kill -STOP $$", GivenUp(Deadline)),
    ("freezes process 1", "guest freeze", GivenUp(Deadline)),
    (
        "setuid",
        "busybox su root -c true && exit 66; busybox cp /bin/busybox /tmp/b; busybox chmod 4755 /tmp/b; /tmp/b id && exit 66; exit 0",
        Ends(Exit(0)),
    ),
    (
        "mount",
        "busybox mount -t tmpfs none /tmp && exit 66; busybox mount -o remount,rw / && exit 66; busybox unshare -Ur true && exit 66; exit 0",
        Ends(Exit(0)),
    ),
    (
        "writes to the kernel",
        "for f in /proc/sysrq-trigger /proc/sys/kernel/core_pattern /proc/sys/vm/drop_caches /sys/kernel/uevent_helper /sys/fs/cgroup/memory/release_agent; do echo 1 > $f && exit 66; done; exit 0",
        Ends(Exit(0)),
    ),
    (
        "reads the kernel",
        "for f in /proc/kcore /proc/keys /proc/timer_list /proc/latency_stats /dev/mem /dev/kmsg /sys/firmware/acpi/tables/DSDT; do [ -n \"$(busybox head -c 4 $f)\" ] && exit 66; done; exit 0",
        Ends(Exit(0)),
    ),
    (
        "climbs into its control group",
        "for d in /sys/fs/cgroup /sys/fs/cgroup/memory /sys/fs/cgroup/pids; do mkdir $d/x && exit 66; echo 0 > $d/memory.limit_in_bytes && exit 66; echo max > $d/pids.max && exit 66; done; exit 0",
        Ends(Exit(0)),
    ),
    (
        "runs what it wrote",
        "busybox cp /bin/guest /out/g; busybox chmod 755 /out/g; /out/g orphan; [ $? = 7 ] && exit 66; busybox rm /out/g; exit 0",
        Ends(Exit(0)),
    ),
    (
        "sees the host",
        "[ $(ls /proc | busybox grep -c '^[0-9]') -lt 10 ] || exit 66; [ $(busybox hostname) = task ] || exit 66; busybox hostname x && exit 66; exit 0",
        Ends(Exit(0)),
    ),
    (
        "calls that escape",
        "guest facts > /tmp/f; for c in mount unshare setuid chroot mknod keyctl bpf userfaultfd reboot settime module; do busybox grep -q \"^$c 0\" /tmp/f && exit 66; done; exit 0",
        Ends(Exit(0)),
    ),
];

/// All of them.
pub(crate) fn programs() -> Vec<Hostile> {
    let program = |(name, script, fate)| Hostile { name, work: Work::Script(script), fate };
    SCRIPTS.into_iter().map(program).collect()
}
