//! The command line of `quorate-worker`: every command, flag and help text, and which file does what.

mod abandoned;
mod amount;
mod args;
mod beginning;
mod benchmark;
mod chain;
mod config;
mod control;
mod doctor;
mod earnings;
mod engines;
mod explain;
mod failure;
mod join;
mod joining;
mod keys;
mod launch;
mod leave;
mod machines;
mod measure;
mod open;
mod output;
mod owner;
mod pairing;
mod pools;
mod prefs;
mod questions;
mod renewal;
mod run;
mod session;
mod set;
mod show;
mod sponsored;
mod tray;
mod until;
mod update;
mod wizard;

use crate::engine::compile_for;
pub(crate) use args::{JoinArgs, LeaveArgs, MeasureArgs, PauseArgs, RemainsArgs, RunArgs};
use clap::{ArgAction, Args, Parser, Subcommand};
pub(crate) use config::Config;
pub(crate) use control::LOG;
pub(crate) use earnings::{Account, Brought, Proven, claim_now};
pub(crate) use failure::key as unusable_key;
pub(crate) use keys::AT_START;
#[cfg(test)]
pub(crate) use keys::KEYS;
pub(crate) use leave::sign_off;
pub(crate) use output::Output;
pub(crate) use pools::{HOME, all as all_pools};
use quorate_common::{
    exit::{self, Code, Failure},
    telemetry::{self, LogFormat},
};
use quorate_policy::Asked;
pub(crate) use set::change;
pub(crate) use show::{allowed, state};
use std::path::PathBuf;
pub(crate) use until::Until;

const ABOUT: &str = "Lend this machine to a Quorate pool, and be paid for honest work.";

const EXAMPLES: &str = "\
Examples:
  quorate-worker join 'quorate://pool.example:7421/…'   keys, account, registration, stake
  quorate-worker start                                  work in the background, as your preferences allow
  quorate-worker pause --for 2h                         rest at once; `resume` ends it, `finish` ends tasks first
  quorate-worker set idle.only=true price=0.002         preferences; `get` prints all of them
  quorate-worker run                                    work in the foreground until interrupted
  quorate-worker engines                                what it can run: modules, and containers
  quorate-worker status                                 what it does and has earned
  quorate-worker open                                   the same in a browser, with buttons and sliders
  quorate-worker machines                               how your other machines are; `machines pair` adds one
  quorate-worker explain                                why it has no more work than it has
  quorate-worker claim                                  have the final earnings paid out

When a pool is gone for good, with what is in the worker's folder and on chain:
  quorate-worker neglect                                end it, a week after a task was due
  quorate-worker claim-abandoned                        be paid for standing by, out of its bond
  quorate-worker settle                                 show votes, then have them judged and be paid

Everything a worker owns is in its data folder (--data-dir). Exit codes: quorate-worker help exit-codes";

