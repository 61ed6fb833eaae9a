//! The operator's command line: every command, flag and help text, and which file does what.

mod ask;
mod backup;
pub(crate) mod chain;
mod check;
mod deploy;
mod drain;
mod init;
mod invite;
mod monitoring;
mod operator;
mod output;
mod serve;
mod show;
mod unit;
mod worker;

use crate::{
    config::{Config, KEYS},
    dev,
    operators::Role,
};
use clap::{ArgAction, Args, Parser, Subcommand};
use output::Output;
use quorate_common::{
    Address,
    config::{ConfigError, Layers},
    exit::{self, Code, Failure},
    telemetry::{self, LogFormat},
};
use std::path::{Path, PathBuf};

const ABOUT: &str = "Run a Quorate pool: take orders, hand tasks to workers, count votes, pay.";

const EXAMPLES: &str = "\
Examples:
  quorate-scheduler serve                               a pool on a chain of its own, to try it out
  quorate-scheduler init                                asks, and registers a pool with its bond
  quorate-scheduler check                               looks for what will go wrong, with a fix for each
  quorate-scheduler config show --origin                what is set, and where
  quorate-scheduler invite --qr                         the link that volunteers join with

Everything a pool is made of is in its data folder (--data), the configuration too: DATA/quorate.toml.
Exit codes: quorate-scheduler help exit-codes";

/// The system's file, the weakest.
const SYSTEM_FILE: &str = "/etc/quorate/scheduler.toml";
/// The pool's own file, in its data folder.
const FILE: &str = "quorate.toml";
/// `quorate-scheduler`.
#[derive(Debug, Parser)]
#[command(
    name = "quorate-scheduler",
    version,
    about = ABOUT,
    after_help = EXAMPLES,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// Configuration file, in place of DATA/quorate.toml
    #[arg(long, global = true, env = "QUORATE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of keys, configuration, journal and blobs (key `data`)
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Set a configuration key, as `--set batch.age_s=60`; may be repeated
    #[arg(long, global = true, value_name = "KEY=VALUE", action = ArgAction::Append)]
    set: Vec<String>,
    /// Print JSON: one document
    #[arg(long, global = true)]
    json: bool,
    /// Print no notes
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Log more: -v every task's trip, -vv everything
    #[arg(long, short, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// How log lines look: text or json (key `log.format`)
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make keys and a commented configuration, and register the pool with its bond
    Init(Init),
    /// Look for what will go wrong before it does: 0 all well, 10 warnings, 1 errors, each with its fix
    Check,
    /// Run the pool until SIGINT or SIGTERM, which end it with exit code 0
    Serve,
    /// Have the running scheduler finish: no new orders, open tasks to their end, batches on chain, then stop
    Drain(Drain),
    /// Copy the data folder while its scheduler runs, verify a copy, put one back
    #[command(subcommand)]
    Backup(BackupCommand),
    /// Ask the running scheduler how it is; exit code 4 if none runs on DATA
    Status,
    /// Print the link that workers join with; it names the key that the scheduler must show
    Invite(Invite),
    /// See workers, keep new work from them, send them away
    #[command(subcommand)]
    Worker(WorkerCommand),
    /// Say why: nothing is scheduled, a worker was refused, settlement is late; and what a day costs
    Explain {
        #[command(subcommand)]
        what: Option<ExplainWhat>,
    },
    /// Say who may see the pages of the running scheduler, and who may act on them
    #[command(subcommand)]
    Operator(OperatorCommand),
    /// Deploy and verify contracts
    #[command(subcommand)]
    Chain(ChainCommand),
    /// Read a stopped pool's journal from its first record and print what it comes to
    Replay,
    /// Show or check the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Write what Prometheus and Grafana need for this version's metrics
    #[command(subcommand)]
    Monitoring(MonitoringCommand),
    /// Print the API's description (OpenAPI 3.1)
    Openapi,
    /// Print help for a command or topic, as `help init` or `help exit-codes`
    Help {
        /// A command, or `exit-codes`
        topic: Vec<String>,
    },
}

