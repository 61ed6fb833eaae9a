//! What a session agent says: one line of JSON, bounded, with nothing in it but when a key was touched last and
//! whether a window fills the screen.

use serde::{Deserialize, Serialize};

/// Bytes of a line, at most: what follows would be no report.
pub const LINE_BYTES_MAX: usize = 256;

/// One look at a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Version of this line.
    pub v: u8,
    /// Milliseconds since a key or mouse was touched; absent where this session cannot tell.
    pub idle_ms: Option<u64>,
    /// Whether the window in front fills its screen.
    pub full_screen: bool,
}

/// The only version there is.
pub const VERSION: u8 = 1;

/// Why a line is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// It is longer than any report.
    #[error("a line of more than {LINE_BYTES_MAX} bytes")]
    Long,
    /// It is not what a report looks like.
    #[error("a line that is no report: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Of another version of this program.
    #[error("a report of version {0}, expected {VERSION}: start the session agent again")]
    Version(u8),
}

impl Report {
    /// The line, with its end.
    pub fn line(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_default();
        text + "\n"
    }

    /// Reads a line without its end.
    ///
    /// # Errors
    /// [`ReportError`]
    pub fn read(line: &[u8]) -> Result<Self, ReportError> {
        if line.len() > LINE_BYTES_MAX {
            return Err(ReportError::Long);
        }
        let report: Self = serde_json::from_slice(line)?;
        if report.v == VERSION { Ok(report) } else { Err(ReportError::Version(report.v)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_back_and_nothing_else_is() {
        let report = Report { v: VERSION, idle_ms: Some(u64::MAX), full_screen: true };
        let line = report.line();
        assert!(line.len() <= LINE_BYTES_MAX);
        assert_eq!(Report::read(line.trim_end().as_bytes()).ok(), Some(report));
        let says = |line: &str| Report::read(line.as_bytes()).expect_err("it is none").to_string();
        assert!(says(r#"{"v":2,"idle_ms":1,"full_screen":false}"#).contains("version 2"));
        assert!(says(r#"{"v":1,"idle_ms":-1,"full_screen":false}"#).contains("no report"));
        assert!(says(r#"{"v":1,"idle_ms":1,"full_screen":false,"x":1}"#).contains("no report"));
        assert!(says(&" ".repeat(300)).contains("256 bytes"));
    }
}
