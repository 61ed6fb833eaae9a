//! `measure`: what the worker takes of the machine while it does nothing, and others beside it, over the same while.

use super::{
    Global, MeasureArgs,
    config::Config,
    control,
    output::{Output, facts},
};
use crate::footprint::{self, Footprint, IDLE, Sample};
use quorate_common::exit::{Code, Failure};
use serde_json::json;
use std::time::{Duration, Instant};

/// `measure`.
pub(super) async fn run(global: Global, args: MeasureArgs, output: Output) -> Result<(), Failure> {
    let mut pids = args.pid.clone();
    if pids.is_empty() {
        pids.push(worker(&global).await?);
    }
    let judged = pids.len();
    for named in &args.beside {
        pids.push(beside(named)?);
    }
    let time = Duration::from_secs(args.seconds);
    output.note(format!("watching for {} s", args.seconds));
    let began = Instant::now();
    let before = samples(&pids)?;
    tokio::time::sleep(time).await;
    let after = samples(&pids)?;
    let took = began.elapsed();
    let seen: Vec<Footprint> =
        before.iter().zip(after).map(|(before, after)| before.until(after, took)).collect();
    let rows: Vec<_> = pids.iter().zip(&seen).collect();
    let document = json!({
        "schema": "quorate.footprint/v1",
        "processes": rows.iter().map(|(pid, seen)| json!({
            "pid": pid, "footprint": seen, "over": seen.over(IDLE),
        })).collect::<Vec<_>>(),
    });
    output.either(&document, || {
        rows.iter().map(|(pid, seen)| text(**pid, seen)).collect::<Vec<_>>().join("\n\n")
    })?;
    let over: Vec<String> = seen[..judged].iter().flat_map(|seen| seen.over(IDLE)).collect();
    if args.check && !over.is_empty() {
        return Err(Failure::new(
            Code::Failed,
            format!("more than an idle worker may take: {}", over.join(", ")),
        ));
    }
    Ok(())
}

async fn worker(global: &Global) -> Result<u32, Failure> {
    let config = Config::load(global, &[])?;
    let (_, pid) = control::status(&config).await.ok_or_else(|| {
        Failure::new(Code::NotFound, "the worker is not running")
            .hint("`quorate-worker start` starts it; --pid names another process")
    })?;
    Ok(pid)
}

/// A number, or the name of a program that runs.
fn beside(named: &str) -> Result<u32, Failure> {
    named.parse().ok().or_else(|| footprint::find(named)).ok_or_else(|| {
        Failure::new(Code::NotFound, format!("no process is called {named}"))
            .hint("`ps -A` shows their names")
    })
}

fn samples(pids: &[u32]) -> Result<Vec<Sample>, Failure> {
    let sample = |pid: &u32| {
        Sample::of(*pid).map_err(|error| {
            Failure::new(Code::NotFound, format!("process {pid} cannot be watched: {error}"))
                .hint("expected the number of a process of your own")
        })
    };
    pids.iter().map(sample).collect()
}

fn text(pid: u32, seen: &Footprint) -> String {
    let Footprint { resident_bytes, data_bytes, milli_percent, wakeups_per_s, .. } = seen;
    let megabytes = |bytes: &u64| format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10);
    let most = "at most 40 MB while idle";
    facts(&[
        ("process", format!("{pid}, {}", footprint::name(pid))),
        (
            "memory",
            format!("{} ({} of it data); {most}", megabytes(resident_bytes), megabytes(data_bytes)),
        ),
        (
            "processor",
            format!(
                "{}.{:03} % of a core; at most 0.2 %",
                milli_percent / 1_000,
                milli_percent % 1_000
            ),
        ),
        ("wakeups", format!("{wakeups_per_s:.1} a second, {} threads", seen.threads)),
        (
            "written",
            format!("{} bytes in {:.0} s; nothing while idle", seen.written_bytes, seen.seconds),
        ),
    ])
}
