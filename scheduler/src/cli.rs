//! The operator's command line: every command, flag and help text, and which file does what.

pub(crate) mod chain;
mod check;
mod init;
mod invite;
mod output;
mod serve;
mod show;

use crate::config::{Config, KEYS};
use clap::{ArgAction, Args, Parser, Subcommand};
use output::Output;
use quorate_common::{
    config::{ConfigError, Layers},
    exit::{self, Code, Failure},
    telemetry::{self, LogFormat},
};
use std::path::{Path, PathBuf};

const ABOUT: &str = "Run a Quorate pool: take orders, hand tasks to workers, count votes, pay.";

const EXAMPLES: &str = "\
Examples:
  quorate-scheduler serve                               a pool on a chain of its own, to try it out
  quorate-scheduler init --set chain.preset=arbitrum-sepolia --set chain.contract=0x… --gas-key FILE
                                                        register a pool with its bond
  quorate-scheduler config show --origin                what is set, and where
  quorate-scheduler invite                              the link that volunteers join with

Everything a pool is made of is in its data folder (--data), the configuration too: DATA/quorate.toml.
Exit codes: quorate-scheduler help exit-codes";

/// The system's file, the weakest.
const SYSTEM_FILE: &str = "/etc/quorate/scheduler.toml";
/// The pool's own file, in its data folder.
const FILE: &str = "quorate.toml";
/// Environment variables that are no configuration keys, for any of the three programs: somebody may
/// run them all on one machine.
const RESERVED: &[&str] = &[
    "QUORATE_LOG",
    "QUORATE_CONFIG",
    "QUORATE_PASSWORD",
    "QUORATE_DATA_DIR",
    "QUORATE_GAS_KEY",
    "QUORATE_ANVIL",
    "QUORATE_TEST_DOCKER",
    "QUORATE_TEST_PODMAN",
    "QUORATE_PYTHON_PACK",
    "QUORATE_PACK_CACHE",
    #[cfg(feature = "byzantine")]
    "QUORATE_MISBEHAVE",
];

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
    /// Log more; -vv logs everything
    #[arg(long, short, global = true, action = ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make keys and a commented configuration, and register the pool with its bond
    Init(Init),
    /// Look for what will go wrong before it does: 0 all well, 10 warnings, 1 errors, each with its fix
    Check,
    /// Run the pool until SIGINT or SIGTERM, which end it with exit code 0
    Serve,
    /// Print the link that workers join with
    Invite,
    /// Read a stopped pool's journal from its first record and print what it comes to
    Replay,
    /// Show or check the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
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
    /// Token units of bond, 10^-18 of a token each; two thirds of it cap what may be pending
    #[arg(long, value_name = "UNITS", default_value = "1000000000000000000000")]
    bond: u128,
    /// File with the operator's private key, 64 hex digits: pays bond and gas, and is kept in DATA
    #[arg(long, env = "QUORATE_GAS_KEY", value_name = "FILE")]
    gas_key: Option<PathBuf>,
    /// Deploy a test token and the contract first; for development chains only
    #[arg(long)]
    deploy: bool,
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

/// Runs the command line and returns the exit status; `help exit-codes` says what it means.
pub fn run() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refused(&error),
    };
    let output = Output { json: cli.global.json, quiet: cli.global.quiet };
    match dispatch(cli, output) {
        Ok(code) => code,
        Err(failure) => {
            output.failure(&failure);
            failure.exit
        }
    }
}

fn dispatch(cli: Cli, output: Output) -> Result<u8, Failure> {
    let Cli { global, command } = cli;
    let layers = match &command {
        // What needs no configuration works with a broken one.
        Command::Help { topic } => return help(topic, output).map(done),
        Command::Openapi => return output.line(openapi()).map(done),
        Command::Init(_)
        | Command::Check
        | Command::Serve
        | Command::Invite
        | Command::Replay
        | Command::Config(_) => layers(&global, matches!(command, Command::Init(_)))?,
    };
    let format: LogFormat = layers.parse("log.format", "text or json").map_err(usage)?;
    telemetry::start(format, filter(&global, &command));
    let config = || Config::from_layers(&layers).map_err(usage);
    match command {
        Command::Check => return block_on(check::run(&config()?, output)),
        Command::Init(args) => block_on(init::run(&global, &layers, &args, output)),
        Command::Serve => block_on(serve::run(config()?, output)),
        Command::Invite => invite::run(&config()?, output),
        Command::Replay => show::replay(&config()?, output),
        Command::Config(ConfigCommand::Show { origin }) => show::show(&layers, origin, output),
        Command::Config(ConfigCommand::Check) => show::check(&config()?, output),
        Command::Help { .. } | Command::Openapi => Ok(()),
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
    layers.env(vars, RESERVED).map_err(usage)?;
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
