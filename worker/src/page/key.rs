//! Who may see the page: whoever has a browser that `quorate-worker open` was called for. A one-time ticket in a URL
//! becomes a cookie, and the cookie a token in every form, all under a secret of this installation.
//!
//! Sessions are not kept: a cookie says when it was given and proves it, so a restart ends none. Deleting the
//! secret's file and starting again ends all.

use quorate_common::{clock::SystemClock, keys::random32};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The secret's file, in the worker's folder.
const FILE: &str = "page.key";
/// How long a ticket may wait for its browser to start.
const TICKET_LIFE: Duration = Duration::from_secs(120);
/// Tickets that wait at once: those of one impatient person. The oldest goes.
const TICKETS_MAX: usize = 8;
/// Seconds a cookie is good for: a month without a look is a browser that was given away.
pub(super) const SESSION_S: u64 = 30 * 24 * 3600;
/// Bytes of a cookie of ours: two numbers and a MAC.
const COOKIE_BYTES_MAX: usize = 160;

/// The secret, and the tickets that wait.
#[derive(Debug)]
pub(crate) struct Key {
    secret: [u8; 32],
    /// By hash: the tickets themselves are known to their browsers only.
    tickets: Mutex<Vec<(blake3::Hash, Instant)>>,
}

impl Key {
    /// Reads the secret in `data_dir`, or makes it.
    ///
    /// # Errors
    /// The folder cannot be used, or the system has no randomness.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join(FILE);
        let found = match fs::read(&path) {
            Ok(bytes) => <[u8; 32]>::try_from(bytes).ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let secret = match found {
            Some(secret) => secret,
            None => make(&path)?,
        };
        Ok(Self { secret, tickets: Mutex::default() })
    }

    /// A new ticket.
    pub(crate) fn ticket(&self) -> io::Result<String> {
        let ticket = hex::encode(random32().map_err(io::Error::other)?);
        let mut tickets = self.tickets();
        if tickets.len() >= TICKETS_MAX {
            tickets.remove(0);
        }
        tickets.push((blake3::hash(ticket.as_bytes()), Instant::now()));
        Ok(ticket)
    }

    /// A cookie for a ticket, which is worth nothing afterwards.
    pub(super) fn redeem(&self, ticket: &str, now: Instant) -> io::Result<Option<String>> {
        let hash = blake3::hash(ticket.as_bytes());
        let mut tickets = self.tickets();
        tickets.retain(|(_, given)| now.saturating_duration_since(*given) < TICKET_LIFE);
        let Some(at) = tickets.iter().position(|(known, _)| *known == hash) else {
            return Ok(None);
        };
        tickets.remove(at);
        let nonce = hex::encode(&random32().map_err(io::Error::other)?[..16]);
        let said = format!("{}.{nonce}", now_s());
        Ok(Some(format!("{said}.{}", self.mac("session", &said).to_hex())))
    }

    /// What every form of this cookie's browser must bring back; none if the cookie is not one of ours.
    pub(super) fn token(&self, cookie: &str, now_s: u64) -> Option<String> {
        let (said, mac) = cookie.rsplit_once('.').filter(|_| cookie.len() <= COOKIE_BYTES_MAX)?;
        let given: u64 = said.split_once('.')?.0.parse().ok()?;
        let mac = blake3::Hash::from_hex(mac).ok()?;
        // Hashes are compared in the same time wherever they differ.
        let is_ours = mac == self.mac("session", said);
        let is_fresh = now_s.saturating_sub(given) < SESSION_S;
        (is_ours && is_fresh).then(|| self.mac("form", cookie).to_hex().to_string())
    }

    /// The cookie's name: browsers do not tell ports apart, and a machine may have several workers.
    pub(super) fn cookie_name(&self) -> String {
        format!("quorate-page-{}", &self.mac("name", "").to_hex()[..8])
    }

    fn mac(&self, what: &str, text: &str) -> blake3::Hash {
        blake3::keyed_hash(&self.secret, format!("{what}\n{text}").as_bytes())
    }

    fn tickets(&self) -> MutexGuard<'_, Vec<(blake3::Hash, Instant)>> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Unix seconds.
pub(super) fn now_s() -> u64 {
    SystemClock::start().now().unix_s()
}

/// Whole or not at all, and for its owner only.
fn make(path: &Path) -> io::Result<[u8; 32]> {
    let secret = random32().map_err(io::Error::other)?;
    let temporary = path.with_extension("key.tmp");
    let mut options = File::options();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&secret)?;
    file.sync_all()?;
    fs::rename(temporary, path)?;
    Ok(secret)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_ticket_is_good_once_and_for_two_minutes() {
        let dir = tempfile::tempdir().unwrap();
        let key = Key::open(dir.path()).unwrap();
        let (ticket, now) = (key.ticket().unwrap(), Instant::now());
        assert!(key.redeem("something else", now).unwrap().is_none());
        assert!(key.redeem(&ticket, now).unwrap().is_some());
        assert!(key.redeem(&ticket, now).unwrap().is_none(), "it was used");
        let late = key.ticket().unwrap();
        assert!(key.redeem(&late, Instant::now() + TICKET_LIFE).unwrap().is_none());
        let many: Vec<String> = (0..=TICKETS_MAX).map(|_| key.ticket().unwrap()).collect();
        assert!(key.redeem(&many[0], now).unwrap().is_none(), "the oldest went");
        assert!(key.redeem(&many[TICKETS_MAX], now).unwrap().is_some());
    }

    #[test]
    fn a_cookie_is_of_this_installation_and_lasts_a_month() {
        let dir = tempfile::tempdir().unwrap();
        let key = Key::open(dir.path()).unwrap();
        let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let cookie = key.redeem(&key.ticket().unwrap(), Instant::now()).unwrap().unwrap();
        let token = key.token(&cookie, now_s()).unwrap();
        assert_eq!(Key::open(dir.path()).unwrap().token(&cookie, now_s()), Some(token));
        assert!(key.token(&cookie, now_s() + SESSION_S + 1).is_none());
        let (said, mac) = cookie.rsplit_once('.').unwrap();
        let younger = format!("9{}.{mac}", &said[1..]);
        for wrong in ["", ".", "1.2.3", &younger, &cookie.replace('.', ""), &"x.".repeat(200)] {
            assert!(key.token(wrong, now_s()).is_none(), "{wrong}");
        }
        let other = tempfile::tempdir().unwrap();
        let other = Key::open(other.path()).unwrap();
        assert!(other.token(&cookie, now_s()).is_none());
        assert_ne!(other.cookie_name(), key.cookie_name());
    }
}