/// `quorate-worker`.
#[derive(Debug, Parser)]
#[command(
    name = "quorate-worker",
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
pub(crate) struct Global {
    /// Configuration file, in place of DATA-DIR/quorate.toml
    #[arg(long, global = true, value_name = "FILE", env = "QUORATE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The worker's folder: keys, store, blobs [default: quorate/worker in the user's state folder]
    #[arg(long, global = true, value_name = "DIR", env = "QUORATE_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Set a configuration key, as `--set slots=2`; may be repeated
    #[arg(long, global = true, value_name = "KEY=VALUE", action = ArgAction::Append)]
    pub(crate) set: Vec<String>,
    /// The pool that is meant, as `pools ls` names it, where this worker belongs to several
    #[arg(long, global = true, value_name = "POOL")]
    pub(crate) pool: Option<String>,
    /// Print JSON: one document
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print no notes
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Log more; -vv logs everything
    #[arg(long, short, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// How log lines look: text or json
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "text",
        hide_default_value = true
    )]
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one, once, at start")]
enum Command {
    /// Make keys and an account, write the configuration, register and stake; repeat it at will
    Join(JoinArgs),
    /// Work until SIGINT or SIGTERM, which end it with exit code 0; a second one ends it at once
    Run(RunArgs),
    /// Work in the background, whenever the preferences allow; ends a pause
    Start,
    /// Rest at once: what runs stays in memory. Survives restarts
    Pause(PauseArgs),
    /// Take nothing new, end what is here, then rest
    Finish,
    /// Work again whenever the preferences allow
    Resume,
    /// End the program in good order: give back what is unfinished, show what is sealed
    Stop,
    /// Leave the pool: give back what is unfinished, show what is sealed, start the timer of the stake; after it,
    /// once more to take the stake out
    Leave(LeaveArgs),
    /// The pools it belongs to beside its first, and their shares; `join` with another invitation adds one
    #[command(subcommand)]
    Pools(pools::PoolsCommand),
    /// Print a URL that shows your page in one browser, and open it where there is a desktop
    Open {
        /// Print it and nothing more
        #[arg(long)]
        print: bool,
    },
    /// Throw away modules and inputs that can be fetched again and no task needs now
    Clear,
    /// Try everything a worker needs, and say what to do about what is missing
    Doctor,
    /// How fast this machine runs modules, on one core and on all slots
    Benchmark,
    /// What the worker takes of this machine, watched for a while
    Measure(MeasureArgs),
    /// Remove what can be fetched again; keys, wallet and votes stay without --purge
    Uninstall {
        /// The folder as a whole, keys and wallet too: money of theirs is lost
        #[arg(long)]
        purge: bool,
    },
    /// Change the configuration, as `set price=0.002 schedule="Mon-Fri 19:00-07:00"`
    Set {
        /// What to change, all or nothing
        #[arg(value_name = "KEY=VALUE", required = true)]
        pairs: Vec<String>,
    },
    /// Print a key of the configuration, or all of them
    Get {
        /// Which
        #[arg(value_name = "KEY")]
        key: Option<String>,
    },
    /// Tell the worker of key, mouse and full screens; to be started within a desktop session
    Session {
        /// The worker's socket (key `session.socket`)
        #[arg(long, value_name = "PATH")]
        socket: Option<PathBuf>,
    },
    /// Compile a module for the worker that starts this
    #[command(hide = true)]
    Compile {
        /// Which settings
        what: String,
        /// Whose death is this one's
        parent: u32,
    },
    /// Try this machine's container engine, limit by limit, and show what the worker would offer
    Engines,
    /// Show what the worker of this data folder does
    Status,
    /// Say why it has no more work than it has, and what would change that
    Explain,
    /// Show what was earned, what is final, and what was paid
    Earnings,
    /// Have everything paid out that is final
    Claim,
    /// End a pool that froze a vote and left its task unsettled for seven days after the deal's deadline
    Neglect(RemainsArgs),
    /// Be paid out of a pool's bond for tasks this worker had committed to and that were never settled
    #[command(after_help = CLAIM_ABANDONED_HELP)]
    ClaimAbandoned(RemainsArgs),
    /// Show this worker's votes of tasks that a dead pool left, and have the tasks judged by all votes shown
    #[command(after_help = SETTLE_HELP)]
    Settle(RemainsArgs),
    /// See whether there is a newer version, install it, or go back; nothing is installed that was not asked for
    #[command(subcommand, after_help = update::HELP)]
    Update(update::UpdateCommand),
    /// Your other machines: how all of them are; pair them, and have them run, finish or pause
    #[command(after_help = machines::HELP)]
    Machines {
        #[command(subcommand)]
        command: Option<machines::MachinesCommand>,
    },
    /// Show the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print help for a command or topic, as `help join` or `help exit-codes`
    Help {
        /// A command, or `exit-codes`
        topic: Vec<String>,
    },
}

const CLAIM_ABANDONED_HELP: &str = "\
Pays 30 % of a task's price, of all tasks together a tenth of the pool's bond at most: at once if the pool
has ended, else from seven days after the deal's deadline on. What `settle` pays later is that much less.";

const SETTLE_HELP: &str = "\
Run it twice. Until the contract's window and three days after a pool's end it shows this worker's votes;
from then on, for four days, it has every task judged of which votes were shown, by whoever. After that
the payers are refunded.";

#[derive(Clone, Copy, Debug, Subcommand)]
enum ConfigCommand {
    /// Print every key with its value
    Show {
        /// And where each value came from
        #[arg(long)]
        origin: bool,
    },
}

