//! `session`: the agent that runs in a desktop session and tells the worker of key, mouse and full screens.

use super::{Global, config::Config, output::Output, tray};
use crate::governor::SESSION_SOCKET;
use quorate_common::exit::{Code, Failure};
use quorate_senses::session::{self, Surroundings};
use std::path::PathBuf;

/// `session`.
pub(super) async fn run(
    global: Global,
    socket: Option<PathBuf>,
    output: Output,
) -> Result<(), Failure> {
    let named = match socket {
        Some(socket) => socket,
        None => {
            let config = Config::load(&global, &[])?;
            config.file_of("session.socket").unwrap_or_else(|| config.path(SESSION_SOCKET))
        }
    };
    output.note(format!("telling {}", named.display()));
    let here = Surroundings::here();
    if let Some(bus) = &here.bus {
        // An icon beside the clock, of a worker that listens to this user.
        tokio::spawn(tray::run(Config::load(&global, &[])?, bus.clone(), output));
    }
    session::tell(&here, &named).await.map_err(|error| {
        Failure::new(Code::NotFound, error).hint("start it within a desktop session")
    })
}
