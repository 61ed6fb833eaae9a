//! `invite`: the link that volunteers join with. Everything in it is in the data folder, so neither
//! chain nor scheduler is asked, and it works while the pool runs.

use super::output::Output;
use crate::{
    config::{ChainAt, Config},
    dev,
    system::key_paths,
};
use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};
use quorate_common::{
    exit::{Code, Failure},
    invite::Invite,
    keys::node_key_at,
    messages::Domain,
    report::Chain as Report,
};
use serde_json::json;
use std::net::SocketAddr;

/// `invite`.
pub(super) fn run(config: &Config, qr: bool, output: Output) -> Result<(), Failure> {
    let unset = |key: &str| {
        Failure::new(Code::Usage, format!("`{key}` is not set")).hint(
            "run quorate-scheduler init first, or name its data folder with --data; \
             a pool that was never initialised shows its invitation when it starts to serve",
        )
    };
    let pool = config.pool.ok_or_else(|| unset("pool.id"))?;
    let embedded = config.chain == ChainAt::Embedded;
    let contract = config.contract.or_else(|| embedded.then(dev::contract));
    let contract = contract.ok_or_else(|| unset("chain.contract"))?;
    let (path, _) = key_paths(&config.data);
    if !path.exists() {
        return Err(Failure::new(Code::NotFound, format!("{} is not there", path.display()))
            .hint("run quorate-scheduler init first, or name its data folder with --data"));
    }
    let node_key = node_key_at(&path);
    let node_key = node_key.map_err(|error| Failure::new(Code::Denied, Report(&error)))?;
    let address = place("quic", config.quic_public.as_deref(), config.quic_listen)?;
    let api = match &config.http_public {
        Some(url) => url.clone(),
        None => format!("http://{}", place("http", None, config.http_listen)?),
    };
    let rpc = match &config.chain {
        ChainAt::Embedded => Some(format!("{api}/rpc")),
        ChainAt::Url(_) => config.public_node(),
    };
    if rpc.is_none() {
        output.note(
            "chain.url is kept out of the invitation, since its address may hold a key of yours; \
             set chain.public_url to name a node for volunteers",
        );
    }
    warn_of_loopback(config, output);
    let invite = Invite {
        address,
        node_key: node_key.public(),
        pool,
        domain: Domain { chain_id: config.chain_id, contract },
        rpc,
        api: Some(api),
    };
    let invite = invite.to_string();
    let code = if qr { Some(code(&invite)?) } else { None };
    let document = json!({ "schema": "quorate.invite/v1", "invite": invite, "qr": code });
    output.either(&document, || match code {
        Some(code) => format!("{invite}\n\n{code}"),
        None => invite.clone(),
    })
}

/// As half blocks of text, which every terminal shows. The lowest correction that is: on a screen nothing is
/// torn off, and a code of three hundred bytes is large enough.
fn code(invite: &str) -> Result<String, Failure> {
    let code = QrCode::with_error_correction_level(invite, EcLevel::L).map_err(|error| {
        let text = format!("an invitation of {} bytes is no QR code: {error}", invite.len());
        Failure::new(Code::Usage, text).hint("shorten quic.public, http.public or chain.public_url")
    })?;
    // Terminals are dark: what is written is what is light.
    let colours = (Dense1x2::Light, Dense1x2::Dark);
    Ok(code.render::<Dense1x2>().dark_color(colours.0).light_color(colours.1).build())
}

/// Where a door is: as it is known outside, or where it listens.
fn place(door: &str, public: Option<&str>, listen: SocketAddr) -> Result<String, Failure> {
    if let Some(public) = public {
        return Ok(public.to_owned());
    }
    if listen.port() == 0 {
        let text = format!("`{door}.listen` is {listen}: its port is chosen at every start");
        return Err(Failure::new(Code::Usage, text)
            .hint(format!("set {door}.public, or a port in {door}.listen")));
    }
    Ok(crate::config::reachable(listen).to_string())
}

fn warn_of_loopback(config: &Config, output: Output) {
    let is_here = |listen: SocketAddr| crate::config::reachable(listen).ip().is_loopback();
    let quic = config.quic_public.is_none() && is_here(config.quic_listen);
    let http = config.http_public.is_none() && is_here(config.http_listen);
    let doors: Vec<&str> = [(quic, "quic.public"), (http, "http.public")]
        .into_iter()
        .filter_map(|(is_here, key)| is_here.then_some(key))
        .collect();
    if !doors.is_empty() {
        output.warn(format!(
            "this invitation is good on this machine only; set {} for others",
            doors.join(" and ")
        ));
    }
}