/// The command line, for manual pages and completions.
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// Runs the command line and returns the exit status; `help exit-codes` says what it means.
pub fn main() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refused(&error),
    };
    let output = Output { json: cli.global.json, quiet: cli.global.quiet };
    telemetry::start(cli.global.log_format, filter(&cli));
    match dispatch(cli, output) {
        Ok(()) => Code::Ok as u8,
        Err(failure) => {
            output.failure(&failure);
            failure.exit
        }
    }
}

fn dispatch(cli: Cli, output: Output) -> Result<(), Failure> {
    let Cli { global, command } = cli;
    match command {
        Command::Help { topic } => help(&topic, output),
        Command::Join(args) => on_system(join::run(global, args, output)),
        Command::Run(args) => run(global, args, output),
        Command::Engines => engines::show(&global, output),
        Command::Compile { what, parent } => {
            compile_for(&what, parent).map_err(|text| Failure::new(Code::Internal, text))
        }
        Command::Start => on_system(control::start(global, output)),
        Command::Pause(args) => on_system(control::pause(global, args, output)),
        Command::Finish => on_system(control::say(global, Asked::Finish, output)),
        Command::Resume => on_system(control::say(global, Asked::Run, output)),
        Command::Stop => on_system(control::stop(global, output)),
        Command::Leave(args) => on_system(leave::leave(global, args, output)),
        Command::Pools(command) => pools::run(&global, command, output),
        Command::Open { print } => on_system(open::run(global, print, output)),
        Command::Clear => on_system(control::clear(global, output)),
        Command::Doctor => on_system(doctor::run(global, output)),
        Command::Benchmark => benchmark::run(&global, output),
        Command::Measure(args) => on_system(measure::run(global, args, output)),
        Command::Uninstall { purge } => on_system(leave::uninstall(global, purge, output)),
        Command::Set { pairs } => on_system(set::set(global, pairs, output)),
        Command::Get { key } => set::get(&global, key.as_deref(), output),
        Command::Session { socket } => on_system(session::run(global, socket, output)),
        Command::Status => on_system(show::status(&global, output)),
        Command::Explain => on_system(explain::run(global, output)),
        Command::Earnings => on_system(earnings::show(global, output)),
        Command::Claim => on_system(earnings::claim(global, output)),
        Command::Neglect(args) => on_system(abandoned::neglect(global, args, output)),
        Command::ClaimAbandoned(args) => on_system(abandoned::claim(global, args, output)),
        Command::Settle(args) => on_system(abandoned::settle(global, args, output)),
        Command::Update(command) => on_system(update::run(global, command, output)),
        Command::Machines { command } => on_system(machines::run(global, command, output)),
        Command::Config(ConfigCommand::Show { origin }) => show::config(&global, origin, output),
    }
}

/// Which version runs is settled first, and again when this one has made room for another.
fn run(global: Global, args: RunArgs, output: Output) -> Result<(), Failure> {
    launch::begin(&global)?;
    match on_system(run::run(global, args, output))? {
        renewal::Left::Over => Ok(()),
        renewal::Left::ForAnother => Err(launch::again()),
    }
}

/// actix wants a system on the main thread; each worker gets an arbiter beside it.
fn on_system<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    actix::System::new().block_on(work)
}

fn help(topic: &[String], output: Output) -> Result<(), Failure> {
    let topics: Vec<&str> = topic.iter().map(String::as_str).collect();
    if topics == ["exit-codes"] {
        return output.line(format!("Exit codes:\n{}", exit::HELP));
    }
    let mut command = <Cli as clap::CommandFactory>::command();
    command.build();
    let mut found = &mut command;
    for name in topics {
        found = found.find_subcommand_mut(name).ok_or_else(|| {
            Failure::new(Code::Usage, format!("no help topic `{name}`"))
                .hint("`quorate-worker help` lists the commands; further topics: exit-codes")
        })?;
    }
    output.line(found.render_long_help().to_string())
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

/// A running worker tells what happens; the short commands only what goes wrong.
fn filter(cli: &Cli) -> &'static str {
    match (cli.global.verbose, &cli.command) {
        (0, Command::Run(_)) => "warn,quorate_worker=info,quorate_agent=info",
        (0, _) => "warn",
        (1, _) => "info,quorate_worker=debug",
        _ => "debug",
    }
}
