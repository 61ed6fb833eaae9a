//! In and out.

use super::{
    Ui,
    error::PageError,
    page::{Frame, html},
    session::{LIFE_MAX, Who, address, cookie_name, from},
};
use crate::{logbook::Entry, operators::Operator};
use actix_web::{
    HttpRequest, HttpResponse, get,
    http::StatusCode,
    http::header,
    post,
    web::{self, Data},
};
use askama::Template;
use quorate_common::exit::{Code, Failure};
use std::{net::IpAddr, time::Instant};

#[derive(Template)]
#[template(path = "login.html")]
struct Page {
    frame: Frame,
    /// Nobody was ever added.
    nobody: bool,
    wrong: String,
    name: String,
}

/// What the form sends.
#[derive(serde::Deserialize)]
pub(super) struct Entering {
    name: String,
    password: String,
}

#[derive(serde::Deserialize)]
pub(super) struct Leaving {
    csrf: String,
}

/// The form; who is in already goes on.
#[get("/ui/login")]
pub(super) async fn ask(ui: Data<Ui>, who: Option<Who>) -> Result<HttpResponse, PageError> {
    if who.is_some() {
        return Ok(go("/ui"));
    }
    let nobody = ui.operators.all()?.is_empty();
    html(&Page { frame: Frame::bare("Log in"), nobody, wrong: String::new(), name: String::new() })
}

/// Checks a password, slowly, and begins a session.
#[post("/ui/login")]
pub(super) async fn enter(
    ui: Data<Ui>,
    request: HttpRequest,
    form: web::Form<Entering>,
) -> Result<HttpResponse, PageError> {
    let from_ip = address(&request).unwrap_or(IpAddr::from([0, 0, 0, 0]));
    ui.sessions.guess(from_ip, Instant::now())?;
    let Entering { name, password } = form.into_inner();
    let (operators, asked) = (ui.operators.clone(), name.clone());
    let checked = web::block(move || operators.check(&asked, &password)).await;
    let operator = checked.map_err(|error| Failure::new(Code::Internal, error))??;
    let outcome = if operator.is_some() { "done" } else { "wrong name or password" };
    let entry =
        Entry { operator: &name, from: &from(&request), act: "login", outcome, ..Entry::default() };
    ui.state.logbook.write(ui.state.shared.now().unix_ms, &entry)?;
    match operator {
        Some(operator) => begin(&ui, from_ip, operator),
        None => again(&ui, name),
    }
}

fn begin(ui: &Ui, from: IpAddr, operator: Operator) -> Result<HttpResponse, PageError> {
    ui.sessions.forgive(from);
    let secret = ui.sessions.begin(operator)?;
    let mut response = go("/ui");
    set_cookie(ui, &mut response, &secret, LIFE_MAX.as_secs());
    Ok(response)
}

fn again(ui: &Ui, name: String) -> Result<HttpResponse, PageError> {
    let page = Page {
        frame: Frame::bare("Log in"),
        nobody: ui.operators.all()?.is_empty(),
        wrong: "No operator has this name and password.".into(),
        name,
    };
    let mut response = html(&page)?;
    *response.status_mut() = StatusCode::FORBIDDEN;
    Ok(response)
}

/// Ends the session.
#[post("/ui/logout")]
pub(super) async fn leave(
    ui: Data<Ui>,
    who: Who,
    form: web::Form<Leaving>,
) -> Result<HttpResponse, PageError> {
    who.sent(&form.csrf)?;
    ui.sessions.end(who.session);
    let entry = Entry {
        operator: &who.operator.name,
        from: &who.from,
        act: "logout",
        outcome: "done",
        ..Entry::default()
    };
    ui.state.logbook.write(ui.state.shared.now().unix_ms, &entry)?;
    let mut response = go("/ui/login");
    set_cookie(&ui, &mut response, "", 0);
    Ok(response)
}

fn set_cookie(ui: &Ui, response: &mut HttpResponse, secret: &str, age_s: u64) {
    let secure = ui.doors.secure;
    let mut text = format!(
        "{}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age_s}",
        cookie_name(secure)
    );
    if secure {
        text.push_str("; Secure");
    }
    if let Ok(value) = header::HeaderValue::from_str(&text) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// To another page, by a request that changes nothing.
pub(super) fn go(to: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, to)).finish()
}
