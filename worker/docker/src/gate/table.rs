//! What was found, as a table for the machine's owner.

use serde::Serialize;
use std::fmt;

/// Everything that was tried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// In the order it was tried.
    pub findings: Vec<Finding>,
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What is limited.
    pub limit: &'static str,
    /// What must be seen.
    pub expected: String,
    /// What was seen.
    pub found: String,
    /// Whether that is it.
    pub holds: bool,
}

impl Report {
    /// Whether every limit holds.
    pub fn holds(&self) -> bool {
        !self.findings.is_empty() && self.findings.iter().all(|finding| finding.holds)
    }

    /// The limits that do not hold, with what was seen instead.
    pub fn broken(&self) -> impl Iterator<Item = String> {
        self.findings.iter().filter(|finding| !finding.holds).map(|finding| {
            let Finding { limit, expected, found, .. } = finding;
            format!("{limit}: {found}, expected {expected}")
        })
    }

    pub(super) fn add(
        &mut self,
        limit: &'static str,
        expected: impl Into<String>,
        found: impl Into<String>,
        holds: bool,
    ) {
        let (expected, found) = (expected.into(), found.into());
        self.findings.push(Finding { limit, expected, found, holds });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |of: fn(&Finding) -> usize| self.findings.iter().map(of).max().unwrap_or(0);
        let limits = width(|finding| finding.limit.len());
        let expected = width(|finding| finding.expected.len());
        for finding in &self.findings {
            let verdict = if finding.holds { "holds" } else { "FAILS" };
            let Finding { limit, expected: wanted, found, .. } = finding;
            writeln!(f, "{verdict}  {limit:limits$}  {wanted:expected$}  {found}")?;
        }
        Ok(())
    }
}
