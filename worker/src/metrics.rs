//! The worker's `/metrics`, for its owner's Prometheus: off unless `metrics.listen` names a loopback address.
//! Figures come from the status that the status file shows; nothing is asked of the agent.
//!
//! Left out: TLS and passwords. Whoever is on this machine may read the status file as well.

use crate::status::Status;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONTENT_TYPE, HOST},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use quorate_agent::LinkView;
use quorate_monitoring::WorkerMetrics;
use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::watch};

/// How long a caller may take for a request's head; whoever trickles is on this machine.
const PATIENCE: Duration = Duration::from_secs(5);
/// Answered at once; one Prometheus is one. Others wait for a place.
const AT_ONCE: usize = 8;
/// Token units of a token.
const TOKEN: f64 = 1e18;

/// Answers until the worker is gone; returns where.
///
/// # Errors
/// The address is taken.
pub(crate) async fn serve(
    listen: SocketAddr,
    status: watch::Receiver<Status>,
) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    let metrics = Arc::new(WorkerMetrics::new());
    let places = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
    tokio::spawn(async move {
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let (metrics, status) = (Arc::clone(&metrics), status.clone());
            tokio::spawn(async move {
                let answer = service_fn(move |request| {
                    let answer = answer(&request, &metrics, &status);
                    async { Ok::<_, Infallible>(answer) }
                });
                let mut server = http1::Builder::new();
                server.timer(TokioTimer::new()).header_read_timeout(PATIENCE).keep_alive(false);
                // A caller that goes away is nobody's mistake.
                drop(server.serve_connection(TokioIo::new(stream), answer).await);
                drop(place);
            });
        }
    });
    Ok(address)
}

fn answer(
    request: &Request<Incoming>,
    metrics: &WorkerMetrics,
    status: &watch::Receiver<Status>,
) -> Response<Full<Bytes>> {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    if !host.is_some_and(is_local) {
        // A web page that points a name of its own at 127.0.0.1 is not to read it.
        return plain(
            StatusCode::MISDIRECTED_REQUEST,
            "name this machine by its loopback address\n",
        );
    }
    if request.method() != Method::GET || request.uri().path() != "/metrics" {
        return plain(StatusCode::NOT_FOUND, "there is only GET /metrics\n");
    }
    set(metrics, &status.borrow());
    plain(StatusCode::OK, metrics.text())
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

/// Whether a Host header is a loopback address or `localhost`, with or without a port.
fn is_local(host: &str) -> bool {
    let name = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
    let name = name.map_or(host, |(name, _)| name);
    let address = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn set(metrics: &WorkerMetrics, status: &Status) {
    let view = &status.view;
    for (name, link) in [
        ("down", LinkView::Down),
        ("greeting", LinkView::Greeting),
        ("unregistered", LinkView::Unregistered),
        ("up", LinkView::Up),
    ] {
        let is = u8::from(view.link == link);
        metrics.link.with_label_values(&[name]).set(is.into());
    }
    metrics.slots.set(view.slots.into());
    metrics.running.set(view.running as f64);
    metrics.jobs.set(view.jobs.len() as f64);
    metrics.unacked.set(view.unacked as f64);
    metrics.gave_up.inc_by(view.gave_up.saturating_sub(metrics.gave_up.get()));
    metrics.settled.with_label_values(&["settled"]).set(view.totals.settled as f64);
    metrics.settled.with_label_values(&["forgotten"]).set(view.totals.forgotten as f64);
    metrics.stake.set(view.stake as f64 / TOKEN);
    metrics.earned.set(view.totals.earned as f64 / TOKEN);
    metrics.slashed.set(view.totals.slashed as f64 / TOKEN);
    metrics.warnings.inc_by(status.warnings.saturating_sub(metrics.warnings.get()));
    metrics.score.set(view.score.into());
    metrics.cache.set(status.cache_bytes as f64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_local() {
        for host in ["localhost", "localhost:7422", "127.0.0.1:7422", "[::1]:7422", "127.0.0.1"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["evil.example", "evil.example:7422", "192.168.1.2:7422", "", "[::2]:1"] {
            assert!(!is_local(host), "{host}");
        }
    }
}
