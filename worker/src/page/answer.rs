//! Answers: pages, files, the way to another page, and what went wrong.

use super::frame::Frame;
use askama::Template;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    body::Bytes,
    header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue, LOCATION},
};
use quorate_common::exit::{Code, Failure};

/// What goes back to a browser.
pub(crate) type Answer = Response<Full<Bytes>>;

#[derive(Template)]
#[template(path = "error.html")]
struct Page {
    frame: Frame,
    message: String,
    hint: String,
}

/// A page as it goes out.
pub(crate) fn html(page: &impl Template) -> Result<Answer, Failure> {
    let text = page.render().map_err(|error| Failure::new(Code::Internal, error))?;
    Ok(bytes(StatusCode::OK, "text/html; charset=utf-8", text))
}

/// To another page, by a request that changes nothing.
pub(crate) fn go(to: &str) -> Answer {
    let mut answer = plain(StatusCode::SEE_OTHER, to);
    // Paths are made here, of words of ours.
    let place = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/"));
    answer.headers_mut().insert(LOCATION, place);
    answer
}

/// Text without a page.
pub(crate) fn plain(status: StatusCode, text: &str) -> Answer {
    bytes(status, "text/plain; charset=utf-8", format!("{text}\n"))
}

/// A file to be saved, never shown: strangers wrote some of it.
pub(crate) fn file(kind: &'static str, text: impl Into<Bytes>) -> Answer {
    let mut answer = bytes(StatusCode::OK, kind, text);
    answer.headers_mut().insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    answer
}

pub(super) fn bytes(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// What went wrong, and what to do.
pub(super) fn failed(failure: &Failure) -> Answer {
    let page = Page {
        frame: Frame::bare("Not done"),
        message: failure.message.clone(),
        hint: failure.hint.clone().unwrap_or_default(),
    };
    let text = page.render().unwrap_or_else(|_| failure.to_string());
    bytes(status(failure), "text/html; charset=utf-8", text)
}

fn status(failure: &Failure) -> StatusCode {
    match failure.code {
        "usage" => StatusCode::BAD_REQUEST,
        "not_found" => StatusCode::NOT_FOUND,
        "denied" => StatusCode::FORBIDDEN,
        "conflict" => StatusCode::CONFLICT,
        "unreachable" | "chain" | "funds" | "timed_out" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
