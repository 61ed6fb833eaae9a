//! `machines pair`: a code on one machine's screen, typed on the other; then each knows the other's key.

use super::{config::Config, output::Output};
use crate::companions::Companions;
use quorate_common::exit::{Code, Failure};
use quorate_machines::{Card, Machine, PairError, code, pair};
use serde_json::json;
use std::{
    io::{self, BufRead as _, Read as _},
    net::{IpAddr, Ipv4Addr, SocketAddr},
};
use tokio::net::TcpListener;

/// Where a pairing waits unless told otherwise; the number after the scheduler's and the metrics'.
const PORT: u16 = 7423;
/// Bytes of a typed code, with whatever is typed around it.
const LINE_BYTES_MAX: u64 = 64;

/// Shows a code and waits.
pub(super) async fn host(config: &Config, output: Output) -> Result<(), Failure> {
    let heard = config.machines()?;
    let at = heard.unwrap_or((Ipv4Addr::UNSPECIFIED, PORT).into());
    let busy =
        |error| Failure::new(Code::Conflict, format!("{at} (TCP) cannot be listened at: {error}"));
    let own = card(config)?;
    let listener = TcpListener::bind(at).await.map_err(busy)?;
    let port = listener.local_addr().map_err(busy)?.port();
    let code = code::Code::new().map_err(|error| Failure::new(Code::Internal, error))?;
    let document = json!({ "code": code.to_string(), "port": port });
    output.either(&document, || format!("code {code}, for ten minutes"))?;
    output.note(format!(
        "on the other machine: quorate-worker machines pair THIS-MACHINE:{port}, and type the code there"
    ));
    if heard.is_none() {
        output.note(
            "this one will not be asked by the other: `machines.listen` is not set; set it first, as 0.0.0.0:7423, if \
             it should be",
        );
    }
    let machine = pair::host(&listener, &own, code).await.map_err(|error| unpaired(&error))?;
    keep(config, machine, output)
}

/// Goes to the machine that shows one.
pub(super) async fn join(
    config: &Config,
    address: &str,
    code: Option<code::Code>,
    output: Output,
) -> Result<(), Failure> {
    let own = card(config)?;
    let to = place(address).await?;
    let code = code.map_or_else(|| typed(output), Ok)?;
    let machine = pair::join(to, &own, code).await.map_err(|error| unpaired(&error))?;
    keep(config, machine, output)
}

/// Typed, or sent by a program: a line of standard input. A command line is read by every user of a machine.
fn typed(output: Output) -> Result<code::Code, Failure> {
    output.note("the code that the other machine shows:");
    let mut line = String::new();
    let read = io::stdin().lock().take(LINE_BYTES_MAX).read_line(&mut line);
    read.map_err(|error| Failure::new(Code::Usage, format!("the code: {error}")))?;
    line.trim().parse::<code::Code>().map_err(|error| Failure::new(Code::Usage, error))
}

/// A name or an address, with a port or without: an address of six has colons of its own.
async fn place(address: &str) -> Result<SocketAddr, Failure> {
    if let Ok(ip) = address.parse::<IpAddr>() {
        return Ok((ip, PORT).into());
    }
    let place =
        if address.contains(':') { address.to_owned() } else { format!("{address}:{PORT}") };
    let nowhere = |why: String| Failure::new(Code::Unreachable, format!("{place}: {why}"));
    let mut found =
        tokio::net::lookup_host(&place).await.map_err(|error| nowhere(error.to_string()))?;
    found.next().ok_or_else(|| nowhere("no such machine".into()))
}

fn card(config: &Config) -> Result<Card, Failure> {
    let port = config.machines()?.map(|address| address.port());
    let key = Companions::of(config).key()?.public();
    Ok(Card { name: config.name()?, key, port })
}

fn keep(config: &Config, machine: Machine, output: Output) -> Result<(), Failure> {
    Companions::of(config).add(machine.clone())?;
    output.either(&machine, || {
        let heard = match machine.address {
            Some(address) => format!("it listens at {address}"),
            None => "it listens nowhere, so it can ask and not be asked".into(),
        };
        format!("paired with {} ({}); {heard}", machine.name, machine.key)
    })
}

fn unpaired(error: &PairError) -> Failure {
    let code = match error {
        PairError::Line(_) => Code::Unreachable,
        PairError::WrongCode => Code::Denied,
        PairError::Name(_) | PairError::Itself => Code::Conflict,
        PairError::Spent => Code::TimedOut,
    };
    Failure::new(code, error)
}
