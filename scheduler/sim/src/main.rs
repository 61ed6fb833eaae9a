//! `cargo sim`: see `--help`.

use clap::{Parser, Subcommand};
use quorate_sim::{
    cli::{self, BugArgs, RunArgs},
    tables,
};
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
    /// Prints what trust costs under several policies: minutes, or seconds with --quick.
    Tables(TablesArgs),
}

#[derive(Debug, clap::Args)]
struct TablesArgs {
    /// The seed of every run.
    #[arg(long, default_value_t = tables::SEED)]
    seed: u64,
    /// JSON instead of Markdown.
    #[arg(long)]
    json: bool,
    /// A part of the tables only.
    #[arg(long, conflicts_with = "table")]
    quick: bool,
    /// One table only, by its number.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=tables::TABLES as i64))]
    table: Option<u8>,
}

fn main() -> ExitCode {
    let Args { command, run } = Args::parse();
    match command {
        None => cli::run(&run),
        Some(Command::Bugs(args)) => cli::bugs(&args),
        Some(Command::Tables(args)) => {
            print_tables(&args);
            ExitCode::SUCCESS
        }
    }
}

fn print_tables(args: &TablesArgs) {
    let only = args.table.map(usize::from);
    let made = if args.quick { tables::quick(args.seed) } else { tables::all(args.seed, only) };
    if args.json {
        println!("{}", serde_json::json!({ "seed": args.seed, "tables": made }));
        return;
    }
    println!("Seed {}.\n", args.seed);
    made.iter().for_each(|table| println!("{table}"));
}
