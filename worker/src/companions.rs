//! The owner's other machines as this one sees them: it asks them, answers them, and remembers when and where each
//! was seen. Keys, codes and the talk are `quorate_machines`' business; what a command does is the control socket's.
//!
//! Left out: money, files and configuration. A companion can see what a line of a list holds, and say run, finish or
//! pause.

use crate::{
    cli::{Brought, Config, state, unusable_key},
    control::{self, Ask, Told},
    page::heading,
    status::Status,
    why::why,
};
use quorate_common::{
    api::Amount,
    clock::SystemClock,
    exit::{Code, Failure},
    keys::{self, NodeKey},
};
use quorate_machines::{
    Answer, Book, BookError, Command, LinkError, Machine, Report, Seen, Sight, Tone, link,
};
use quorate_policy::{Asked as Wanted, Wish};
use std::{net::SocketAddr, path::PathBuf, time::Duration};
use tokio::task::JoinSet;

/// Whom this machine knows; in the worker's folder.
pub(crate) const BOOK: &str = "machines.json";
/// Held while it is changed.
pub(crate) const BOOK_LOCK: &str = "machines.lock";
/// When each was seen.
pub(crate) const SEEN: &str = "machines-seen.json";
/// Held while that is changed.
pub(crate) const SEEN_LOCK: &str = "machines-seen.lock";
/// How long a machine may take to answer: it reads a file or two, and somebody waits before a page.
const PATIENCE: Duration = Duration::from_secs(3);
/// The longest pause that a companion may ask for with an end: a month, as for the owner. Longer ones have none.
const PAUSE_MS_MAX: u64 = 31 * 24 * 3_600_000;

/// Those of one worker's folder.
#[derive(Clone, Debug)]
pub(crate) struct Companions {
    key: PathBuf,
    book: PathBuf,
    seen: PathBuf,
}

/// One of them, and what it said.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) machine: Machine,
    pub(crate) report: Result<Report, LinkError>,
    /// Unix milliseconds at which it was there last, to the minute.
    pub(crate) seen_unix_ms: Option<u64>,
}

impl Companions {
    pub(crate) fn of(config: &Config) -> Self {
        let [key, book, seen] = ["node.key", BOOK, SEEN].map(|name| config.path(name));
        Self { key, book, seen }
    }

    /// Who this machine is to them: who it is to its pools.
    pub(crate) fn key(&self) -> Result<NodeKey, Failure> {
        keys::node_key_at(&self.key).map_err(|error| unusable_key(&error))
    }

    /// Whom this machine knows.
    pub(crate) fn book(&self) -> Result<Book, Failure> {
        Book::read(&self.book).map_err(|error| unkept(&error))
    }

    /// Writes one down.
    pub(crate) fn add(&self, machine: Machine) -> Result<(), Failure> {
        let added = Book::change(&self.book, |book| book.add(machine));
        added.map_err(|error| unkept(&error))
    }

    /// Forgets one. It is not heard from its next question on.
    pub(crate) fn remove(&self, machine: &Machine) -> Result<(), Failure> {
        let removed = Book::change(&self.book, |book| Ok(book.remove(machine.key)));
        removed.map(drop).map_err(|error| unkept(&error))
    }

    /// Asks them, all at once: one that does not answer keeps nobody waiting but for itself.
    pub(crate) async fn ask(
        &self,
        machines: &[Machine],
        command: Command,
    ) -> Result<Vec<Heard>, Failure> {
        if machines.is_empty() {
            return Ok(Vec::new());
        }
        let (key, seen) = (self.key()?, Seen::read(&self.seen));
        let mut talks = JoinSet::new();
        for (at, machine) in machines.iter().cloned().enumerate() {
            let sight = seen.of(machine.key).copied();
            let key = key.clone();
            talks.spawn(async move { (at, ask(&key, machine, sight, command).await) });
        }
        let mut heard = talks.join_all().await;
        heard.sort_by_key(|(at, _)| *at);
        let sights: Vec<Sight> = heard.iter().filter_map(|(_, (_, sight))| *sight).collect();
        self.note(&sights);
        Ok(heard.into_iter().map(|(_, (heard, _))| heard).collect())
    }

    /// Listens for as long as the worker runs.
    pub(crate) fn listen(
        self,
        config: &Config,
        key: &NodeKey,
        at: SocketAddr,
    ) -> Result<(), LinkError> {
        let endpoint = link::listen(key, at)?;
        let (book, config) = (self.book.clone(), config.clone());
        tokio::spawn(link::serve(endpoint, book, move |machine, ip, command| {
            self.note(&[Sight { key: machine.key, at_unix_ms: now_ms(), ip }]);
            obey(config.clone(), machine, command)
        }));
        Ok(())
    }

    /// A sighting that is lost is no reason to answer nobody.
    fn note(&self, sights: &[Sight]) {
        if let Err(error) = Seen::note(&self.seen, sights) {
            tracing::debug!(%error, path = %self.seen.display(), "who was seen is not written down");
        }
    }
}

