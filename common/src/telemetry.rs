//! Logging for all programs: text or JSON to standard error, so that standard output stays data.
//! Metrics are declared in `quorate-monitoring`.

use std::io::IsTerminal as _;
use tracing_subscriber::{EnvFilter, fmt};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines, one object a line.
    Json,
}

impl std::str::FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(format!("`{other}` is not a log format: expected text or json")),
        }
    }
}

/// Starts logging. `QUORATE_LOG` (as `info,quorate_scheduler=debug`) overrides `default_filter`.
/// A second call changes nothing.
pub fn start(format: LogFormat, default_filter: &str) {
    let filter =
        EnvFilter::try_from_env("QUORATE_LOG").unwrap_or_else(|_| EnvFilter::new(default_filter));
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        // Colours are for people: files and journals would keep their codes.
        LogFormat::Text => builder.with_ansi(is_seen()).with_target(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    // A program that already logs (a test, the demo) keeps its own settings.
    drop(started);
}

/// Whether somebody at a terminal reads along, who has not asked for no colours.
fn is_seen() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}
