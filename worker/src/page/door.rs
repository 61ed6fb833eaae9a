//! The page's door: HTTP on this machine's own address, for browsers that hold the owner's cookie. What a visit
//! shows or does is a [`Site`]'s business; who may visit is decided here, once for all of it.
//!
//! Nothing here runs while nobody visits: one task waits for connections, and nothing has a timer. That is why it
//! is not actix-web, whose workers tick twice a second.

use super::{
    answer::{Answer, failed, html, plain},
    assets,
    form::Form,
    frame::Frame,
    key::{Key, SESSION_S, now_s},
};
use askama::Template;
use http_body_util::{BodyExt as _, Limited};
use hyper::{
    Method, Request, StatusCode,
    body::Incoming,
    header::{COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, SET_COOKIE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use quorate_common::{
    doors::{Doors, HEADERS},
    exit::{Code, Failure},
};
use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::net::TcpListener;

/// How long a browser may take for a request's head; whoever trickles is on this machine.
const HEAD: Duration = Duration::from_secs(5);
/// How long a visit may take in all: a claim waits for a transaction.
const VISIT: Duration = Duration::from_secs(120);
/// Visits at once: one person has few windows, and each loads four files. Others wait for a place.
const AT_ONCE: usize = 16;
/// Bytes of a form: a schedule with every half hour has three thousand.
const FORM_BYTES_MAX: usize = 32 << 10;
/// Bytes of a path with its query.
const PATH_BYTES_MAX: usize = 512;

/// What is behind the door.
pub(crate) trait Site: Send + Sync + 'static {
    /// Shows a page, or does what a form asks for.
    fn visit(self: Arc<Self>, visit: Visit)
    -> impl Future<Output = Result<Answer, Failure>> + Send;
}

/// A request of the owner's browser.
#[derive(Debug)]
pub(crate) struct Visit {
    /// Whether it is a form, which may change something; its token was right.
    pub(crate) acts: bool,
    pub(crate) path: String,
    /// Of the path, or of the form.
    pub(crate) form: Form,
    /// What the next form must bring back.
    pub(crate) token: String,
}

#[derive(Template)]
#[template(path = "entered.html")]
struct Entered {
    frame: Frame,
}

/// A door that stands.
#[derive(Debug)]
pub(crate) struct Door {
    key: Key,
    doors: Doors,
    address: SocketAddr,
}

impl Door {
    /// Listens at `listen`, or at a port of the system's choice if that one is taken.
    pub(crate) async fn open(listen: SocketAddr, key: Key) -> io::Result<(Self, TcpListener)> {
        let listener = match TcpListener::bind(listen).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                TcpListener::bind((listen.ip(), 0)).await?
            }
            bound => bound?,
        };
        let address = listener.local_addr()?;
        Ok((Self { key, doors: Doors::here(address), address }, listener))
    }

    /// A URL that lets one browser in, once, within two minutes.
    pub(crate) fn url(&self) -> io::Result<String> {
        Ok(format!("http://{}/open/{}", self.address, self.key.ticket()?))
    }

    /// Where it stands.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Lets visitors in for as long as the program lives.
pub(crate) async fn serve<S: Site>(door: Arc<Door>, listener: TcpListener, site: Arc<S>) {
    let places = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (door, site) = (Arc::clone(&door), Arc::clone(&site));
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let (door, site) = (Arc::clone(&door), Arc::clone(&site));
                async move { Ok::<_, Infallible>(answer(&door, site, request).await) }
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEAD).keep_alive(false);
            let visit = server.serve_connection(TokioIo::new(stream), answer);
            // A browser that goes away is nobody's mistake.
            drop(tokio::time::timeout(VISIT, visit).await);
            drop(place);
        });
    }
}

