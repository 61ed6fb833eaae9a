//! `check`: the preflight, for people and for scripts.

use super::output::Output;
use crate::{
    config::Config,
    preflight::{self, Finding, Level},
};
use quorate_common::exit::{Code, Failure};
use serde_json::json;

/// `check`. The exit code is 0, 10 for warnings, 1 for errors.
pub(super) async fn run(config: &Config, output: Output) -> Result<u8, Failure> {
    let findings = preflight::run(config).await;
    let worst = preflight::worst(&findings);
    let document = json!({ "schema": "quorate.check/v1", "level": worst, "findings": findings });
    output.either(&document, || text(&findings))?;
    Ok(match worst {
        Level::Ok => Code::Ok as u8,
        Level::Warning => Code::Failed as u8,
        Level::Error => Code::Internal as u8,
    })
}

fn text(findings: &[Finding]) -> String {
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let mut lines: Vec<String> = findings.iter().map(line).collect();
    lines.push(format!("{} errors, {} warnings", count(Level::Error), count(Level::Warning)));
    lines.join("\n")
}

fn line(finding: &Finding) -> String {
    let level = match finding.level {
        Level::Ok => "ok",
        Level::Warning => "warning",
        Level::Error => "ERROR",
    };
    let fix = finding.fix.as_ref().map(|fix| format!("\n{:20}fix: {fix}", "")).unwrap_or_default();
    format!("{level:8} {:10} {}{fix}", finding.check.name(), finding.found)
}
