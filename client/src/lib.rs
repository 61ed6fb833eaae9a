//! The requester's program, as a library: `quorate` is a thin `main` around `run`, and the demo
//! reuses the parts.
//!
//! Read in this order: [`cli`] (what can be said), [`config`] and [`context`] (with what), [`plan`],
//! [`place`], [`upload`] and `run`(mod@run) (from lines to an order), [`pack`] (the runtime a script runs on), [`offer`] and [`signed`] (who sells to it
//! or pays for it), [`api`] and [`follow`] (the
//! scheduler), [`directory`], [`results`] and [`verify`] (what comes back, and whether it holds),
//! [`wallet`] and [`chain`] (money), [`watch`] (holding pools to it),
//! [`pool`] (what one that is gone has left), [`poco`] (the arithmetic of trust).
//!
//! Nothing about credibility or pay is decided here: that is `quorate_grid`'s, in the same code the
//! scheduler runs.

pub mod amount;
pub mod api;
mod bench;
pub mod chain;
pub mod cli;
pub mod config;
pub mod context;
pub mod demo;
pub mod directory;
pub mod failure;
pub mod follow;
mod help;
pub mod history;
mod image;
pub mod offer;
pub mod order;
pub mod output;
pub mod pack;
pub mod place;
pub mod plan;
pub mod poco;
pub mod pool;
pub mod progress;
pub mod results;
pub mod rows;
pub mod run;
mod sealing;
pub mod secret;
pub mod signed;
pub mod template;
pub mod units;
pub mod upload;
pub mod verify;
mod verify_command;
pub mod wallet;
pub mod watch;

use clap::Parser as _;
use cli::{Cli, Command, ConfigCommand, Global};
use config::Config;
use context::Context;
use output::Output;
use quorate_common::{
    exit::{Code, Failure},
    telemetry,
};

/// Runs the command line and returns the exit status. `exit::HELP` says what it means.
pub fn run() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refused(&error),
    };
    let output = Output {
        json: cli.global.json,
        quiet: cli.global.quiet,
        color: output::color_wanted(cli.global.no_color),
    };
    telemetry::start(cli.global.log_format, filter(cli.global.verbose));
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
    match command {
        // What needs neither configuration nor network.
        Command::Demo(args) => demo::run(&args, output),
        Command::Bench(args) => bench::run(&args, output),
        Command::Poco(args) => poco::run(&args, output).map(|()| 0),
        Command::Pack(command) => pack::run(&command, output).map(|()| 0),
        Command::Help { topic } => help::run(&topic, output).map(|()| 0),
        Command::Verify(args) => on_runtime(verify_command::run(&args, output)).map(|()| 0),
        Command::Config(ConfigCommand::Show { origin }) => {
            config::show(&Config::load(&global)?, origin, output).map(|()| 0)
        }
        Command::Config(ConfigCommand::Init { file }) => {
            config::init(&Config::load(&global)?, file, output).map(|()| 0)
        }
        Command::Run(args) => {
            with_context(&global, output, async |context| run::run(context, &args).await)
        }
        Command::Order(command) => with_context(&global, output, async |context| {
            order::run(context, &command).await.map(|()| 0)
        }),
        Command::Offer(command) => with_context(&global, output, async |context| {
            offer::run(context, &command).await.map(|()| 0)
        }),
        Command::Pool(command) => with_context(&global, output, async |context| {
            pool::run(context, &command).await.map(|()| 0)
        }),
        Command::Watch(args) => {
            let context = Context::new(Config::load(&global)?, output, &global);
            // It ends by itself when it is interrupted, so that nothing is lost.
            on_runtime(watch::run(&context, &args))
        }
        Command::Wallet(command) => with_context(&global, output, async |context| {
            wallet::run(context, &command).await.map(|()| 0)
        }),
    }
}

/// Runs `work` until it is done or somebody interrupts it.
fn with_context(
    global: &Global,
    output: Output,
    work: impl AsyncFnOnce(&Context) -> Result<u8, Failure>,
) -> Result<u8, Failure> {
    let context = Context::new(Config::load(global)?, output, global);
    on_runtime(async {
        tokio::select! {
            outcome = work(&context) => outcome,
            failure = context.interrupted() => Err(failure),
        }
    })
}

fn on_runtime<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime
        .map_err(|error| Failure::new(Code::Internal, format!("no threads to run on: {error}")))?;
    let outcome = runtime.block_on(work);
    // A thread may still wait for the keyboard; it must not hold up the end.
    runtime.shutdown_background();
    outcome
}

/// Help and version are answers; anything else is a wrong command line, in JSON if that was asked for.
fn refused(error: &clap::Error) -> u8 {
    if error.use_stderr() && std::env::args_os().any(|arg| arg == "--json") {
        let text = error.render().to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text).trim();
        Output { json: true, ..Output::default() }.failure(&Failure::new(Code::Usage, text));
    } else {
        // Nobody to talk to is no reason to fail otherwise.
        let _ = error.print();
    }
    u8::try_from(error.exit_code()).unwrap_or(Code::Usage as u8)
}

fn filter(verbose: u8) -> &'static str {
    match verbose {
        0 => "warn",
        1 => "info,quorate_client=debug",
        _ => "debug",
    }
}
