//! `drain`: tells the running scheduler to finish, and waits until it has. `status`: what it says of itself.

use super::{Drain, output::Output};
use crate::{
    config::Config,
    drain::{LOOK, Remaining},
    socket::{Status, say},
};
use quorate_common::exit::{Code, Failure};
use serde_json::json;
use std::{io, time::Duration};

/// `drain`.
pub(super) async fn run(config: &Config, args: Drain, output: Output) -> Result<(), Failure> {
    let word = if args.cancel { "cancel" } else { "drain" };
    let told = say(&config.data, word).await.map_err(|error| nobody(config, &error))?;
    let (done, status) = if args.cancel {
        (false, told)
    } else {
        let patience = Duration::from_secs(args.timeout);
        let waited = tokio::time::timeout(patience, wait(config, told, output)).await;
        (true, waited.map_err(|_| late(args.timeout))??)
    };
    let document = json!({
        "schema": "quorate.drain/v1", "draining": status.draining, "stopped": done,
        "remaining": status.remaining,
    });
    output.either(&document, || match done {
        true => "drained: everything is on chain, and the scheduler has stopped".into(),
        false => "it takes orders again".into(),
    })
}

/// `status`: also what a container's health is asked by.
pub(super) async fn status(config: &Config, output: Output) -> Result<(), Failure> {
    let status = say(&config.data, "status").await.map_err(|error| nobody(config, &error))?;
    let document = json!({
        "schema": "quorate.status/v1", "draining": status.draining, "remaining": status.remaining,
    });
    output.either(&document, || {
        let state = if status.draining { "draining" } else { "open" };
        format!("{state}: {}", left(&status.remaining))
    })
}

/// Until it is gone, which it must not be before it said that nothing is left.
async fn wait(config: &Config, mut status: Status, output: Output) -> Result<Status, Failure> {
    let mut shown = None;
    loop {
        if shown != Some(status.remaining) {
            output.note(sentence(&status.remaining));
            shown = Some(status.remaining);
        }
        tokio::time::sleep(LOOK).await;
        match say(&config.data, "status").await {
            Ok(newer) => status = newer,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            Err(_) if status.remaining.is_nothing() => return Ok(status),
            Err(_) => return Err(ended(&status.remaining)),
        }
    }
}

fn sentence(remaining: &Remaining) -> String {
    format!("draining: {}", left(remaining))
}

fn left(left: &Remaining) -> String {
    let Remaining { orders, tasks, unbatched, batches } = left;
    format!(
        "{orders} orders opening, {tasks} tasks open, {unbatched} in no batch yet, {batches} batches on their way"
    )
}

fn nobody(config: &Config, error: &io::Error) -> Failure {
    let text = format!("no scheduler serves {}: {error}", config.data.display());
    Failure::new(Code::Unreachable, text).hint(
        "is it running, on this machine and with this --data? A stopped one has nothing to finish",
    )
}

fn ended(left: &Remaining) -> Failure {
    let text = format!("the scheduler ended before it was done ({})", sentence(left));
    Failure::new(Code::Failed, text)
        .hint("its log says why; start it again: nothing is lost, and drain takes it from there")
}

fn late(seconds: u64) -> Failure {
    Failure::new(Code::TimedOut, format!("it still drains after {seconds} s (--timeout)")).hint(
        "`quorate-scheduler drain` waits on; `drain --cancel` takes orders again; SIGTERM stops it at once: open \
         tasks then wait in the journal for the next start",
    )
}
