//! The two doors: whether their addresses can be had, and whether those who are invited will find them.

use super::{Check, Finding};
use crate::config::{Config, reachable};
use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
};

/// Whether both addresses can be had. A scheduler that runs on the same folder holds them itself.
pub(super) fn ports(config: &Config, is_served: bool) -> Vec<Finding> {
    let (quic, http) = (config.quic_listen, config.http_listen);
    if is_served {
        let found = format!("held by this folder's running scheduler: udp {quic}, tcp {http}");
        return vec![Finding::ok(Check::Ports, found)];
    }
    vec![
        port("quic.listen", "udp", quic, UdpSocket::bind(quic).map(drop)),
        port("http.listen", "tcp", http, TcpListener::bind(http).map(drop)),
    ]
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the system has forty kinds of error")]
fn port(key: &str, kind: &str, listen: SocketAddr, bound: io::Result<()>) -> Finding {
    let Err(error) = bound else {
        return Finding::ok(Check::Ports, format!("{kind} {listen} is free"));
    };
    let fix = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "end the program that has it (`ss -lnp` names it), or set {key} to another port"
            )
        }
        io::ErrorKind::AddrNotAvailable => {
            format!(
                "this machine has no such address (`ip address` lists them): set {key} to one it has"
            )
        }
        io::ErrorKind::PermissionDenied => {
            format!("ports below 1024 need CAP_NET_BIND_SERVICE: set {key} to a port from 1024 on")
        }
        _ => format!("set {key} to another address"),
    };
    Finding::error(Check::Ports, format!("`{key}`: {kind} {listen}: {error}"), fix)
}

/// Whether invitations name doors that others can reach.
pub(super) fn public(config: &Config) -> Vec<Finding> {
    let quic = match &config.quic_public {
        Some(public) => Finding::ok(Check::Public, format!("workers are sent to {public}")),
        None => local("quic.public", "HOST:PORT, as pool.example.org:7421", config.quic_listen),
    };
    let http = match config.http_public.as_deref() {
        Some(url) if url.starts_with("http://") && !is_here(url) => Finding::warning(
            Check::Public,
            format!("`http.public` is {url}: inputs, results and logins can be read on their way"),
            "put a TLS proxy in front of http.listen and set http.public to its https:// address",
        ),
        Some(url) => Finding::ok(Check::Public, format!("requesters are sent to {url}")),
        None => {
            local("http.public", "the API's URL, as https://pool.example.org", config.http_listen)
        }
    };
    vec![quic, http]
}

fn local(key: &str, what: &str, listen: SocketAddr) -> Finding {
    let place = reachable(listen);
    if !place.ip().is_loopback() {
        return Finding::ok(Check::Public, format!("invitations name {place}"));
    }
    let found =
        format!("`{key}` is not set: invitations name {place}, which is good on this machine only");
    Finding::warning(Check::Public, found, format!("set {key} to {what}"))
}

fn is_here(url: &str) -> bool {
    ["http://127.", "http://localhost", "http://[::1]"].iter().any(|here| url.starts_with(here))
}
