//! Preflight: what will go wrong, looked for before it does. One finding per thing looked at, each with what
//! was found and, if that is not well, what to do. For `check`, for `init` when it is done, and for the page
//! that shows it of a running scheduler. Nothing is changed, sent or repaired here, and no finding holds a secret.

mod chain;
mod door;
mod machine;

use crate::config::Config;
pub(crate) use machine::serving;
use serde::Serialize;
use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// The pool runs, and something is in store for it.
    Warning,
    /// The pool does not run, or must not.
    Error,
}

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The data folder and who may change it.
    Folder,
    /// The key files and who may read them.
    Keys,
    /// The journal's format, and who holds it.
    Journal,
    /// The addresses to listen at.
    Ports,
    /// What invitations say.
    Public,
    /// Room, and what kind of disk.
    Disk,
    /// How long a group commit takes.
    Fsync,
    /// This machine's clock against the chain's.
    Clock,
    /// The chain's nodes.
    Rpc,
    /// Their chain id.
    ChainId,
    /// The contract's code.
    Contract,
    /// The pool's registration.
    Pool,
    /// The account that pays for transactions.
    Gas,
    /// The bond against what will wait in its window.
    Bond,
}

/// What was found of one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: Check,
    /// How bad it is.
    pub level: Level,
    /// One sentence.
    pub found: String,
    /// What to do about it; nothing where it is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    fn ok(check: Check, found: impl fmt::Display) -> Self {
        Self { check, level: Level::Ok, found: found.to_string(), fix: None }
    }

    fn warning(check: Check, found: impl fmt::Display, fix: impl fmt::Display) -> Self {
        let (found, fix) = (found.to_string(), Some(fix.to_string()));
        Self { check, level: Level::Warning, found, fix }
    }

    fn error(check: Check, found: impl fmt::Display, fix: impl fmt::Display) -> Self {
        Self { level: Level::Error, ..Self::warning(check, found, fix) }
    }
}

impl Check {
    /// The word for it, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::Keys => "keys",
            Self::Journal => "journal",
            Self::Ports => "ports",
            Self::Public => "public",
            Self::Disk => "disk",
            Self::Fsync => "fsync",
            Self::Clock => "clock",
            Self::Rpc => "rpc",
            Self::ChainId => "chain_id",
            Self::Contract => "contract",
            Self::Pool => "pool",
            Self::Gas => "gas",
            Self::Bond => "bond",
        }
    }
}

/// Looks at everything: the machine first, then the chain. Takes a second or two, of which up to half a
/// second is the disk's. Works beside a running scheduler of the same folder.
pub async fn run(config: &Config) -> Vec<Finding> {
    let machine = {
        let config = config.clone();
        tokio::task::spawn_blocking(move || machine::all(&config)).await
    };
    let mut findings = machine.unwrap_or_else(|error| {
        vec![Finding::error(Check::Folder, error, "this is a fault of ours: report it")]
    });
    findings.extend(door::public(config));
    findings.extend(chain::all(config).await);
    findings
}

/// The worst of them.
pub fn worst(findings: &[Finding]) -> Level {
    findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
}
