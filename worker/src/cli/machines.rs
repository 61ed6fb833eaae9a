//! `machines`: this machine and the owner's others: how they are, and run, finish or pause, each or all of them.

use super::{
    Global, PauseArgs, amount,
    config::Config,
    output::{Output, facts},
    pairing,
};
use crate::{
    companions::{Companions, Heard, now_ms, report},
    control::{self, Ask, Told},
};
use clap::Subcommand;
use quorate_common::{
    exit::{Code, Failure},
    keys::NodeKey,
};
use quorate_machines::{Book, Command, LinkError, Machine, Report, book::ALL, code};
use quorate_senses::calendar;
use serde_json::{Value, json};

/// What a document of this command is.
const SCHEMA: &str = "quorate.companions/v1";

pub(crate) const HELP: &str = "\
Set `machines.listen` where a machine is to be asked, then on the one:
  quorate-worker machines pair                        it shows a code and waits ten minutes
and on the other:
  quorate-worker machines pair 192.168.1.20           and type the code
From then on either may ask and command the other, end to end by their node keys. There is no relay: they reach
each other on one network, or at an address and port (TCP to pair, UDP from then on) that you open.";

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum MachinesCommand {
    /// Show a code and wait; or, with an address, go to the machine that shows one
    Pair {
        /// Where the other machine waits, as 192.168.1.20 or 192.168.1.20:7423
        address: Option<String>,
        /// What it shows; without it, it is asked for: other users of this machine can read command lines
        code: Option<code::Code>,
    },
    /// Show the machines this one knows, without asking them
    Ls,
    /// Forget a machine; it is not heard any more
    Remove {
        /// As `machines ls` shows it
        name: String,
    },
    /// Ask how a machine is
    Status {
        /// A name, or ALL
        #[arg(default_value = ALL)]
        name: String,
    },
    /// Pause a machine
    Pause {
        /// A name, or ALL the others
        name: String,
        #[command(flatten)]
        args: PauseArgs,
    },
    /// Have a machine finish what runs and take nothing new
    Finish {
        /// A name, or ALL the others
        name: String,
    },
    /// Have a machine work again
    Resume {
        /// A name, or ALL the others
        name: String,
    },
}

/// `machines`.
pub(crate) async fn run(
    global: Global,
    command: Option<MachinesCommand>,
    output: Output,
) -> Result<(), Failure> {
    let config = Config::load(&global, &[])?;
    let Some(command) = command else { return all(&config, output).await };
    match command {
        MachinesCommand::Pair { address: Some(address), code } => {
            pairing::join(&config, &address, code, output).await
        }
        MachinesCommand::Pair { address: None, .. } => pairing::host(&config, output).await,
        MachinesCommand::Ls => list(&Companions::of(&config).book()?, output),
        MachinesCommand::Remove { name } => remove(&config, &name, output),
        MachinesCommand::Status { name } => ask(&config, &name, Command::Status, output).await,
        MachinesCommand::Finish { name } => ask(&config, &name, Command::Finish, output).await,
        MachinesCommand::Resume { name } => ask(&config, &name, Command::Resume, output).await,
        MachinesCommand::Pause { name, args } => {
            let now_ms = now_ms();
            let for_ms = args.until.map(|until| until.unix_ms(now_ms).saturating_sub(now_ms));
            ask(&config, &name, Command::Pause { for_ms }, output).await
        }
    }
}

/// Answers companions for as long as the worker runs, if its owner wants that.
pub(crate) fn serve(config: &Config, key: &NodeKey, output: Output) -> Result<(), Failure> {
    let Some(address) = config.machines()? else { return Ok(()) };
    Companions::of(config).listen(config, key, address).map_err(|error| {
        let text = format!("machines.listen {address}: {error}");
        Failure::new(Code::Conflict, text).hint("choose another address or port")
    })?;
    output.note(format!("your other machines are heard at {address}"));
    Ok(())
}

