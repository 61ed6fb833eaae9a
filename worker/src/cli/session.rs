//! `session`: the agent that runs in a desktop session and tells the worker of key, mouse and full screens.

use super::{Global, config::Config, output::Output};
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
    session::tell(&Surroundings::here(), &named).await.map_err(|error| {
        Failure::new(Code::NotFound, error).hint("start it within a desktop session")
    })
}
