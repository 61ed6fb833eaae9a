//! What the pool pays for its workers, under /v1/sponsor: terms, permits to carry, help with coins.

use super::{State, error::ApiError};
use crate::{sponsor, transport::network};
use actix_web::{HttpRequest, get, post, web};
use quorate_common::{
    api::{AskHelp, Carried, SponsorInfo},
    permit::Permit,
};
use std::net::IpAddr;

/// The header that a proxy on this machine adds its client's address to.
const FORWARDED: &str = "X-Forwarded-For";

/// What is paid for, and what is left of it today.
#[utoipa::path(get, path = "/v1/sponsor", responses((status = 200, description = "quorate.sponsor/v1")))]
#[get("/v1/sponsor")]
pub(crate) async fn terms(state: web::Data<State>) -> web::Json<SponsorInfo> {
    web::Json(state.sponsor.info(&state))
}

/// A permit in JSON. (A name of its own, because the description shows it as text.)
type Body = web::Json<Permit>;

/// Carries a permit to the chain, with the pool's gas.
#[utoipa::path(post, path = "/v1/sponsor/carry", request_body(content = String, content_type = "application/json", description = "quorate.permit/v1"), responses(
    (status = 200, description = "quorate.carried/v1: mined, or on its way"),
    (status = 402, description = "a limit of the day, or the pool's gas"), (status = 403, description = "bad signature, or this pool pays for nobody"),
    (status = 409, description = "done already, or too late")))]
#[post("/v1/sponsor/carry")]
pub(crate) async fn carry(
    state: web::Data<State>,
    request: HttpRequest,
    body: Body,
) -> Result<web::Json<Carried>, ApiError> {
    let carried = sponsor::carry(&state, &body, from(&request)).await?;
    Ok(web::Json(carried))
}

/// A call for help in JSON.
type Asked = web::Json<AskHelp>;

/// Gives a worker's owner what it needs for an act of its own.
#[utoipa::path(post, path = "/v1/sponsor/help", request_body(content = String, content_type = "application/json", description = "worker, and help: start, exit or pass_on"), responses(
    (status = 200, description = "quorate.carried/v1: mined, or on its way"),
    (status = 402, description = "a limit of the day, or the pool's money"), (status = 403, description = "this pool gives none"),
    (status = 404, description = "no such worker"), (status = 409, description = "not its time, or done already")))]
#[post("/v1/sponsor/help")]
pub(crate) async fn help(
    state: web::Data<State>,
    request: HttpRequest,
    body: Asked,
) -> Result<web::Json<Carried>, ApiError> {
    let carried = sponsor::help(&state, body.into_inner(), from(&request)).await?;
    Ok(web::Json(carried))
}

/// The network the question comes from. Only a proxy on this machine is believed about others.
fn from(request: &HttpRequest) -> Option<u64> {
    let peer = request.peer_addr()?.ip();
    let forwarded = request.headers().get(FORWARDED).filter(|_| peer.is_loopback());
    // The last one is what our own proxy saw; those before it are the client's words.
    let last = forwarded.and_then(|value| value.to_str().ok()?.rsplit(',').next());
    let told: Option<IpAddr> = last.and_then(|text| text.trim().parse().ok());
    network(told.unwrap_or(peer))
}
