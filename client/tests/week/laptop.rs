//! A volunteer's laptop: a lid, a plug, a small disk, a router at home, and an owner with preferences.

use super::{
    anvil::Anvil,
    dice::Dice,
    mounts::{self, Mount},
    operator::Operator,
    patience::until,
    router::{Router, Weather},
    site::Site,
    volunteer::Volunteer,
    witness::Witness,
};
use quorate_common::invite::Invite;
use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// What it may keep of modules, inputs and results.
pub(crate) const CACHE_MIB: u64 = 64;
/// Its disk.
const DISK_MIB: u32 = 96;
/// What its owner wants: one slot, half of a core, not on battery. Others work on the test's machine, which is no
/// reason to rest here.
const FLAGS: [&str; 12] = [
    "--set",
    "dedicated=false",
    "--set",
    "cores.in_use_percent=100",
    "--set",
    "load.limit_percent=0",
    "--set",
    "cpu.percent=50",
    "--set",
    "disk.keep_free_mib=0",
    "--set",
    "cache_mib=64",
];
/// Votes that are acknowledged in each kind of weather before the next one comes.
const VOTES: usize = 2;
/// Longest wait for them: a connection that is noticed to be gone, a lease, two tasks on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);
/// What the owner was promised: a pause within a second, and a look at the plug every two.
const AT_ONCE: Duration = Duration::from_secs(1);
const A_LOOK: Duration = Duration::from_secs(3);
/// How long a worker may take to find its disk full.
const FULL: Duration = Duration::from_secs(3);

pub(crate) const CALM: Weather = Weather { loss: 0, twice: 0, late: 0, late_ms: 0, cut: false };

/// See the module.
pub(crate) struct Laptop {
    pub(crate) volunteer: Volunteer,
    pub(crate) router: Router,
    pub(crate) witness: Witness,
    power: PathBuf,
    disk: PathBuf,
    /// What libfaketime reads the wall clock's shift from, where it is installed.
    clock: PathBuf,
    #[expect(dead_code, reason = "held to stay mounted")]
    mounts: [Mount; 2],
}

impl Laptop {
    /// Joins by the invitation, through its router, and works.
    pub(crate) async fn open(
        site: &Site,
        anvil: &Anvil,
        operator: &Operator,
        invite: &Invite,
        dice: &mut Dice,
    ) -> Self {
        let router = Router::plug(invite.address.parse().unwrap(), dice.below(u64::MAX)).await;
        let invite = Invite { address: router.front.to_string(), ..invite.clone() };
        let (power, clock) = (site.folder("power"), site.path().join("clock"));
        let supply = mounts::show(&power, Path::new("/sys/class/power_supply"));
        fs::write(&clock, "+0").unwrap();
        let mut volunteer = Volunteer::new(site, "laptop");
        volunteer.home = with_clock(volunteer.home, &clock);
        let disk = site.folder("laptop/worker");
        let small = mounts::disk(&disk, DISK_MIB);
        let terms = ["--slots", "1", "--stake", "1.0"];
        volunteer.join_with_key(operator, anvil, &invite.to_string(), &terms).await;
        let witness = Witness::begin(disk.join("blobs"));
        let mut laptop =
            Self { volunteer, router, witness, power, disk, clock, mounts: [supply, small] };
        laptop.plug(true);
        laptop.boots();
        laptop
    }

    /// Its worker starts.
    pub(crate) fn boots(&mut self) {
        self.volunteer.start_with(&FLAGS);
        self.witness.watch(Some(self.volunteer.pid()));
    }

    /// Some more of its votes are acknowledged.
    pub(crate) async fn works(&self, when: &str) {
        let votes = || self.volunteer.home.said().matches(" commit acked ").count();
        let (before, began) = (votes(), Instant::now());
        let enough = async || (votes() >= before + VOTES).then_some(());
        until(&format!("votes {when}"), PATIENCE, enough).await;
        eprintln!("{when}: {VOTES} votes in {:?}", began.elapsed());
    }

    /// The lid is closed; when it is opened again the laptop is in another network, and hours have passed.
    pub(crate) async fn closed_for(&self, time: Duration) {
        self.signal("STOP");
        tokio::time::sleep(time).await;
        self.router.forget_ports();
        fs::write(&self.clock, "+9h").unwrap();
        self.signal("CONT");
    }

    /// Its owner wants it, and then goes.
    pub(crate) async fn paused_for(&self, time: Duration) {
        self.volunteer.run(&["pause"]).await.expect(0);
        self.rests(AT_ONCE, time).await;
        self.volunteer.run(&["resume"]).await.expect(0);
    }

    /// On battery, with the plug back afterwards.
    pub(crate) async fn unplugged_for(&self, time: Duration) {
        self.plug(false);
        self.rests(A_LOOK, time).await;
        let status = self.volunteer.status().await;
        assert_eq!(status["why"]["reason"], "battery", "{status}");
        self.plug(true);
    }

    /// Nothing is flushed, nobody is told; the router forgets as well.
    pub(crate) async fn loses_power(&mut self) {
        self.witness.watch(None);
        self.volunteer.kill().await;
        self.router.forget_ports();
    }

    /// Not a byte is left on the disk for a while. A worker that cannot write down what it seals says nothing of
    /// it and ends; the system starts it again.
    pub(crate) async fn fills_its_disk(&mut self) {
        let path = self.disk.join("holiday-film");
        let mut film = File::create(&path).unwrap();
        while film.write_all(&[0; 4 << 10]).is_ok() {}
        tokio::time::sleep(FULL).await;
        fs::remove_file(&path).unwrap();
        if !self.volunteer.runs() {
            assert_eq!(self.volunteer.ends().await, 1);
            eprintln!("the full disk has ended it");
            self.boots();
        }
    }

    async fn rests(&self, soon: Duration, time: Duration) {
        tokio::time::sleep(soon).await;
        let from = Instant::now();
        tokio::time::sleep(time).await;
        self.witness.rested(from);
    }

    fn plug(&self, is_in: bool) {
        let (online, status) = if is_in { ("1", "Full") } else { ("0", "Discharging") };
        let files = [
            ("AC/type", "Mains"),
            ("AC/online", online),
            ("BAT0/type", "Battery"),
            ("BAT0/status", status),
            ("BAT0/capacity", if is_in { "100" } else { "80" }),
        ];
        for (name, text) in files {
            let path = self.power.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.volunteer.pid().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }
}

/// A wall clock of its own, if Debian's faketime is there; CI has it.
fn with_clock(home: super::home::Home, clock: &Path) -> super::home::Home {
    let found = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let library =
        found.map(|dir| dir.path().join("faketime/libfaketime.so.1")).find(|path| path.exists());
    let Some(library) = library else {
        assert!(
            std::env::var_os("CI").is_none(),
            "libfaketime is missing: apt-get install faketime"
        );
        eprintln!("SKIPPED: the clock does not jump without libfaketime");
        return home;
    };
    home.with("LD_PRELOAD", library.display())
        .with("FAKETIME_TIMESTAMP_FILE", clock.display())
        .with("FAKETIME_NO_CACHE", 1)
        .with("DONT_FAKE_MONOTONIC", 1)
}
