//! What goes wrong, as a page: what, and what to do. Who is not logged in is shown the way.

use super::{page::Frame, session::Who};
use crate::http::error::ApiError;
use actix_web::{
    HttpRequest, HttpResponse, ResponseError,
    error::UrlencodedError,
    http::{StatusCode, header},
};
use askama::Template;
use quorate_common::exit::{Code, Failure};
use std::fmt;

/// Why there is no page.
#[derive(Debug)]
pub enum PageError {
    /// Nobody is logged in.
    Stranger,
    /// Something is wrong.
    Failed(Box<Failure>),
}

#[derive(Template)]
#[template(path = "error.html")]
struct Page {
    frame: Frame,
    message: String,
    hint: String,
}

impl From<Failure> for PageError {
    fn from(failure: Failure) -> Self {
        Self::Failed(Box::new(failure))
    }
}

impl From<ApiError> for PageError {
    fn from(ApiError(failure): ApiError) -> Self {
        failure.into()
    }
}

impl From<askama::Error> for PageError {
    fn from(error: askama::Error) -> Self {
        Failure::new(Code::Internal, error).into()
    }
}

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stranger => f.write_str("log in first"),
            Self::Failed(failure) => failure.fmt(f),
        }
    }
}

impl ResponseError for PageError {
    fn error_response(&self) -> HttpResponse {
        match self {
            Self::Stranger => HttpResponse::SeeOther()
                .insert_header((header::LOCATION, "/ui/login"))
                .body("log in first: /ui/login\n"),
            Self::Failed(failure) => failed(failure),
        }
    }

    fn status_code(&self) -> StatusCode {
        match self {
            Self::Stranger => StatusCode::SEE_OTHER,
            Self::Failed(failure) => status(failure),
        }
    }
}

fn status(failure: &Failure) -> StatusCode {
    if failure.code == "denied" && failure.retryable {
        return StatusCode::TOO_MANY_REQUESTS;
    }
    match failure.code {
        "usage" => StatusCode::BAD_REQUEST,
        "not_found" => StatusCode::NOT_FOUND,
        "denied" => StatusCode::FORBIDDEN,
        "conflict" => StatusCode::CONFLICT,
        "unreachable" | "chain" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn failed(failure: &Failure) -> HttpResponse {
    let page = Page {
        frame: Frame::bare("Not done"),
        message: failure.message.clone(),
        hint: failure.hint.clone().unwrap_or_default(),
    };
    let text = page.render().unwrap_or_else(|_| failure.to_string());
    HttpResponse::build(status(failure)).content_type("text/html; charset=utf-8").body(text)
}

/// An answer without a page.
pub(super) fn plain(status: StatusCode, why: &str) -> HttpResponse {
    HttpResponse::build(status).content_type("text/plain; charset=utf-8").body(format!("{why}\n"))
}

/// A form that is not one of ours.
pub(super) fn bad_form(error: UrlencodedError, _: &HttpRequest) -> actix_web::Error {
    PageError::from(Failure::new(Code::Usage, format!("the form: {error}"))).into()
}

/// A path without a page: not even that is told to strangers.
pub(super) async fn no_page(who: Who, request: HttpRequest) -> Result<HttpResponse, PageError> {
    let path: String = request.path().chars().take(80).collect();
    let text = format!("there is no page {path}, {}", who.operator.name);
    Err(Failure::new(Code::NotFound, text).hint("the menu has all of them").into())
}
