//! A volunteer's laptop: a lid, a plug, a small disk, a router at home, and an owner with preferences.

use super::{
    anvil::Anvil,
    diary::{Diary, Span},
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
use serde_json::Value;
use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// What its owner allows: MiB of modules, inputs and results, MiB of memory for one slot, percent of a core for it,
/// KiB a second either way.
pub(crate) const CACHE_MIB: u64 = 64;
pub(crate) const MEMORY_MIB: u64 = 512;
pub(crate) const CORE_PERCENT: u64 = 50;
pub(crate) const LINE_KIB_S: u64 = 96;
/// Its disk, and what must stay free of it.
pub(crate) const DISK_MIB: u64 = 96;
const FREE_MIB: u64 = 16;
/// What fills it, and is not the worker's.
pub(crate) const FILM: &str = "holiday-film";
/// Votes that are acknowledged in each kind of weather before the next one comes.
const VOTES: usize = 5;
/// Longest wait for them: a connection that is noticed to be gone, a lease, two tasks on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);
/// What the owner was promised: a pause within a second, and a look at plug and disk every two.
const AT_ONCE: Duration = Duration::from_secs(1);
const A_LOOK: Duration = Duration::from_secs(3);
/// How long it is looked at while it must rest.
const REST: Duration = Duration::from_secs(2);
/// How long a worker may take to find its disk full.
const FULL: Duration = Duration::from_secs(3);

pub(crate) const CALM: Weather = Weather { loss: 0, twice: 0, late: 0, late_ms: 0, cut: false };

/// See the module.
pub(crate) struct Laptop {
    pub(crate) volunteer: Volunteer,
    pub(crate) router: Router,
    pub(crate) witness: Witness,
    /// When its scheduler was out of reach, or on a bad line, as places in its log.
    pub(crate) outages: Vec<Span>,
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
        let wanted = wanted();
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
        volunteer.run(&[&["set"], &wanted[..]].concat()).await.expect(0);
        let witness = Witness::begin(disk.clone(), router.meter());
        let (outages, mounts) = (Vec::new(), [supply, small]);
        let mut laptop = Self { volunteer, router, witness, outages, power, disk, clock, mounts };
        laptop.plug(true);
        laptop.boots();
        laptop
    }

    /// Its worker starts.
    pub(crate) fn boots(&mut self) {
        // Others work on the test's machine, which is no reason to rest here.
        self.volunteer.start_with(&["--set", "dedicated=false"]);
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

    /// From now on its scheduler may be out of reach.
    pub(crate) fn goes(&mut self) {
        let from = self.told();
        self.outages.push(Span { from, to: usize::MAX });
    }

    /// Its votes arrive again, and more of them.
    pub(crate) async fn returns(&mut self, when: &str) {
        self.works(&format!("{when}, at first")).await;
        let to = self.told();
        self.outages.last_mut().unwrap().to = to;
        self.works(when).await;
    }

    /// The lid is closed; when it is opened again the laptop is in another network, and hours have passed.
    pub(crate) async fn closed_for(&self, time: Duration) {
        self.signal("STOP");
        tokio::time::sleep(time).await;
        self.router.forget_ports();
        self.sets_clock("+9h");
        self.signal("CONT");
    }

    /// What its programs take for the time of day, from now on.
    pub(crate) fn sets_clock(&self, shift: &str) {
        fs::write(&self.clock, shift).unwrap();
    }

    /// The system needs memory and takes it from the worker; whoever started it starts it again.
    pub(crate) async fn runs_out_of_memory(&mut self) {
        self.witness.watch(None);
        self.volunteer.kill().await;
        self.boots();
    }

    /// Its owner wants it, restarts it meanwhile, and then goes.
    pub(crate) async fn paused_over_a_restart(&mut self) {
        self.volunteer.run(&["pause"]).await.expect(0);
        self.rests(AT_ONCE).await;
        self.witness.watch(None);
        assert_eq!(self.volunteer.end("TERM").await, 0);
        self.boots();
        let paused =
            |status: &Value| status["running"] == true && status["why"]["reason"] == "paused";
        self.volunteer.shows("that it is still paused", paused).await;
        self.rests(AT_ONCE).await;
        self.volunteer.run(&["resume"]).await.expect(0);
    }

    /// On battery, until it is restarted beside a socket: else a worker waits a minute for mains to stay.
    pub(crate) async fn unplugged_until_a_restart(&mut self) {
        self.plug(false);
        self.rests(A_LOOK).await;
        self.says_why("battery").await;
        self.plug(true);
        self.witness.watch(None);
        assert_eq!(self.volunteer.end("TERM").await, 0);
        self.boots();
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
        self.leaves_free(0);
        let began = Instant::now();
        while self.volunteer.runs() && began.elapsed() < FULL {
            tokio::time::sleep(AT_ONCE / 20).await;
        }
        fs::remove_file(self.disk.join(FILM)).unwrap();
        if !self.volunteer.runs() {
            self.witness.watch(None);
            assert_eq!(self.volunteer.ends().await, 1);
            eprintln!("the full disk has ended it after {:?}", began.elapsed());
            self.boots();
        }
    }

    /// Less is left of the disk than the owner wants to have free, for good.
    pub(crate) async fn nearly_fills_its_disk(&self) {
        self.leaves_free(FREE_MIB / 2);
        tokio::time::sleep(A_LOOK).await;
        let from = self.told();
        self.says_why("disk").await;
        tokio::time::sleep(A_LOOK).await;
        let taken =
            Diary::read(&self.volunteer.home).count(" fetching ", Span { from, to: usize::MAX });
        assert_eq!(taken, 0, "something new was taken on a disk that is nearly full");
    }

    /// Nothing is begun while its owner wants it to rest, and next to nothing done.
    async fn rests(&self, soon: Duration) {
        tokio::time::sleep(soon).await;
        let (from, began) = (self.told(), Instant::now());
        tokio::time::sleep(REST).await;
        self.witness.rested(began);
        let begun =
            Diary::read(&self.volunteer.home).count(" running ", Span { from, to: usize::MAX });
        assert_eq!(begun, 0, "a run has begun while it had to rest");
    }

    async fn says_why(&self, reason: &str) {
        let status = self.volunteer.status().await;
        assert_eq!(status["why"]["reason"], reason, "{status}");
    }

    /// Writes a film until so little is left.
    fn leaves_free(&self, mib: u64) {
        let mut film = File::create(self.disk.join(FILM)).unwrap();
        let spare = self.disk.join("spare");
        fs::write(&spare, vec![0; (mib as usize) << 20]).unwrap();
        while film.write_all(&[0; 4 << 10]).is_ok() {}
        fs::remove_file(spare).unwrap();
    }

    /// How much it has said so far.
    fn told(&self) -> usize {
        self.volunteer.home.said().len()
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

/// The owner's preferences, for the file that every start reads.
fn wanted() -> Vec<String> {
    vec![
        "cores.in_use_percent=100".to_owned(),
        "load.limit_percent=0".to_owned(),
        format!("cpu.percent={CORE_PERCENT}"),
        format!("memory_mib={MEMORY_MIB}"),
        format!("disk.keep_free_mib={FREE_MIB}"),
        format!("cache_mib={CACHE_MIB}"),
        format!("network.down_kib_s={LINE_KIB_S}"),
        format!("network.up_kib_s={LINE_KIB_S}"),
    ]
}

/// A wall clock of its own, if Debian's faketime is there; CI has it.
fn with_clock(home: super::home::Home, clock: &Path) -> super::home::Home {
    let found = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let library =
        found.map(|dir| dir.path().join("faketime/libfaketime.so.1")).find(|path| path.exists());
    let Some(library) = library else {
        assert!(
            std::env::var_os("CI").is_none(),
            "libfaketime is missing: apt-get install libfaketime"
        );
        eprintln!("SKIPPED: the clock does not jump without libfaketime");
        return home;
    };
    home.with("LD_PRELOAD", library.display())
        .with("FAKETIME_TIMESTAMP_FILE", clock.display())
        .with("FAKETIME_NO_CACHE", 1)
        .with("DONT_FAKE_MONOTONIC", 1)
}
