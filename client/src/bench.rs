//! `quorate bench`: how fast the real scheduler program is. It runs as a child process in durable mode,
//! with a chain of its own in this process behind JSON-RPC; simulated workers speak the real protocol
//! over real QUIC and sign for real, but run nothing; requesters place real orders over HTTP. Whatever is
//! reported was measured in this run, beside the limits (disk, signatures) measured in the same run.
//!
//! It judges nothing: marks belong to the README and to CI.

mod crowd;
mod limits;
mod load;
mod machine;
mod market;
mod program;
mod report;
mod scores;
mod simulated;

use crate::{
    cli::{BenchArgs, BenchPart},
    context::interrupted,
    output::Output,
};
use market::Market;
use quorate_common::exit::Failure;
use report::{Idle, Report, Restart, Run};

/// Runs what was asked for and prints it.
///
/// # Errors
/// Whatever kept it from being measured.
pub(crate) fn run(args: &BenchArgs, output: Output) -> Result<u8, Failure> {
    let report = actix::System::new().block_on(async {
        tokio::select! {
            report = measure(args, output) => report,
            // What was under way is dropped, and the scheduler with it.
            failure = interrupted() => Err(failure),
        }
    })?;
    output.either(&report, || report.text())?;
    Ok(0)
}

async fn measure(args: &BenchArgs, output: Output) -> Result<Report, Failure> {
    let wanted = |part| args.only.is_empty() || args.only.contains(&part);
    let folder = program::Folder::new(args.data.as_deref())?;
    let chain = market::LocalChain::start(folder.path()).await?;
    output.note("measuring the limits of this machine: signatures and fdatasync");
    let limits = limits::measure(folder.path())?;
    let mut report = Report::new(args, limits);
    if wanted(BenchPart::Load) {
        for replication in &args.replication {
            output.note(format!("load with k = {replication}"));
            let name = format!("load-{replication}");
            let market = Market::open(args, &chain, folder.path(), &name, output).await?;
            report.runs.push(load_run(args, market, *replication, output).await?);
        }
    }
    if wanted(BenchPart::Idle) {
        output.note(format!("{} idle workers", args.idle));
        let market = Market::open(args, &chain, folder.path(), "idle", output).await?;
        report.idle = Some(idle_run(args, market).await?);
    }
    if wanted(BenchPart::Restart) {
        output.note(format!("a restart with {} open tasks", args.open));
        let market = Market::open(args, &chain, folder.path(), "restart", output).await?;
        report.restart = Some(restart_run(args, market).await?);
    }
    Ok(report.concluded())
}

async fn load_run(
    args: &BenchArgs,
    mut market: Market<'_>,
    replication: u8,
    output: Output,
) -> Result<Run, Failure> {
    market.register(args.workers).await?;
    let idle_rss = market.program.rss_bytes()?;
    let crowd = market.connect_with(args.slots, simulated::Mode::Votes, args.liars).await?;
    let run = load::Load { args, market: &market, replication, output }.run(idle_rss).await;
    crowd.leave().await;
    market.program.stop().await?;
    run
}

async fn idle_run(args: &BenchArgs, mut market: Market<'_>) -> Result<Idle, Failure> {
    market.register_idle(args.idle).await?;
    let before = market.program.settled_rss_bytes().await?;
    let crowd = market.connect(1, simulated::Mode::Votes).await?;
    let after = market.program.settled_rss_bytes().await?;
    let (held, series) = (market.connected().await?, market.series().await?);
    crowd.leave().await;
    market.program.stop().await?;
    Ok(Idle { workers: held, series, rss_before: before, rss_after: after })
}

async fn restart_run(args: &BenchArgs, mut market: Market<'_>) -> Result<Restart, Failure> {
    let slots = 1024;
    market.register(args.open.div_ceil(slots.into()) + 1).await?;
    let crowd = market.connect(slots, simulated::Mode::Mute).await?;
    let open = load::fill(&market, args.open).await?;
    crowd.leave().await;
    let restart = market.restart().await?;
    let (recovered, _) = market.open_tasks().await?;
    market.program.stop().await?;
    Ok(Restart { open, recovered, seconds: restart.as_secs_f64() })
}
