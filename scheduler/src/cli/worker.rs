//! `worker` and `explain`: questions to the running scheduler, and what is done about workers.

use super::{ExplainWhat, WorkerCommand, output::Output};
use crate::{config::Config, desk::Ask, explain::Told, socket};
use quorate_common::{
    B256,
    exit::{Code, Failure},
};
use serde_json::Value;

/// `worker`.
pub(super) async fn run(
    config: &Config,
    command: &WorkerCommand,
    output: Output,
) -> Result<(), Failure> {
    match command {
        WorkerCommand::Ls { among, from, text } => {
            let (among, text) = (among.clone(), text.clone().unwrap_or_default());
            let answer = ask(config, &Ask::Workers { among, text, from: *from }).await?;
            output.either(&answer["document"], || table(&answer["document"]))
        }
        WorkerCommand::Show { worker } => {
            let answer = ask(config, &Ask::Worker { worker: number(worker)? }).await?;
            output.either(&answer["document"], || one(&answer))
        }
        WorkerCommand::Drain { worker, reason } => {
            act(config, "drain", worker, &reason.join(" "), output).await
        }
        WorkerCommand::Ban { worker, reason } => {
            act(config, "ban", worker, &reason.join(" "), output).await
        }
        WorkerCommand::Unban { worker } => act(config, "unban", worker, "", output).await,
    }
}

/// `explain`.
pub(super) async fn explain(
    config: &Config,
    what: Option<&ExplainWhat>,
    output: Output,
) -> Result<(), Failure> {
    let (what, of) = match what {
        None => ("pool", String::new()),
        Some(ExplainWhat::Worker { worker }) => ("worker", worker.clone()),
        Some(ExplainWhat::Order { order }) => ("order", B256::to_string(order)),
        Some(ExplainWhat::Settlement) => ("settlement", String::new()),
        Some(ExplainWhat::Cost) => ("cost", String::new()),
    };
    let answer = ask(config, &Ask::Explain { what: what.into(), of }).await?;
    let told: Told = serde_json::from_value(answer["told"].clone())
        .map_err(|error| Failure::new(Code::Conflict, error))?;
    output.either(&answer["document"], || in_words(&told))
}

async fn act(
    config: &Config,
    act: &str,
    worker: &str,
    reason: &str,
    output: Output,
) -> Result<(), Failure> {
    let (act, reason, worker) = (act.to_owned(), reason.to_owned(), number(worker)?);
    let answer = ask(config, &Ask::Act { act, worker, reason }).await?;
    output.either(&answer["document"], || one(&answer))
}

fn number(worker: &str) -> Result<u32, Failure> {
    worker.strip_prefix("worker-").unwrap_or(worker).parse().map_err(|_| {
        let text = format!("worker `{worker}`: expected its number, as 7 or worker-7");
        Failure::new(Code::Usage, text).hint("`worker ls TEXT` finds one by name or key")
    })
}

/// Asks the scheduler that serves the folder.
async fn ask(config: &Config, ask: &Ask) -> Result<Value, Failure> {
    let asked = socket::ask(&config.data, ask).await.map_err(|error| {
        let text = format!("no scheduler serves {}: {error}", config.data.display());
        Failure::new(Code::Unreachable, text)
            .hint("start it (quorate-scheduler serve), or name its folder with --data")
    })?;
    let Some(error) = asked.get("error") else { return Ok(asked) };
    let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut failure = Failure::new(Code::Internal, text("message"));
    failure.exit = asked["exit"].as_u64().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    failure.code = exit_name(failure.exit);
    failure.hint = Some(text("hint")).filter(|hint| !hint.is_empty());
    Err(failure)
}

/// The stable word of an exit code.
fn exit_name(exit: u8) -> &'static str {
    let codes =
        [Code::Usage, Code::NotFound, Code::Unreachable, Code::Denied, Code::Conflict, Code::Chain];
    let found = codes.into_iter().find(|code| *code as u8 == exit).unwrap_or(Code::Internal);
    Failure::new(found, "").code
}

fn table(document: &Value) -> String {
    let text = |row: &Value, key: &str| match &row[key] {
        Value::String(text) => text.clone(),
        other @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::Array(_)
        | Value::Object(_)) => other.to_string(),
    };
    let rows = document["workers"].as_array().cloned().unwrap_or_default();
    let mut lines = vec![format!(
        "{:>8}  {:10} {:>9} {:>6}  {}",
        "WORKER", "STATE", "AT WORK", "SCORE", "NAME"
    )];
    lines.extend(rows.iter().map(|row| {
        let load = format!("{}/{}", text(row, "busy"), text(row, "slots"));
        let (worker, score, name) = (text(row, "worker"), text(row, "score"), text(row, "name"));
        format!("{worker:>8}  {:10} {load:>9} {score:>6}  {name}", state(row))
    }));
    lines.push(format!("{} of {} workers", rows.len(), document["total"]));
    lines.join("\n")
}

fn state(row: &Value) -> &str {
    let keep = row["restraint"]["keep"].as_str();
    keep.unwrap_or(if row["connected"] == true { "connected" } else { "offline" })
}

fn one(answer: &Value) -> String {
    let (document, view) = (&answer["document"], &answer["document"]["worker"]);
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut lines = vec![
        format!("worker    {} {}", shown(&view["worker"]), shown(&document["name"])),
        format!("state     {}", state(view)),
        format!("owner     {}", shown(&view["owner"])),
        format!("node key  {}", shown(&view["node_key"])),
        format!("votes     {} lost of {}", document["votes"]["lost"], document["votes"]["votes"]),
    ];
    if let Some(reason) = view["restraint"]["reason"].as_str() {
        lines.push(format!("kept out  {reason} ({})", shown(&view["restraint"]["by"])));
    }
    let reasons: Vec<Told> = serde_json::from_value(answer["reasons"].clone()).unwrap_or_default();
    lines.extend(reasons.iter().map(|told| format!("why       {}: {}", told.answer, told.hint)));
    lines.join("\n")
}

fn in_words(told: &Told) -> String {
    let mut lines = vec![told.answer.clone()];
    if !told.hint.is_empty() {
        lines.push(format!("  {}", told.hint));
    }
    lines.extend(told.facts.iter().map(|(name, value)| format!("  {name:24} {value}")));
    lines.join("\n")
}
