//! The operator's pages: HTML made here, readable without scripts, on a listener of their own. Every page is for
//! operators who have logged in (`session`), from the hosts and origins they should come from (`guard`);
//! what changes anything goes through `acts`, as the command line's words do.
//!
//! A page asks the grid one question that costs a millisecond or two, with pages and searches instead of
//! lists without end; what the chain says is remembered for a few seconds (`money`). Strings that strangers
//! write are text everywhere: templates escape, and the policy in the header lets no script in that is not a
//! file of this program.

mod assets;
mod error;
mod guard;
mod health;
mod login;
mod money;
mod orders;
mod overview;
mod page;
mod session;
pub(crate) mod show;
mod task;
mod trust;
mod workers;

pub use session::{Sessions, Who};

use crate::{http::State, operators::Operators, system::die_of_http};
use actix_web::{
    App, HttpServer,
    dev::ServerHandle,
    middleware::from_fn,
    web::{self, Data},
};
use quorate_common::{
    doors::Doors,
    exit::{Code, Failure},
};
use quorate_grid::headcount::Headcount;
use std::{
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Bytes of a form: a reason and a token.
const FORM_BYTES_MAX: usize = 16 << 10;
/// How long the pool's numbers are good for pages.
const COUNT_FRESH: Duration = Duration::from_secs(1);
/// Connections at once: operators have few browsers.
const CONNECTIONS_MAX: usize = 256;

/// What pages are made of.
#[derive(Debug)]
pub struct Ui {
    /// The scheduler.
    pub state: State,
    /// Who may look, and who may act.
    pub operators: Operators,
    /// Who is logged in.
    pub sessions: Sessions,
    /// Where requests may come from.
    pub doors: Doors,
    headcount: Mutex<Option<(Instant, Headcount)>>,
    preflight: tokio::sync::Mutex<Option<(Instant, Vec<health::Check>)>>,
}

impl Ui {
    /// The pool in numbers, at most a second old.
    async fn headcount(&self) -> Result<Headcount, error::PageError> {
        let known = *self.headcount.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, headcount)) = known.filter(|(at, _)| at.elapsed() < COUNT_FRESH) {
            return Ok(headcount);
        }
        let headcount = self.state.read(quorate_grid::Grid::headcount).await?;
        let now = Some((Instant::now(), headcount));
        *self.headcount.lock().unwrap_or_else(PoisonError::into_inner) = now;
        Ok(headcount)
    }
}

/// Opens the pages' door, if the operator wants one.
///
/// # Errors
/// The address is in use.
pub fn serve(state: State, api: SocketAddr) -> Result<Option<(SocketAddr, ServerHandle)>, Failure> {
    let config = &state.shared.config;
    let Some(listen) = config.ui_listen.address(api) else { return Ok(None) };
    let taken = |error: std::io::Error| {
        Failure::new(Code::Conflict, format!("ui.listen {listen}: {error}"))
            .hint("is another scheduler running? choose another port, or `off`")
    };
    let listener = TcpListener::bind(listen).map_err(taken)?;
    let address = listener.local_addr().map_err(taken)?;
    let doors = match config.ui_public.as_deref() {
        Some(url) => Doors::public("ui.public", url)?,
        None => Doors::here(address),
    };
    let operators = Operators::of(&config.data);
    let (sessions, headcount, preflight) =
        (Sessions::default(), Mutex::default(), tokio::sync::Mutex::default());
    let ui = Data::from(Arc::new(Ui { state, operators, sessions, doors, headcount, preflight }));
    let server = HttpServer::new(move || app(ui.clone()))
        .workers(1)
        .max_connections(CONNECTIONS_MAX)
        .client_request_timeout(Duration::from_secs(10))
        .shutdown_timeout(1)
        .disable_signals()
        .listen(listener)
        .map_err(taken)?
        .run();
    let handle = server.handle();
    actix::spawn(async move {
        if let Err(error) = server.await {
            die_of_http(&error);
        }
    });
    Ok(Some((address, handle)))
}

fn app(
    ui: Data<Ui>,
) -> App<
    impl actix_web::dev::ServiceFactory<
        actix_web::dev::ServiceRequest,
        Config = (),
        Response = actix_web::dev::ServiceResponse<impl actix_web::body::MessageBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    App::new().app_data(ui).wrap(from_fn(guard::guard)).configure(routes)
}

/// Every page.
fn routes(config: &mut web::ServiceConfig) {
    config
        .app_data(web::FormConfig::default().limit(FORM_BYTES_MAX).error_handler(error::bad_form))
        .service(web::redirect("/", "/ui"))
        .service(assets::asset)
        .service(login::ask)
        .service(login::enter)
        .service(login::leave)
        .service(overview::page)
        .service(workers::list)
        .service(workers::one)
        .service(workers::act)
        .service(orders::list)
        .service(orders::one)
        .service(task::one)
        .service(task::receipt)
        .service(task::blob)
        .service(trust::page)
        .service(money::page)
        .service(health::page)
        .service(health::log)
        .default_service(web::to(error::no_page));
}
