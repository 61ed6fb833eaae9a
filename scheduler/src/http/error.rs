//! Refusals: one JSON shape, with the status that fits the code.

use actix_web::{HttpRequest, HttpResponse, ResponseError, http::StatusCode};
use quorate_common::exit::{Code, Failure};
use std::fmt;

/// A failure on its way out.
#[derive(Debug)]
pub struct ApiError(pub Failure);

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        match self.0.code {
            "usage" => StatusCode::BAD_REQUEST,
            "not_found" => StatusCode::NOT_FOUND,
            "denied" => StatusCode::FORBIDDEN,
            "funds" => StatusCode::PAYMENT_REQUIRED,
            "conflict" => StatusCode::CONFLICT,
            "unreachable" | "chain" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(self.status_code())
            .content_type("application/json")
            .body(self.0.to_json())
    }
}

/// A body that is not the JSON expected.
pub fn bad_json(error: actix_web::error::JsonPayloadError, _: &HttpRequest) -> actix_web::Error {
    ApiError(Failure::new(Code::Usage, format!("body: {error}"))).into()
}

/// A path nobody serves.
pub async fn no_route(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let message = format!("no route {} {}", request.method(), request.path());
    Err(Failure::new(Code::NotFound, message).hint("see /openapi.json").into())
}
