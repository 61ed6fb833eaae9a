//! `cargo sim`: see `--help`.

use clap::{Parser, Subcommand};
use quorate_sim::tables;

/// Runs the production rules in a world made of one seed.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
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

fn main() {
    let Args { command } = Args::parse();
    match command {
        Command::Tables(args) => print_tables(&args),
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
