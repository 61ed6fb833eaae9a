//! `cargo sim`: see `--help`.

use clap::{Parser, Subcommand};

/// Runs the production rules in a world made of one seed.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints what trust costs under several policies.
    Tables,
}

fn main() {
    let Args { command } = Args::parse();
    match command {
        Command::Tables => {}
    }
}
