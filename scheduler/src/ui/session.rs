//! Who is logged in: a random name in a cookie that no script sees, kept here by its hash only, with an end
//! when nobody clicks and one in any case. How often a password may be guessed.

use super::{Ui, error::PageError};
use crate::operators::{Operator, Role};
use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header::{self, HeaderName},
    web::Data,
};
use quorate_common::{
    digest::Digest,
    exit::{Code, Failure},
    keys::random32,
};
use std::{
    collections::BTreeMap,
    future::{Ready, ready},
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// A browser that nobody touches is logged out: a lunch break would be too long.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(30 * 60);
/// Nobody stays for longer than a working day.
pub(super) const LIFE_MAX: Duration = Duration::from_secs(12 * 3600);
/// Sessions at once; the one that was idle longest goes.
const SESSIONS_MAX: usize = 256;
/// Guesses of one address before it has to wait.
pub(super) const GUESSES_FREE: u32 = 5;
/// How long it then waits for each further one.
pub(super) const GUESS_EVERY: Duration = Duration::from_secs(30);
/// Guesses of everybody together that may come at once; then one a second. Each costs 19 MiB and some tens of
/// milliseconds.
const GUESSES_ALL: u32 = 20;
/// Addresses remembered.
const ADDRESSES_MAX: usize = 4_096;
/// Requests that a page makes by itself say so, and do not count as somebody being there.
const LIVE: HeaderName = HeaderName::from_static("x-live");

/// Everybody who is logged in.
#[derive(Debug, Default)]
pub struct Sessions {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    sessions: BTreeMap<Digest, Session>,
    /// Guesses that failed, as of when; they are forgiven with time.
    addresses: BTreeMap<IpAddr, (u32, Instant)>,
    all: Option<(u32, Instant)>,
}

#[derive(Clone, Debug)]
struct Session {
    operator: Operator,
    csrf: String,
    began: Instant,
    seen: Instant,
}

/// An operator who has logged in, and its browser.
#[derive(Clone, Debug)]
pub struct Who {
    /// The operator.
    pub operator: Operator,
    /// What every form of its must bring back.
    pub csrf: String,
    /// Names the session.
    pub(super) session: Digest,
    /// Where it sits.
    pub from: String,
}

impl Who {
    /// Whether it may act.
    pub fn acts(&self) -> bool {
        self.operator.role >= Role::Act
    }

    /// Lets a form through that this browser was given, of an operator that may act.
    ///
    /// # Errors
    /// [`Code::Denied`].
    pub fn may(&self, csrf: &str) -> Result<(), Failure> {
        self.sent(csrf)?;
        if self.acts() {
            return Ok(());
        }
        let text = format!("{} may read and not act", self.operator.name);
        Err(Failure::new(Code::Denied, text).hint("an operator of role `act` can do this"))
    }

    /// Lets a form through that this browser was given.
    ///
    /// # Errors
    /// [`Code::Denied`].
    pub fn sent(&self, csrf: &str) -> Result<(), Failure> {
        // Of hashes: their comparison says nothing about the token.
        if Digest::of(csrf.as_bytes()) == Digest::of(self.csrf.as_bytes()) {
            return Ok(());
        }
        Err(Failure::new(Code::Denied, "this form is of another session")
            .hint("go back, load the page again, and send it once more"))
    }
}

impl Sessions {
    /// A new session, and the secret that its browser keeps.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn begin(&self, operator: Operator) -> Result<String, Failure> {
        let internal = |error| Failure::new(Code::Internal, error);
        let secret = hex::encode(random32().map_err(internal)?);
        let csrf = hex::encode(random32().map_err(internal)?);
        let now = Instant::now();
        let mut inner = self.lock();
        inner.sessions.retain(|_, session| !session.is_over(now));
        if inner.sessions.len() >= SESSIONS_MAX {
            let oldest = inner.sessions.iter().min_by_key(|(_, session)| session.seen);
            let oldest = oldest.map(|(name, _)| *name);
            oldest.and_then(|name| inner.sessions.remove(&name));
        }
        let session = Session { operator, csrf, began: now, seen: now };
        inner.sessions.insert(Digest::of(secret.as_bytes()), session);
        Ok(secret)
    }

    /// Ends a session.
    pub(super) fn end(&self, session: Digest) {
        self.lock().sessions.remove(&session);
    }

    fn find(&self, secret: &str, touches: bool, now: Instant) -> Option<(Digest, Session)> {
        let name = Digest::of(secret.as_bytes());
        let mut inner = self.lock();
        let session = inner.sessions.get_mut(&name)?;
        if session.is_over(now) {
            inner.sessions.remove(&name);
            return None;
        }
        if touches {
            session.seen = now;
        }
        Some((name, session.clone()))
    }

    /// Whether this address may guess now; the guess counts.
    ///
    /// # Errors
    /// [`Code::Denied`], with what to wait for.
    pub(super) fn guess(&self, from: IpAddr, now: Instant) -> Result<(), Failure> {
        let mut inner = self.lock();
        let (all, since) = inner.all.unwrap_or((0, now));
        let all = forgiven(all, since, now, Duration::from_secs(1));
        let known = inner.addresses.get(&from).copied();
        let own = known.map_or(0, |(count, since)| forgiven(count, since, now, GUESS_EVERY));
        if own >= GUESSES_FREE || all >= GUESSES_ALL {
            let text = "too many guesses of passwords";
            let wait = if own >= GUESSES_FREE { GUESS_EVERY } else { Duration::from_secs(1) };
            let mut failure = Failure::new(Code::Denied, text)
                .hint(format!("wait for {} s and try again", wait.as_secs()));
            failure.retryable = true;
            return Err(failure);
        }
        inner.all = Some((all + 1, now));
        if inner.addresses.len() >= ADDRESSES_MAX {
            inner
                .addresses
                .retain(|_, (count, since)| forgiven(*count, *since, now, GUESS_EVERY) > 0);
        }
        if inner.addresses.len() < ADDRESSES_MAX || known.is_some() {
            // Time counts from the first guess that is not forgiven.
            let since = known.filter(|(count, _)| *count == own).map_or(now, |(_, since)| since);
            inner.addresses.insert(from, (own + 1, since));
        }
        Ok(())
    }

    /// A right password: the address is no guesser.
    pub(super) fn forgive(&self, from: IpAddr) {
        self.lock().addresses.remove(&from);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.seen) >= IDLE_MAX || now.duration_since(self.began) >= LIFE_MAX
    }
}

