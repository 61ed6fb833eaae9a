//! What `init` asks somebody at a terminal who gave it no flags. Each answer becomes a flag, so that whatever
//! is asked can be written as a command too.

use super::{Init, usage};
use dialoguer::{Confirm, Input, Select};
use quorate_chain::presets::{EMBEDDED, PRESETS};
use quorate_common::{
    Address,
    config::{Layers, Origin},
    exit::{Code, Failure},
};
use std::io::IsTerminal as _;

/// Whether somebody is there to be asked, and has said nothing yet.
pub(super) fn is_wanted(args: &Init, layers: &Layers) -> bool {
    let is_told = args.yes || args.deploy || args.gas_key.is_some() || args.preset.is_some();
    let is_set = layers.rows().iter().any(|(key, value)| {
        key.name != "data" && !matches!(value, None | Some((_, Origin::Default)))
    });
    !is_told && !is_set && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks.
pub(super) fn ask(args: &mut Init) -> Result<(), Failure> {
    let names = PRESETS.map(|preset| preset.name);
    let chosen = Select::new().with_prompt("Which chain").items(names).default(0).interact();
    let preset = PRESETS[chosen.map_err(gone)?];
    args.preset = Some(preset.name.into());
    if preset.url != EMBEDDED {
        let url = text("JSON-RPC node (its URL)", preset.url)?;
        args.rpc = Some(url).filter(|url| url != preset.url).into_iter().collect();
        contract(args)?;
        args.gas_key = Some(text("File with the operator's key, or new", "new")?.into());
    }
    let host = text("Name or address that volunteers find this machine by; empty: only here", "")?;
    args.public = Some(host).filter(|host| !host.is_empty());
    Ok(())
}

fn contract(args: &mut Init) -> Result<(), Failure> {
    let prompt = "Deploy a contract with a test token? (no: there is one)";
    args.deploy = Confirm::new().with_prompt(prompt).default(false).interact().map_err(gone)?;
    if !args.deploy {
        let asked = Input::<Address>::new().with_prompt("Settlement contract (0x…)");
        args.contract = Some(asked.interact_text().map_err(gone)?.to_string());
    }
    Ok(())
}

fn text(prompt: &str, default: &str) -> Result<String, Failure> {
    let asked = Input::<String>::new().with_prompt(prompt).allow_empty(true);
    asked.default(default.into()).interact_text().map_err(gone)
}

fn gone(error: dialoguer::Error) -> Failure {
    Failure::new(Code::Usage, format!("no answer: {error}"))
        .hint("flags answer too: quorate-scheduler init --help")
}

/// Lays the flags that stand for configuration keys over the rest.
pub(super) fn lay(args: &Init, layers: &mut Layers) -> Result<(), Failure> {
    let mut set = |flag: &str, key: &str, value: &str| layers.flag(flag, key, value).map_err(usage);
    if let Some(preset) = &args.preset {
        set("--preset", "chain.preset", preset)?;
    }
    if !args.rpc.is_empty() {
        set("--rpc", "chain.url", &args.rpc.join(","))?;
    }
    if let Some(contract) = &args.contract {
        set("--contract", "chain.contract", contract)?;
    }
    let Some(host) = &args.public else { return Ok(()) };
    let port = |listen: String| listen.rsplit_once(':').map(|(_, port)| port.to_owned());
    let quic = port(layers.text("quic.listen").map_err(usage)?).unwrap_or_default();
    layers.flag("--public", "quic.public", &format!("{host}:{quic}")).map_err(usage)?;
    let Some(api) = &args.api else {
        let http = port(layers.text("http.listen").map_err(usage)?).unwrap_or_default();
        // Without a proxy in front of it the API must be reachable itself.
        layers.flag("--public", "http.listen", &format!("0.0.0.0:{http}")).map_err(usage)?;
        let url = format!("http://{host}:{http}");
        return layers.flag("--public", "http.public", &url).map_err(usage);
    };
    layers.flag("--api", "http.public", api).map_err(usage)
}
