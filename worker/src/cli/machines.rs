//! `machines`: the owner's other machines: pair, list, ask, command. Keys and codes are `quorate_machines`'
//! business; what a command does is the control socket's.

use super::{
    Global, PauseArgs, amount,
    config::Config,
    failure,
    output::{Output, facts},
};
use crate::{
    control::{self, Ask, Told},
    status::Status,
    why::why,
};
use clap::Subcommand;
use quorate_common::{
    clock::SystemClock,
    exit::{Code, Failure},
    keys::{self, NodeKey},
    report::Chain,
};
use quorate_machines::{
    Answer, Book, BookError, Card, Code as PairingCode, Command, LinkError, Machine, PairError,
    link, pair,
};
use quorate_policy::{Asked, Wish};
use serde_json::{Value, json};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};
use tokio::net::TcpListener;

/// In the worker's folder.
const FILE: &str = "machines.json";
/// Where a pairing waits unless told otherwise; the number after the scheduler's and the metrics'.
const PORT: u16 = 7423;
/// Every machine there is.
const ALL: &str = "ALL";

pub(crate) const HELP: &str = "\
Set `machines.listen` where a machine is to be asked, then on the one:
  quorate-worker machines pair                        it shows a code and waits ten minutes
and on the other:
  quorate-worker machines pair 192.168.1.20 1234-5678
From then on either may ask and command the other, end to end by their node keys. There is no relay: they reach
each other on one network, or at an address and port (TCP to pair, UDP from then on) that you open.";

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum MachinesCommand {
    /// Show a code and wait; or, with address and code, go to the machine that shows it
    Pair {
        /// Where the other machine waits, as 192.168.1.20 or 192.168.1.20:7423
        #[arg(requires = "code")]
        address: Option<String>,
        /// What it shows
        code: Option<PairingCode>,
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
        /// A name, or ALL
        name: String,
        #[command(flatten)]
        args: PauseArgs,
    },
    /// Have a machine finish what runs and take nothing new
    Finish {
        /// A name, or ALL
        name: String,
    },
    /// Have a machine work again
    Resume {
        /// A name, or ALL
        name: String,
    },
}

/// `machines`.
pub(crate) async fn run(
    global: Global,
    command: MachinesCommand,
    output: Output,
) -> Result<(), Failure> {
    let config = Config::load(&global, &[])?;
    match command {
        MachinesCommand::Pair { address: Some(address), code: Some(code) } => {
            join(&config, &address, code, output).await
        }
        MachinesCommand::Pair { .. } => host(&config, output).await,
        MachinesCommand::Ls => list(&config, output),
        MachinesCommand::Remove { name } => remove(&config, &name, output),
        MachinesCommand::Status { name } => ask(&config, &name, Command::Status, output).await,
        MachinesCommand::Finish { name } => ask(&config, &name, Command::Finish, output).await,
        MachinesCommand::Resume { name } => ask(&config, &name, Command::Resume, output).await,
        MachinesCommand::Pause { name, args } => {
            let now_ms = SystemClock::start().now().unix_ms;
            let until_unix_ms = args.until.map(|until| until.unix_ms(now_ms));
            ask(&config, &name, Command::Pause { until_unix_ms }, output).await
        }
    }
}

/// Answers companions for as long as the worker runs, if its owner wants that.
pub(crate) fn serve(config: &Config, key: &NodeKey, output: Output) -> Result<(), Failure> {
    let Some(address) = config.machines()? else { return Ok(()) };
    let endpoint = link::listen(key, address).map_err(|error| linked(&error))?;
    let at = endpoint.local_addr().map_err(|error| Failure::new(Code::Internal, error))?;
    output.note(format!("companions are heard at {at}"));
    let data_dir = config.data_dir.clone();
    tokio::spawn(link::serve(endpoint, config.path(FILE), move |name, command| {
        obey(data_dir.clone(), name, command)
    }));
    Ok(())
}

async fn obey(data_dir: PathBuf, name: String, command: Command) -> Answer {
    let wish = |asked, until_unix_ms| Ask::Wish { wish: Wish { asked, until_unix_ms } };
    let ask = match command {
        Command::Status => Ask::Status,
        Command::Pause { until_unix_ms } => wish(Asked::Pause, until_unix_ms),
        Command::Finish => wish(Asked::Finish, None),
        Command::Resume => wish(Asked::Run, None),
    };
    tracing::info!(from = name, ?command, "a companion asks");
    match control::ask(&data_dir, &ask).await {
        Ok(Told::Status { status, .. }) => Answer::Status(summary(&status)),
        Ok(Told::Refused { why }) => Answer::Refused(why),
        Err(error) => Answer::Refused(format!("the worker does not answer: {error}")),
    }
}

/// What one line of a list can hold.
fn summary(status: &Status) -> Value {
    let why = why(Some(status), true);
    json!({
        "name": status.name,
        "link": status.view.link,
        "running": status.view.running,
        "earned": status.view.totals.earned.to_string(),
        "reason": why.as_ref().map(|why| why.code()),
        "words": why.as_ref().map(|why| why.words()),
    })
}

async fn host(config: &Config, output: Output) -> Result<(), Failure> {
    let heard = config.machines()?;
    let at = heard.unwrap_or((Ipv4Addr::UNSPECIFIED, PORT).into());
    let busy =
        |error| Failure::new(Code::Conflict, format!("{at} (TCP) cannot be listened at: {error}"));
    let listener = TcpListener::bind(at).await.map_err(busy)?;
    let port = listener.local_addr().map_err(busy)?.port();
    let code = PairingCode::new().map_err(|error| Failure::new(Code::Internal, error))?;
    let document = json!({ "code": code.to_string(), "port": port });
    output.either(&document, || format!("code {code}, for ten minutes"))?;
    output.note(format!(
        "on the other machine: quorate-worker machines pair THIS-MACHINE:{port} {code}"
    ));
    let machine =
        pair::host(&listener, &card(config)?, code).await.map_err(|error| unpaired(&error))?;
    keep(config, machine, output)
}

