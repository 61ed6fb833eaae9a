//! The `verify` command around [`crate::verify`]: which anchors, and how the outcome is told.

use crate::{
    cli::VerifyArgs,
    directory::{ANCHOR, BatchState},
    output::{Output, facts, table},
    units,
    verify::{self, AnchorSource, Anchors, Options, Report},
};
use quorate_common::{exit::Failure, messages::Domain};

/// Runs the command.
///
/// # Errors
/// [`quorate_common::exit::Code::Failed`] if anything does not hold.
pub(crate) async fn run(args: &VerifyArgs, output: Output) -> Result<(), Failure> {
    let anchors = match (args.chain_id, args.contract) {
        (Some(chain_id), Some(contract)) => {
            let domain = Domain { chain_id, contract };
            Some(Anchors { domain, roots: args.roots.clone() })
        }
        _ => None,
    };
    let mut report = verify::directory(&args.dir, &Options { anchors, partial: args.partial })?;
    if let Some(rpc) = &args.rpc {
        verify::compare_with_chain(&mut report, rpc).await?;
    }
    output.either(&report, || show(&report, args))?;
    report.settle()
}

fn show(report: &Report, args: &VerifyArgs) -> String {
    let anchors = match report.anchors {
        AnchorSource::Given => "the command line".to_owned(),
        AnchorSource::Folder => {
            let file = args.dir.join(ANCHOR);
            let unproven =
                if args.rpc.is_some() { "" } else { "; compare them with the chain: --rpc URL" };
            format!("{}{unproven}", file.display())
        }
    };
    let mut rows =
        vec![("order", report.order.map_or_else(|| "?".into(), |order| order.to_string()))];
    if let Some(domain) = &report.domain {
        rows.push(("contract", format!("{} on chain {}", domain.contract, domain.chain_id)));
    }
    rows.extend([
        ("anchors", anchors),
        (
            "receipts",
            format!(
                "{} of {} hold: {} accepted, {} failed, {} votes, {} dissenting",
                report.receipts,
                report.tasks,
                report.accepted,
                report.failed,
                report.votes,
                report.dissents
            ),
        ),
        ("results", format!("{} files, {}", report.files, units::show_bytes(report.bytes))),
    ]);
    for batch in &report.batches {
        let how = if args.rpc.is_some() { "on chain" } else { "when fetched" };
        rows.push((
            "batch",
            format!("{} {} ({} {how})", batch.index, batch.hash, state(batch.state)),
        ));
    }
    if report.ok {
        rows.push(("verdict", "every byte is proven".into()));
        return facts(&rows);
    }
    rows.push(("verdict", format!("{} checks failed", report.faults_total)));
    let faults = report
        .faults
        .iter()
        .map(|fault| vec![fault.file.clone(), fault.check.clone(), fault.message.clone()]);
    format!("{}\n\n{}", facts(&rows), table(&["FILE", "CHECK", "FOUND"], faults))
}

fn state(state: BatchState) -> &'static str {
    match state {
        BatchState::Closed => "signed",
        BatchState::Committed => "committed",
        BatchState::Final => "final",
    }
}