/// `init`.
#[derive(Debug, Args)]
struct Init {
    /// Chain: dev, anvil, arbitrum-sepolia or arbitrum (key `chain.preset`)
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// JSON-RPC node of the chain (key `chain.url`); may be repeated
    #[arg(long, value_name = "URL", action = ArgAction::Append)]
    rpc: Vec<String>,
    /// The settlement contract (key `chain.contract`)
    #[arg(long, value_name = "ADDRESS")]
    contract: Option<String>,
    /// Name or address that others find this machine by: opens the API to them, unless --api names a proxy
    #[arg(long, value_name = "HOST")]
    public: Option<String>,
    /// URL of the API as a TLS proxy in front of it is known (key `http.public`)
    #[arg(long, value_name = "URL", requires = "public")]
    api: Option<String>,
    /// Token units of bond, 10^-18 of a token each; two thirds of it cap what may be pending
    #[arg(long, value_name = "UNITS", default_value = "1000000000000000000000")]
    bond: u128,
    /// File with the operator's private key, 64 hex digits: pays bond and gas, and is kept in DATA. `new` makes
    /// one, and names the account to send money to
    #[arg(long, env = "QUORATE_GAS_KEY", value_name = "FILE")]
    gas_key: Option<PathBuf>,
    /// Deploy a test token and the contract first; for development chains only
    #[arg(long)]
    deploy: bool,
    /// Write a systemd unit for this folder (the package brings its own)
    #[arg(long, value_name = "FILE")]
    unit: Option<PathBuf>,
    /// Ask nothing
    #[arg(long)]
    yes: bool,
}

/// `drain`.
#[derive(Clone, Copy, Debug, Args)]
struct Drain {
    /// Wait at most this many seconds, then leave it draining (exit code 5)
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
    timeout: u64,
    /// Take orders again
    #[arg(long)]
    cancel: bool,
}

/// `invite`.
#[derive(Clone, Copy, Debug, Args)]
struct Invite {
    /// Show it as a QR code too, for telephones and posters
    #[arg(long)]
    qr: bool,
}

#[derive(Debug, Subcommand)]
enum WorkerCommand {
    /// List workers
    Ls {
        /// Number, name, owner or node key, or a part of it
        text: Option<String>,
        /// all, online, working, idle, offline, restrained or dissenting
        #[arg(long, value_name = "STATE", default_value = "all")]
        among: String,
        /// Skip so many
        #[arg(long, value_name = "N", default_value_t = 0)]
        from: usize,
    },
    /// Show one worker, and why it has no more work
    Show {
        /// Its number
        worker: String,
    },
    /// Give it no new work; it finishes what it has
    Drain {
        /// Its number
        worker: String,
        /// Why: its owner reads it too
        #[arg(required = true)]
        reason: Vec<String>,
    },
    /// Send it away; what it has committed it may still reveal
    Ban {
        /// Its number
        worker: String,
        /// Why: its owner reads it too
        #[arg(required = true)]
        reason: Vec<String>,
    },
    /// Let a drained or banned one work again
    Unban {
        /// Its number
        worker: String,
    },
}

#[derive(Debug, Subcommand)]
enum ExplainWhat {
    /// Why was this worker refused, or has nothing to do?
    Worker {
        /// Its number, node key, or the name it gave itself
        worker: String,
    },
    /// Why does this order wait?
    Order {
        /// Its hash
        order: quorate_common::B256,
    },
    /// Why is settlement late, or when is it due?
    Settlement,
    /// What does this pool cost me a day?
    Cost,
}

#[derive(Debug, Subcommand)]
enum OperatorCommand {
    /// Add an operator; asks for a password, or takes QUORATE_PASSWORD
    Add {
        /// How it logs in
        name: String,
        /// read: see every page; act: drain and ban as well
        #[arg(long, value_name = "ROLE")]
        role: Role,
    },
    /// List operators
    Ls,
    /// Remove an operator; its sessions end
    Rm {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Subcommand)]