async fn join(
    config: &Config,
    address: &str,
    code: PairingCode,
    output: Output,
) -> Result<(), Failure> {
    let place =
        if address.contains(':') { address.to_owned() } else { format!("{address}:{PORT}") };
    let found = tokio::net::lookup_host(&place).await;
    let nowhere = |why: String| Failure::new(Code::Unreachable, format!("{place}: {why}"));
    let to: Option<SocketAddr> = found.map_err(|error| nowhere(error.to_string()))?.next();
    let to = to.ok_or_else(|| nowhere("no such machine".into()))?;
    let machine = pair::join(to, &card(config)?, code).await.map_err(|error| unpaired(&error))?;
    keep(config, machine, output)
}

fn keep(config: &Config, machine: Machine, output: Output) -> Result<(), Failure> {
    let mut book = book(config)?;
    book.add(machine.clone()).map_err(|error| unkept(&error))?;
    book.write(&config.path(FILE)).map_err(|error| unkept(&error))?;
    output.either(&machine, || {
        let heard = match machine.address {
            Some(address) => format!("it listens at {address}"),
            None => "it listens nowhere, so it can ask and not be asked".into(),
        };
        format!("paired with {} ({}); {heard}", machine.name, machine.key)
    })
}

fn list(config: &Config, output: Output) -> Result<(), Failure> {
    let book = book(config)?;
    output.either(&book, || {
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
    let mut book = book(config)?;
    let gone = book.remove(name).ok_or_else(|| unknown(name))?;
    book.write(&config.path(FILE)).map_err(|error| unkept(&error))?;
    output.either(&gone, || {
        format!("{name} is not heard here any more; remove this machine there too")
    })
}

/// Asks one or all, all at once; one that does not answer does not keep the others waiting.
async fn ask(config: &Config, name: &str, command: Command, output: Output) -> Result<(), Failure> {
    let (book, key) = (book(config)?, own_key(config)?);
    let asked: Vec<Machine> = match name {
        ALL => book.machines().to_vec(),
        name => vec![book.by_name(name).ok_or_else(|| unknown(name))?.clone()],
    };
    let mut talks = tokio::task::JoinSet::new();
    for (at, machine) in asked.iter().cloned().enumerate() {
        let key = key.clone();
        talks.spawn(async move { (at, link::ask(&key, &machine, command).await) });
    }
    let mut answers = talks.join_all().await;
    answers.sort_by_key(|(at, _)| *at);
    let all_good = answers.iter().all(|(_, answer)| matches!(answer, Ok(Answer::Status(_))));
    let rows: Vec<Value> = answers.iter().map(|(at, answer)| row(&asked[*at], answer)).collect();
    let document = json!({ "schema": "quorate.companions/v1", "machines": rows });
    output.either(&document, || {
        let lines: Vec<(&str, String)> = asked
            .iter()
            .zip(&rows)
            .map(|(machine, row)| (machine.name.as_str(), words(row)))
            .collect();
        facts(&lines)
    })?;
    if all_good {
        return Ok(());
    }
    Err(Failure::new(Code::Unreachable, "not every machine has done what was asked"))
}

fn row(machine: &Machine, answer: &Result<Answer, LinkError>) -> Value {
    let (status, error) = match answer {
        Ok(Answer::Status(status)) => (status.clone(), None),
        Ok(Answer::Refused(why)) => (Value::Null, Some(why.clone())),
        Err(error) => (Value::Null, Some(Chain(error).to_string())),
    };
    json!({ "name": machine.name, "key": machine.key, "status": status, "error": error })
}

fn words(row: &Value) -> String {
    if let Some(error) = row["error"].as_str() {
        return error.to_owned();
    }
    let status = &row["status"];
    let earned = status["earned"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0);
    let state = status["words"].as_str().unwrap_or("working");
    format!("{state}; {} running, earned {}", status["running"], amount::show(earned))
}

fn card(config: &Config) -> Result<Card, Failure> {
    let port = config.machines()?.map(|address| address.port());
    Ok(Card { name: config.name()?, key: own_key(config)?.public(), port })
}

fn own_key(config: &Config) -> Result<NodeKey, Failure> {
    keys::node_key_at(&config.path("node.key")).map_err(|error| failure::key(&error))
}

fn book(config: &Config) -> Result<Book, Failure> {
    Book::read(&config.path(FILE)).map_err(|error| unkept(&error))
}

fn unknown(name: &str) -> Failure {
    Failure::new(Code::NotFound, format!("no machine is called `{name}`"))
        .hint("`quorate-worker machines ls` shows those that are known")
}

fn unkept(error: &BookError) -> Failure {
    let code = match error {
        BookError::Disk { .. } => Code::Internal,
        BookError::Full | BookError::Name(_) => Code::Conflict,
    };
    Failure::new(code, Chain(error))
}

fn unpaired(error: &PairError) -> Failure {
    let code = match error {
        PairError::Line(_) => Code::Unreachable,
        PairError::WrongCode => Code::Denied,
        PairError::Name(_) => Code::Conflict,
        PairError::Spent => Code::TimedOut,
    };
    Failure::new(code, error)
}

fn linked(error: &LinkError) -> Failure {
    let code = match error {
        LinkError::Deaf(_) | LinkError::Unreachable { .. } => Code::Unreachable,
        LinkError::Socket(_) => Code::Conflict,
        LinkError::Setup(_) => Code::Internal,
    };
    Failure::new(code, Chain(error)).hint("choose another address for machines.listen")
}