/// This machine and every other. One that is off is no failure: that is what was asked.
async fn all(config: &Config, output: Output) -> Result<(), Failure> {
    let companions = Companions::of(config);
    let book = companions.book()?;
    let (own, heard) = tokio::join!(own(config), companions.ask(book.machines(), Command::Status));
    let rows: Vec<Value> = std::iter::once(own?).chain(heard?.iter().map(row)).collect();
    print(&rows, output)?;
    if book.machines().is_empty() {
        output.note("no other machine is known; `quorate-worker machines pair` makes one known");
    }
    Ok(())
}

async fn own(config: &Config) -> Result<Value, Failure> {
    let told = control::ask(&config.data_dir, &Ask::Status).await;
    let report = match told {
        Ok(Told::Status { status, .. }) => Ok(report(config, &status)),
        _ => Err("the worker does not run here; `quorate-worker start` starts it".to_owned()),
    };
    Ok(json!({
        "name": config.name()?, "own": true, "report": report.as_ref().ok(), "error": report.as_ref().err(),
    }))
}

fn list(book: &Book, output: Output) -> Result<(), Failure> {
    output.either(book, || {
        if book.machines().is_empty() {
            return "no other machine is known; `machines pair` makes one known".into();
        }
        let line = |machine: &Machine| {
            let at =
                machine.address.map_or("listens nowhere".into(), |address| address.to_string());
            format!("{}  {}  {at}", machine.name, machine.key)
        };
        book.machines().iter().map(line).collect::<Vec<_>>().join("\n")
    })
}

fn remove(config: &Config, name: &str, output: Output) -> Result<(), Failure> {
    let companions = Companions::of(config);
    let gone = companions.book()?.by_name(name).ok_or_else(|| unknown(name))?.clone();
    companions.remove(&gone)?;
    output.either(&gone, || {
        format!("{name} is not heard here any more; remove this machine there too")
    })
}

/// Says something to one or all of the others.
async fn ask(config: &Config, name: &str, command: Command, output: Output) -> Result<(), Failure> {
    let companions = Companions::of(config);
    let book = companions.book()?;
    let asked: Vec<Machine> = match name {
        ALL => book.machines().to_vec(),
        name => vec![book.by_name(name).ok_or_else(|| unknown(name))?.clone()],
    };
    let heard = companions.ask(&asked, command).await?;
    print(&heard.iter().map(row).collect::<Vec<_>>(), output)?;
    if heard.iter().all(|heard| heard.report.is_ok()) {
        return Ok(());
    }
    Err(Failure::new(Code::Unreachable, "not every machine has done what was asked"))
}

fn row(heard: &Heard) -> Value {
    let Heard { machine, report, seen_unix_ms } = heard;
    json!({
        "name": machine.name, "own": false, "key": machine.key, "address": machine.address,
        "report": report.as_ref().ok(), "error": report.as_ref().err().map(LinkError::to_string),
        "seen_unix_ms": seen_unix_ms,
    })
}

fn print(rows: &[Value], output: Output) -> Result<(), Failure> {
    output.either(&json!({ "schema": SCHEMA, "machines": rows }), || {
        let line = |row: &Value| row["name"].as_str().map_or_else(String::new, str::to_owned);
        let lines: Vec<(String, String)> = rows.iter().map(|row| (line(row), words(row))).collect();
        let lines: Vec<(&str, String)> =
            lines.iter().map(|(name, words)| (name.as_str(), words.clone())).collect();
        facts(&lines)
    })
}

fn words(row: &Value) -> String {
    let seen = row["seen_unix_ms"].as_u64();
    if let Some(error) = row["error"].as_str() {
        let seen =
            seen.map_or_else(String::new, |at| format!("; last seen {}", calendar::clock(at)));
        return format!("{error}{seen}");
    }
    // Written a line before.
    let report: Report = serde_json::from_value(row["report"].clone()).unwrap_or_default();
    let Report { words, running, slots, earned, .. } = report;
    format!("{words}; {running} running on {slots} slots, earned {}", amount::show(earned.0))
}

fn unknown(name: &str) -> Failure {
    Failure::new(Code::NotFound, format!("no machine is called `{name}`"))
        .hint("`quorate-worker machines ls` shows those that are known")
}
