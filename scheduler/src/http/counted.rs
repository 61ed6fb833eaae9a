//! Counts requests by what they are about and how they ended, and how long their answers took to begin.

use super::State;
use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::StatusCode,
    middleware::Next,
    web::Data,
};
use quorate_monitoring::HTTP_GROUPS;
use std::time::Instant;

/// The middleware.
pub(crate) async fn count(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let began = Instant::now();
    let state = request.app_data::<Data<State>>().cloned();
    let about = group(request.match_pattern().as_deref());
    let answer = next.call(request).await;
    let status = match &answer {
        Ok(answer) => answer.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    if let Some(state) = state {
        let metrics = &state.shared.metrics;
        metrics.http_requests.with_label_values(&[about, class(status)]).inc();
        metrics.http_seconds.with_label_values(&[about]).observe(began.elapsed().as_secs_f64());
    }
    answer
}

/// What a route is about. Strangers choose paths, but routes are ours; the path itself is never a label.
fn group(route: Option<&str>) -> &'static str {
    let Some(route) = route else { return "unknown" };
    let words = || route.split('/').filter(|word| !word.is_empty() && *word != "v1");
    let events = words().any(|word| word == "events");
    let first = words().next().map(|word| word.trim_end_matches(".json")).unwrap_or_default();
    let known = HTTP_GROUPS.iter().find(|group| **group == first);
    let of_api =
        route.starts_with("/v1") || ["healthz", "metrics", "openapi", "rpc"].contains(&first);
    match known {
        Some(_) if events => "events",
        Some(group) if of_api => group,
        Some(_) | None if of_api => "other",
        Some(_) | None => "page",
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        500..600 => "5xx",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_has_a_group_and_no_path_has_one() {
        for (route, about) in [
            ("/v1/pool", "pool"),
            ("/v1/workers/{worker}/explain", "workers"),
            ("/v1/orders/{order}/events", "events"),
            ("/metrics", "metrics"),
            ("/openapi.json", "openapi"),
            ("/v1/something", "other"),
            ("/", "page"),
            ("/workers/{worker}", "page"),
        ] {
            assert_eq!(group(Some(route)), about, "{route}");
        }
        assert_eq!(group(None), "unknown");
    }
}