enum BackupCommand {
    /// Make a backup of DATA, keys included, in a folder that is not there yet
    Create {
        /// The new folder
        into: PathBuf,
    },
    /// Check every byte of a backup, and replay its journal
    Verify {
        /// The backup
        backup: PathBuf,
    },
    /// Put a verified backup into DATA, which must be empty or absent. Only the newest copy of a pool may sign
    Restore {
        /// The backup
        backup: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum ChainCommand {
    /// Put the contracts on a chain, and check that what is there is this release's code
    Deploy(Deploy),
    /// Check the code of the contract at an address
    Verify {
        #[command(flatten)]
        at: ChainArgs,
        /// The settlement contract
        #[arg(long, value_name = "ADDRESS")]
        contract: Address,
    },
    /// Print the chains that are known by name
    Presets,
}

/// Which chain.
#[derive(Debug, Args)]
struct ChainArgs {
    /// Chain: anvil, arbitrum-sepolia or arbitrum (dev has its contract)
    #[arg(long, value_name = "NAME")]
    preset: String,
    /// JSON-RPC node; the preset's if not given
    #[arg(long, value_name = "URL")]
    rpc: Option<String>,
}

/// `chain deploy`.
#[derive(Debug, Args)]
struct Deploy {
    #[command(flatten)]
    at: ChainArgs,
    /// File with the deployer's private key, 64 hex digits: pays the gas, and owns nothing afterwards
    #[arg(long, env = "QUORATE_GAS_KEY", value_name = "FILE")]
    gas_key: PathBuf,
    /// The token that the contract will hold, for ever
    #[arg(
        long,
        value_name = "ADDRESS",
        conflicts_with = "test_token",
        required_unless_present = "test_token"
    )]
    token: Option<Address>,
    /// Deploy a worthless token too, all of it the deployer's; not where money is real
    #[arg(long)]
    test_token: bool,
    /// Seconds in which a batch can be challenged: 48 hours to 10 days
    #[arg(long, value_name = "SECONDS", default_value_t = dev::WINDOW_S)]
    window: u64,
}

#[derive(Clone, Debug, Subcommand)]
enum MonitoringCommand {
    /// Write dashboards, rules, runbooks and provisioning files into a folder
    Export {
        /// The folder
        folder: PathBuf,
    },
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum ConfigCommand {
    /// Print every key with its value
    Show {
        /// And where each value came from
        #[arg(long)]
        origin: bool,
    },
    /// Read it and say what is wrong
    Check,
}

/// The command line, for manual pages and completions.
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// Runs the command line and returns the exit status; `help exit-codes` says what it means.
pub fn run() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refused(&error),
    };
    let output = Output { json: cli.global.json, quiet: cli.global.quiet };
    let is_start = matches!(cli.command, Command::Serve);
    match dispatch(cli, output) {
        Ok(code) => code,
        Err(failure) => {
            let failure = if is_start { told_apart(failure) } else { failure };
            output.failure(&failure);
            failure.exit
        }
    }
}

/// Says of what ended a start whether it will pass: who is woken at night should know before reading on.
fn told_apart(mut failure: Failure) -> Failure {
    const WRONG: [Code; 4] = [Code::Usage, Code::NotFound, Code::Denied, Code::Conflict];
    let is_wrong = WRONG.iter().any(|code| *code as u8 == failure.exit);
    failure.retryable = !is_wrong;
    let word = if is_wrong {
        "set up wrongly, and starting again changes nothing"
    } else {
        "set up rightly as far as was read: this may pass, and starting again is worth it"
    };
    let hint = failure.hint.take().map(|hint| format!("{hint}\n  ")).unwrap_or_default();
    failure.hint(format!("{hint}{word}"))
}

fn dispatch(cli: Cli, output: Output) -> Result<u8, Failure> {
    let Cli { global, command } = cli;
    let layers = match &command {
        // What needs no configuration works with a broken one.
        Command::Help { topic } => return help(topic, output).map(done),
        Command::Openapi => return output.line(openapi()).map(done),
        Command::Monitoring(MonitoringCommand::Export { folder }) => {
            return monitoring::export(folder, output).map(done);
        }
        Command::Init(_)
        | Command::Check
        | Command::Serve
        | Command::Invite(_)
        | Command::Chain(_)
        | Command::Backup(_)
        | Command::Drain(_)
        | Command::Worker(_)
        | Command::Explain { .. }
        | Command::Operator(_)
        | Command::Status
        | Command::Replay
        | Command::Config(_) => layers(&global, matches!(command, Command::Init(_)))?,
    };
    let set: LogFormat = layers.parse("log.format", "text or json").map_err(usage)?;
    telemetry::start(global.log_format.unwrap_or(set), filter(&global, &command));
    let config = || Config::from_layers(&layers).map_err(usage);
    match command {
        Command::Check => return block_on(check::run(&config()?, output)),
        Command::Init(args) => block_on(init::run(&global, layers, args, output)),
        Command::Serve => block_on(serve::run(config()?, output)),
        Command::Invite(args) => invite::run(&config()?, args.qr, output),
        Command::Status => block_on(drain::status(&config()?, output)),
        Command::Drain(args) => block_on(drain::run(&config()?, args, output)),
        Command::Worker(command) => block_on(worker::run(&config()?, &command, output)),
        Command::Explain { what } => block_on(worker::explain(&config()?, what.as_ref(), output)),
        Command::Operator(command) => operator::run(&config()?, &command, output),
        Command::Backup(command) => backup::run(&config()?, &command, output),
        Command::Chain(command) => block_on(deploy::run(command, output)),
        Command::Replay => show::replay(&config()?, output),
        Command::Config(ConfigCommand::Show { origin }) => show::show(&layers, origin, output),
        Command::Config(ConfigCommand::Check) => show::check(&config()?, output),
        Command::Help { .. } | Command::Monitoring(_) | Command::Openapi => Ok(()),
    }
    .map(done)
}