/// At the address of the book, then at the one where it was seen last: a laptop moves.
async fn ask(
    key: &NodeKey,
    machine: Machine,
    sight: Option<Sight>,
    command: Command,
) -> (Heard, Option<Sight>) {
    let mut report = link::ask(key, &machine, command, PATIENCE).await;
    let mut at = machine.address;
    let moved = machine.address.zip(sight).map(|(it, sight)| SocketAddr::new(sight.ip, it.port()));
    if matches!(report, Err(LinkError::Unreachable { .. }))
        && let Some(moved) = moved.filter(|moved| Some(*moved) != machine.address)
    {
        let there = Machine { address: Some(moved), ..machine.clone() };
        if let Ok(found) = link::ask(key, &there, command, PATIENCE).await {
            (report, at) = (Ok(found), Some(moved));
        }
    }
    let sight = match (&report, at) {
        (Ok(_), Some(at)) => {
            Some(Sight { key: machine.key, at_unix_ms: now_ms(), ip: at.ip().to_canonical() })
        }
        _ => sight,
    };
    let seen_unix_ms = sight.map(|sight| sight.at_unix_ms);
    (Heard { machine, report, seen_unix_ms }, sight)
}

/// Does what a companion says, as if the owner said it here.
async fn obey(config: Config, from: Machine, command: Command) -> Answer {
    let wish = |asked, until_unix_ms| Ask::Wish { wish: Wish { asked, until_unix_ms } };
    let end = |for_ms: u64| now_ms().saturating_add(for_ms.min(PAUSE_MS_MAX));
    let ask = match command {
        Command::Status => Ask::Status,
        Command::Pause { for_ms } => wish(Wanted::Pause, for_ms.map(end)),
        Command::Finish => wish(Wanted::Finish, None),
        Command::Resume => wish(Wanted::Run, None),
    };
    if command != Command::Status {
        tracing::info!(from = from.name, key = %from.key, ?command, "a companion asks");
    }
    match control::ask(&config.data_dir, &ask).await {
        Ok(Told::Status { status, .. }) => Answer::Report(Box::new(report(&config, &status))),
        Ok(Told::Refused { why }) => Answer::Refused(why),
        Ok(Told::Page { .. }) => Answer::Refused("the worker answers something else".into()),
        Err(error) => Answer::Refused(format!("the worker does not answer: {error}")),
    }
}

/// What one line of a list can hold of this machine.
pub(crate) fn report(config: &Config, status: &Status) -> Report {
    let Status { name, view, mood, pools, .. } = status;
    let why = why(Some(status), true);
    let (title, tone) = heading(why.as_ref());
    let is_alone = pools.is_empty();
    let running = pools.iter().map(|pool| pool.running).sum();
    let earned = pools.iter().fold(0_u128, |sum, pool| sum.saturating_add(pool.earned));
    Report {
        name: name.clone(),
        title: title.into(),
        tone: match tone {
            "ok" => Tone::Ok,
            "bad" => Tone::Bad,
            _ => Tone::Warn,
        },
        words: state(why.as_ref(), mood.as_ref().and_then(|mood| mood.until_unix_ms)),
        reason: why.as_ref().map(|why| why.code().into()),
        running: if is_alone { view.running } else { running } as u64,
        slots: mood.as_ref().map_or(view.slots, |mood| mood.slots).into(),
        earned: Amount(if is_alone { view.totals.earned } else { earned }),
        // A ledger that cannot be read is told by the earnings' own page.
        today: Brought::read(config, None).ok().map(|brought| Amount(brought.today.earned)),
        version: env!("CARGO_PKG_VERSION").into(),
    }
}

pub(crate) fn now_ms() -> u64 {
    SystemClock::start().now().unix_ms
}

fn unkept(error: &BookError) -> Failure {
    let code = match error {
        BookError::Disk { .. } => Code::Internal,
        BookError::Full | BookError::Name(_) => Code::Conflict,
    };
    Failure::new(code, error)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    /// It was paired at one address, asked from another, and listens at that one only.
    #[tokio::test]
    async fn one_that_moved_is_found_where_it_was_seen() {
        let dir = tempfile::tempdir().unwrap();
        let [there, key, book, seen] =
            ["there", "key", BOOK, SEEN].map(|name| dir.path().join(name));
        let own = Companions { key, book, seen };
        let key = keys::node_key_at(&dir.path().join("laptop.key")).unwrap();
        let known =
            Machine { name: "desk".into(), key: own.key().unwrap().public(), address: None };
        Book::change(&there, |book| book.add(known)).unwrap();
        let endpoint = link::listen(&key, (Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let port = endpoint.local_addr().unwrap().port();
        tokio::spawn(link::serve(endpoint, there, |_, _, _| async {
            Answer::Report(Box::default())
        }));

        let old = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), port));
        let laptop = Machine { name: "laptop".into(), key: key.public(), address: Some(old) };
        let lost = own.ask(std::slice::from_ref(&laptop), Command::Status).await.unwrap();
        assert!(matches!(lost[0].report, Err(LinkError::Unreachable { .. })), "{lost:?}");
        assert_eq!(lost[0].seen_unix_ms, None);
        own.note(&[Sight { key: laptop.key, at_unix_ms: 7, ip: Ipv4Addr::LOCALHOST.into() }]);
        let found = own.ask(std::slice::from_ref(&laptop), Command::Status).await.unwrap();
        assert!(found[0].report.is_ok() && found[0].seen_unix_ms > Some(7), "{found:?}");
        let sight = Seen::read(&own.seen).of(laptop.key).copied().unwrap();
        assert_eq!(sight.ip, IpAddr::from(Ipv4Addr::LOCALHOST));
    }
}
