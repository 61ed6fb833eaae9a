//! Everything a worker senses, put together: files, the system's bus, session agents.

use quorate_policy::{Presence, Sensed};
use quorate_senses::{Ears, Machine, SystemBus, machine::Roots};
use std::{
    io,
    path::Path,
    time::{Duration, Instant},
};

/// The system's bus is asked this often at most: logind counts in minutes.
const BUS: Duration = Duration::from_secs(30);

/// Eyes and ears of a governor.
#[derive(Debug)]
pub struct Sight {
    machine: Machine,
    ears: Ears,
    bus: Option<SystemBus>,
    asked: Option<(Instant, Presence, Option<bool>)>,
    guests: u16,
    counts_guests: bool,
}

impl Sight {
    /// Listens to session agents at `socket`, looks for `programs`, and asks the system's bus, if there is one.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub async fn open(
        data_dir: &Path,
        socket: Option<&Path>,
        programs: &[String],
        counts_guests: bool,
    ) -> io::Result<Self> {
        let own = data_dir.join(SESSION_SOCKET);
        let ears = match socket {
            Some(path) => Ears::listen(path, 0o666)?,
            None => Ears::listen(&own, 0o600)?,
        };
        let machine = Machine::new(Roots::default(), data_dir.into(), programs);
        let bus = SystemBus::here().await;
        Ok(Self { machine, ears, bus, asked: None, guests: 0, counts_guests })
    }

    /// One look.
    pub async fn look(&mut self, unix_ms: u64) -> Sensed {
        let guests = if self.counts_guests { self.guests } else { 0 };
        let sensed = self.machine.look(guests);
        let heard = self.ears.heard();
        let (presence, metered) = self.ask_bus(unix_ms).await;
        let presence = heard.presence(presence);
        Sensed { presence, metered, full_screen: heard.full_screen, ..sensed }
    }

    /// Resolves when a session agent said something new.
    pub async fn changed(&mut self) {
        self.ears.changed().await;
    }

    /// Looks for other programs from now on.
    pub fn look_for(&mut self, programs: &[String]) {
        self.machine.look_for(programs);
    }

    /// So many tasks run: where containers may be among them, each of them may be one.
    pub fn guests(&mut self, running: usize) {
        self.guests = u16::try_from(running).unwrap_or(u16::MAX);
    }

    /// Who tells of people, for `status` and `doctor`.
    pub fn sources(&self) -> Vec<String> {
        let bus = self.bus.is_some().then(|| "system bus".to_owned());
        let agents = self.ears.heard().idle_ms.map(|_| "session agent".to_owned());
        bus.into_iter().chain(agents).collect()
    }

    /// Without a bus there is no logind, and no desktop that anybody ships: nobody can sit here but at a
    /// terminal, and nobody can tell.
    async fn ask_bus(&mut self, unix_ms: u64) -> (Presence, Option<bool>) {
        let Some(bus) = &self.bus else { return (Presence::Unknown, None) };
        if let Some((at, presence, metered)) = self.asked
            && at.elapsed() < BUS
        {
            return (presence, metered);
        }
        let (presence, metered) = (bus.presence(unix_ms).await, bus.metered().await);
        self.asked = Some((Instant::now(), presence, metered));
        (presence, metered)
    }
}

/// Where session agents of the same user tell, in the worker's folder.
pub const SESSION_SOCKET: &str = "session.sock";
