//! Arguments of commands that have several.

use super::{amount, until::Until};
use clap::{ArgAction, Args};
use quorate_chain::Address;
use quorate_common::invite::Invite;
use std::path::PathBuf;

/// `join`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct JoinArgs {
    /// The operator's invitation; without it, the configured one is used again
    #[arg(value_name = "INVITE")]
    pub(crate) invite: Option<Invite>,
    /// A name for people (key `name`)
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Replicas at once (key `slots`)
    #[arg(long, value_name = "N")]
    pub(crate) slots: Option<u16>,
    /// The account that owns stake and earnings (key `owner`); made if there is none
    #[arg(long, value_name = "WALLET")]
    pub(crate) owner: Option<String>,
    /// A file with that account's private key, 64 hex digits, mode 0600 (key `owner_key_file`)
    #[arg(long, value_name = "FILE", conflicts_with = "owner")]
    pub(crate) owner_key_file: Option<PathBuf>,
    /// Refuse to go on if the owner is not this address
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) payout: Option<Address>,
    /// Tokens to have at stake in the pool: units, or a decimal as 1.5 [default: 16 votes a slot]
    #[arg(long, value_name = "AMOUNT", value_parser = amount::parse)]
    pub(crate) stake: Option<u128>,
    /// JSON-RPC node of the chain, if the invitation names none (key `chain.url`)
    #[arg(long, value_name = "URL")]
    pub(crate) chain_url: Option<String>,
    /// Give the earnings away, to the address that the pool names for donations (sets key `payout`)
    #[arg(long, conflicts_with = "offline")]
    pub(crate) donate: bool,
    /// Sign the registration into this file, for anybody with coins to carry: quorate wallet carry FILE
    #[arg(long, value_name = "FILE", conflicts_with = "offline")]
    pub(crate) permit: Option<PathBuf>,
    /// Keys and configuration only; nothing is sent to the chain
    #[arg(long)]
    pub(crate) offline: bool,
}

/// `leave`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct LeaveArgs {
    /// Stay until the stake is free, however many days that takes, and take it out
    #[arg(long, conflicts_with = "permit")]
    pub(super) wait: bool,
    /// Do what can be done now, and leave nothing behind that waits for the rest
    #[arg(long, conflicts_with_all = ["wait", "permit"])]
    pub(super) once: bool,
    /// Sign the exit into this file, for anybody with coins to carry: quorate wallet carry FILE
    #[arg(long, value_name = "FILE")]
    pub(super) permit: Option<PathBuf>,
}

/// `run`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RunArgs {
    /// Replicas at once (key `slots`)
    #[arg(long, value_name = "N")]
    pub(crate) slots: Option<u16>,
    /// Run containers too: auto (if all limits hold), require, off (key `docker.use`)
    #[arg(long, value_name = "USE", num_args = 0..=1, require_equals = true, default_missing_value = "auto")]
    pub(crate) docker: Option<String>,
}

/// `pause`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct PauseArgs {
    /// How long, as 30m, 2h or 3d, or until when, as 19:00 or tomorrow [default: until `resume`]
    #[arg(long = "for", visible_alias = "until", value_name = "TIME")]
    pub(super) until: Option<Until>,
}

/// `measure`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct MeasureArgs {
    /// The process to watch; may be repeated [default: the worker]
    #[arg(long, value_name = "PID", action = ArgAction::Append)]
    pub(super) pid: Vec<u32>,
    /// Another one to compare with, by number or name, as `boinc`; may be repeated
    #[arg(long, value_name = "PID|NAME", action = ArgAction::Append)]
    pub(super) beside: Vec<String>,
    /// How long to watch
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(super) seconds: u64,
    /// End with exit code 10 if the worker takes more than an idle one may: 40 MB, 0.2 % of a core, nothing written
    #[arg(long)]
    pub(super) check: bool,
}

/// `neglect`, `claim-abandoned`, `settle`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RemainsArgs {
    /// Who has the evidence of the pool's final batches: a URL that serves it, or the folder of a `quorate
    /// watch`; may be repeated [default: the scheduler's API]. A pool without final batches needs none
    #[arg(long, value_name = "URL|DIR", action = ArgAction::Append)]
    pub(crate) evidence: Vec<String>,
    /// Block the contract was deployed in: its events are read from here
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) from_block: u64,
    /// Say what would be done, what it would pay and the gas it takes; send nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}