/// Guesses that still count: one is forgiven in each `every`.
fn forgiven(count: u32, since: Instant, now: Instant, every: Duration) -> u32 {
    let passed = now.saturating_duration_since(since).as_millis() / every.as_millis().max(1);
    count.saturating_sub(u32::try_from(passed).unwrap_or(u32::MAX))
}

/// The cookie's name: where everything is https, browsers hold it to that and to this host by its prefix.
pub(super) fn cookie_name(secure: bool) -> &'static str {
    if secure { "__Host-quorate" } else { "quorate" }
}

impl FromRequest for Who {
    type Error = PageError;
    type Future = Ready<Result<Self, PageError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(who(request).ok_or(PageError::Stranger))
    }
}

fn who(request: &HttpRequest) -> Option<Who> {
    let ui = request.app_data::<Data<Ui>>()?;
    let name = cookie_name(ui.doors.secure);
    let cookies = request.headers().get_all(header::COOKIE);
    let pairs = cookies.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(';'));
    let mut secrets = pairs.filter_map(|pair| pair.trim().split_once('='));
    let (_, secret) = secrets.find(|(key, _)| *key == name)?;
    let touches = !request.headers().contains_key(LIVE);
    let (session, known) = ui.sessions.find(secret, touches, Instant::now())?;
    if !ui.operators.stands(&known.operator) {
        ui.sessions.end(session);
        return None;
    }
    Some(Who { operator: known.operator, csrf: known.csrf, session, from: from(request) })
}

/// The address of a browser, or of the proxy before it.
pub(super) fn address(request: &HttpRequest) -> Option<IpAddr> {
    request.peer_addr().map(|addr| addr.ip())
}

pub(super) fn from(request: &HttpRequest) -> String {
    address(request).map(|ip| ip.to_string()).unwrap_or_default()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::operators::Operators;

    fn operator() -> Operator {
        let dir = tempfile::tempdir().unwrap();
        let operators = Operators::of(dir.path());
        operators.add("ada", Role::Read, "a long enough password").unwrap();
        operators.all().unwrap().remove(0)
    }

    #[test]
    fn a_session_ends_when_nobody_is_there_and_in_any_case() {
        let sessions = Sessions::default();
        let secret = sessions.begin(operator()).unwrap();
        let began = Instant::now();
        let at =
            |passed: Duration, touches| sessions.find(&secret, touches, began + passed).is_some();
        assert!(at(IDLE_MAX - Duration::from_secs(1), false));
        assert!(
            !at(IDLE_MAX + Duration::from_secs(1), false),
            "what a page asks by itself keeps nobody"
        );
        let secret = sessions.begin(operator()).unwrap();
        let step = IDLE_MAX / 2;
        let mut passed = step;
        while passed < LIFE_MAX {
            assert!(sessions.find(&secret, true, began + passed).is_some());
            passed += step;
        }
        assert!(sessions.find(&secret, true, began + LIFE_MAX + step).is_none());
        assert!(sessions.find("", true, began).is_none());
    }

    #[test]
    fn guesses_are_few() {
        let sessions = Sessions::default();
        let now = Instant::now();
        let from = |n: u8| IpAddr::from([10, 0, 0, n]);
        let guesses = |from, at| (0..50).filter(|_| sessions.guess(from, at).is_ok()).count();
        assert_eq!(guesses(from(1), now), 5);
        assert_eq!(guesses(from(1), now + GUESS_EVERY), 1);
        assert_eq!(guesses(from(1), now + GUESS_EVERY), 0);
        let crowd = (2..100).map(|n| guesses(from(n), now + GUESS_EVERY)).sum::<usize>();
        assert!(crowd <= 20, "all together: {crowd}");
        sessions.forgive(from(1));
        assert_eq!(guesses(from(1), now + 20 * GUESS_EVERY), 5);
    }

    #[test]
    fn a_form_of_another_session_is_refused() {
        let sessions = Sessions::default();
        let secret = sessions.begin(operator()).unwrap();
        let (session, known) = sessions.find(&secret, true, Instant::now()).unwrap();
        let who = Who { operator: known.operator, csrf: known.csrf, session, from: String::new() };
        assert!(who.sent(&who.csrf).is_ok());
        assert!(who.sent("").is_err());
        assert!(who.may(&who.csrf).unwrap_err().message.contains("may read"));
    }
}