async fn answer<S: Site>(door: &Door, site: Arc<S>, request: Request<Incoming>) -> Answer {
    let mut answer = match refused(door, &request) {
        Some((status, why)) => plain(status, why),
        None => let_in(door, site, request).await,
    };
    for (name, value) in HEADERS {
        let headers = answer.headers_mut();
        if !headers.contains_key(name) {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
    }
    answer
}

fn refused(door: &Door, request: &Request<Incoming>) -> Option<(StatusCode, &'static str)> {
    let headers = request.headers();
    if !door.doors.lets_host_in(headers.get_all(HOST).iter().map(HeaderValue::as_bytes)) {
        // A web page that points a name of its own at 127.0.0.1 is not to read it.
        let why = "this is not a name of this page; `quorate-worker open` prints one";
        return Some((StatusCode::MISDIRECTED_REQUEST, why));
    }
    if request.uri().path_and_query().is_none_or(|path| path.as_str().len() > PATH_BYTES_MAX) {
        return Some((StatusCode::URI_TOO_LONG, "no path here is as long"));
    }
    match *request.method() {
        Method::GET | Method::HEAD => None,
        Method::POST if is_own_form(door, headers) => None,
        Method::POST => Some((StatusCode::FORBIDDEN, "this form was sent from another site")),
        _ => Some((StatusCode::METHOD_NOT_ALLOWED, "expected GET or POST")),
    }
}

fn is_own_form(door: &Door, headers: &HeaderMap) -> bool {
    let one = |name: HeaderName| {
        let mut all = headers.get_all(name).iter();
        let first = all.next().map(|value| value.to_str().unwrap_or("?"));
        // Two of them are none of ours.
        if all.next().is_some() { Some("?") } else { first }
    };
    door.doors.lets_form_in(one(ORIGIN), one(HeaderName::from_static("sec-fetch-site")))
}

async fn let_in<S: Site>(door: &Door, site: Arc<S>, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    if let Some(name) = path.strip_prefix("/assets/") {
        return assets::asset(name);
    }
    if path == "/health" {
        return plain(StatusCode::OK, "well");
    }
    if let Some(ticket) = path.strip_prefix("/open/").filter(|_| request.method() == Method::GET) {
        return enter(door, ticket);
    }
    let Some(token) = token(door, request.headers()) else {
        return stranger();
    };
    match visit(path, token, request).await {
        Ok(visit) => site.visit(visit).await.unwrap_or_else(|failure| failed(&failure)),
        Err(failure) => failed(&failure),
    }
}

/// What the owner sees in a browser that was not let in.
fn stranger() -> Answer {
    let hint = "run `quorate-worker open` on this machine: it opens a browser that is let in";
    let failure = Failure::new(Code::Denied, "this browser has not been let in").hint(hint);
    failed(&failure)
}

fn token(door: &Door, headers: &HeaderMap) -> Option<String> {
    let name = door.key.cookie_name();
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    let (_, cookie) = pairs.find(|(found, _)| found.trim() == name)?;
    door.key.token(cookie.trim(), now_s())
}

/// A ticket becomes a cookie. The page that says so goes on by itself: a redirect would still count as coming from
/// wherever the URL was clicked, and strict cookies do not come along from there.
fn enter(door: &Door, ticket: &str) -> Answer {
    let failed_to = |text: String| failed(&Failure::new(Code::Internal, text));
    match door.key.redeem(ticket, Instant::now()) {
        Ok(Some(cookie)) => {
            let name = door.key.cookie_name();
            let text =
                format!("{name}={cookie}; Path=/; HttpOnly; SameSite=Strict; Max-Age={SESSION_S}");
            let page = Entered { frame: Frame::bare("Let in") };
            let mut answer = html(&page).unwrap_or_else(|failure| failed(&failure));
            match HeaderValue::from_str(&text) {
                Ok(value) => answer.headers_mut().append(SET_COOKIE, value),
                Err(error) => return failed_to(error.to_string()),
            };
            answer
        }
        Ok(None) => stranger(),
        Err(error) => failed_to(error.to_string()),
    }
}

async fn visit(path: String, token: String, request: Request<Incoming>) -> Result<Visit, Failure> {
    let acts = request.method() == Method::POST;
    if !acts {
        let form = Form::read(request.uri().query().unwrap_or_default().as_bytes());
        return Ok(Visit { acts, path, form, token });
    }
    let body = Limited::new(request.into_body(), FORM_BYTES_MAX).collect().await;
    let body = body.map_err(|error| {
        let text = format!("the form: {error}; expected {FORM_BYTES_MAX} bytes at most");
        Failure::new(Code::Usage, text)
    })?;
    let form = Form::read(&body.to_bytes());
    // Of hashes: their comparison says nothing about the token.
    let sent = blake3::hash(form.text("csrf").unwrap_or_default().as_bytes());
    if sent != blake3::hash(token.as_bytes()) {
        return Err(Failure::new(Code::Denied, "this form is of another session")
            .hint("go back, load the page again, and send it once more"));
    }
    Ok(Visit { acts, path, form, token })
}
