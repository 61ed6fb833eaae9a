//! `open`: lets a browser see the worker's page; of one that has not joined, the questions of `join`.

use super::{Global, config::Config, control, output::Output, wizard};
use crate::start::is_running;
use quorate_common::exit::{Code, Failure};
use serde_json::json;
use std::process::{Command, Stdio};

/// `open`.
pub(super) async fn run(global: Global, print: bool, output: Output) -> Result<(), Failure> {
    let config = Config::load(&global, &[])?;
    if config.layers.optional("invite").is_none() {
        return wizard::run(global, print, output).await;
    }
    if !is_running(&config.data_dir) {
        let text = format!("no worker runs in {}", config.data_dir.display());
        return Err(Failure::new(Code::NotFound, text).hint("`quorate-worker start` starts it"));
    }
    let url = control::page_url(&config).await?;
    if !print && !output.json {
        show(&url, output);
    }
    output.either(&json!({ "schema": "quorate.open/v1", "url": url }), || url.clone())
}

/// Hands it to the desktop, where there is one. The URL is printed in any case.
pub(super) fn show(url: &str, output: Output) {
    let has = |name| std::env::var_os(name).is_some();
    if !has("DISPLAY") && !has("WAYLAND_DISPLAY") {
        return output.note("open this in a browser on this machine, within two minutes:");
    }
    let mut command = Command::new("xdg-open");
    let quiet = command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Err(error) = quiet.spawn() {
        output.note(format!("xdg-open: {error}; open this in a browser, within two minutes:"));
    }
}
