//! `cargo sim`: see `--help`.

use clap::{Parser, Subcommand};
use quorate_sim::cli::{self, BugArgs, RunArgs};
use std::process::ExitCode;

/// Runs the production rules in worlds made of one seed each, and checks what must never break.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes mistakes on purpose, and looks for each.
    Bugs(BugArgs),
    /// Prints what trust costs under several policies.
    Tables,
}

fn main() -> ExitCode {
    let Args { command, run } = Args::parse();
    match command {
        None => cli::run(&run),
        Some(Command::Bugs(args)) => cli::bugs(&args),
        Some(Command::Tables) => ExitCode::SUCCESS,
    }
}