fn done((): ()) -> u8 {
    Code::Ok as u8
}

/// The API's description as it is served.
pub fn openapi() -> String {
    use utoipa::OpenApi as _;
    crate::http::Description::openapi().to_pretty_json().expect("a description always serialises")
}

/// Defaults, files, environment, flags. `init` may write the file that `--config` names.
fn layers(global: &Global, is_init: bool) -> Result<Layers, Failure> {
    let mut layers = Layers::new(KEYS);
    layers.file(SYSTEM_FILE.as_ref(), false).map_err(usage)?;
    let file = file_of(global, &layers)?;
    let required = global.config.is_some() && !is_init;
    layers.file(&file, required).map_err(usage)?;
    overrides(global, &mut layers)?;
    Ok(layers)
}

/// The pool's configuration file. Where its folder is has to be known before it is read.
fn file_of(global: &Global, below: &Layers) -> Result<PathBuf, Failure> {
    if let Some(file) = &global.config {
        return Ok(file.clone());
    }
    let mut layers = below.clone();
    overrides(global, &mut layers)?;
    Ok(Path::new(&layers.text("data").map_err(usage)?).join(FILE))
}

/// What goes before every file.
fn overrides(global: &Global, layers: &mut Layers) -> Result<(), Failure> {
    let vars = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    layers.env(vars).map_err(usage)?;
    if let Some(data) = &global.data {
        layers.flag("--data", "data", &data.display().to_string()).map_err(usage)?;
    }
    for pair in &global.set {
        let (key, value) = pair.split_once('=').ok_or_else(|| {
            Failure::new(Code::Usage, format!("--set {pair}: expected KEY=VALUE"))
        })?;
        layers.flag("--set", key.trim(), value.trim()).map_err(usage)?;
    }
    Ok(())
}

/// Help and version are answers; anything else is a wrong command line, in JSON if that was asked for.
fn refused(error: &clap::Error) -> u8 {
    if error.use_stderr() && std::env::args_os().any(|arg| arg == "--json") {
        let text = error.render().to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text).trim();
        Output { json: true, quiet: false }.failure(&Failure::new(Code::Usage, text));
    } else {
        // Nobody to talk to is no reason to fail otherwise.
        drop(error.print());
    }
    u8::try_from(error.exit_code()).unwrap_or(Code::Usage as u8)
}

fn help(topic: &[String], output: Output) -> Result<(), Failure> {
    if topic == ["exit-codes"] {
        return output.line(format!("Exit codes:\n{}", exit::HELP));
    }
    let mut command = <Cli as clap::CommandFactory>::command();
    command.build();
    let mut found = &mut command;
    for name in topic {
        found = found.find_subcommand_mut(name).ok_or_else(|| {
            Failure::new(Code::Usage, format!("no help topic `{}`", topic.join(" ")))
                .hint("`quorate-scheduler help` lists the commands; further topics: exit-codes")
        })?;
    }
    output.line(found.render_long_help().to_string().trim_end())
}

/// A running scheduler tells what happens; the short commands only what goes wrong.
fn filter(global: &Global, command: &Command) -> &'static str {
    match (global.verbose, command) {
        (0, Command::Serve) => "warn,quorate_scheduler=info,quorate_grid=info,quorate_chain=info",
        (0, _) => "warn",
        (1, _) => "info,quorate_scheduler=debug",
        _ => "debug",
    }
}

fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    actix::System::new().block_on(work)
}

fn usage(error: ConfigError) -> Failure {
    Failure::new(Code::Usage, error).hint(
        "`quorate-scheduler config show --origin` prints every key and where its value came from",
    )
}
